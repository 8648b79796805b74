"""A copy of some rows of item columns, which columns of those items alone can be made of again.

Rows keep their order, and the codes of names theirs, so that whatever is computed of the rows comes out the same to the
last bit. Catalogue entries are held as they are; columns that follow from them are made anew.

A slice is taken in two parts: `copied` copies what changes, which takes little time and may be done while requests
wait, and `CopiedRows.slice` makes the slice of the copy, at any time and in any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from feature_repo.arms import NO_ARMS, ArmSlice
from feature_repo.attribute_columns import Type
from feature_repo.columns import ItemColumns, Rows
from feature_repo.partners import Pairs
from feature_repo.reads import NO_READS, Reads
from feature_repo.vocabulary import Vocabulary
from schemas.events import Item

OF_ONE_PROCESS = frozenset({"hashes", "signatures"})
"""columns that are made anew of ids and entries, and not copied"""
FROM_ENTRIES = OF_ONE_PROCESS | {"categories", "brand"}
"""columns that follow from ids and entries, as those of attributes do"""
ATTRIBUTE = "attributes:"
"""beginning of the names of attributes' columns"""
NO_PARTNERS: Mapping[int, Pairs] = MappingProxyType({})


class ItemSlice(Struct, frozen=True):
    """n rows. Arrays are by name (n, …); positions are among the rows."""

    ids: list[str]
    items: list[Item | None]
    columns: dict[str, Any]
    """name → values (n,) or (n, k)"""
    region: str
    regional: Any
    """popularity (n,) and the recent one (n,) within the region; None where there is none"""
    leaders: dict[str, float]
    basket_lines: float
    partners: dict[int, tuple[Any, Any]]
    """position → positions and shares of partners, of those items of which they were asked for"""
    categories: list[str]
    """in the order of their codes, as the names below"""
    brands: list[str]
    attributes: dict[str, list[Any]]
    types: dict[str, list[Type]]
    """of attributes, of any item, that filters were checked against"""
    arms: ArmSlice = NO_ARMS
    """what bandits had counted"""


@dataclass(frozen=True)
class CopiedRows:
    """What the columns had of `rows` (n,), ascending, each once."""

    columns: ItemColumns
    """for the ids of rows and the names of codes, to which others are only added"""
    rows: Rows
    items: Sequence[Item | None]
    arrays: dict[str, npt.NDArray[Any]]
    """by name, (n,) or (n, k); all but those of one process alone"""
    region: str
    regional: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None
    leaders: dict[str, float]
    basket_lines: float
    partners: Mapping[int, Pairs]
    """by row"""
    types: Mapping[str, Sequence[Type]]
    arms: ArmSlice

    def slice(self) -> ItemSlice:
        """The slice. Partners that are not among the rows are left out."""
        columns, rows, arrays = self.columns, self.rows, self.arrays
        partners = {}
        for row, found in self.partners.items():
            known = np.isin(found.partners, rows)
            if len(found.partners):
                places = np.searchsorted(rows, found.partners[known])
                partners[int(np.searchsorted(rows, row))] = places, found.shares[known]
        return ItemSlice(
            [columns.ids[row] for row in rows.tolist()], list(self.items),
            {name: values for name, values in arrays.items() if not _is_of_entries(name)},
            self.region, self.regional, {name: float(value) for name, value in self.leaders.items()},
            float(self.basket_lines), partners, _names(columns.category_codes, arrays["categories"]),
            _names(columns.brand_codes, arrays["brand"]),
            {
                name: _names(vocabulary, arrays[f"{ATTRIBUTE}{name}"])
                for name, vocabulary in columns.attribute_codes.items()
            },
            {name: list(types) for name, types in self.types.items()}, self.arms,
        )  # fmt: skip


def copied(
    columns: ItemColumns, rows: Rows, region: str = "", partners: Mapping[int, Pairs] = NO_PARTNERS,
    arms: ArmSlice = NO_ARMS,
) -> CopiedRows:  # fmt: skip
    """A copy of `rows` (n,), ascending, each once, with what is popular in a region, with the `partners` of some of
    them, and with the counts of bandits that `arms` has."""
    arrays = {name: values.take(rows, axis=0) for name, values in columns._arrays.items() if name not in OF_ONE_PROCESS}
    regional = None
    if region and (popularity := columns.popular_in(region)) is not None:
        recent = columns.recent_in(region)
        assert recent is not None
        regional = popularity.take(rows), recent.take(rows)
    leaders = {name: columns.leaders[name] for name in dict.fromkeys(("", region)) if name in columns.leaders}
    items, filterable = columns.items, columns.filterable
    return CopiedRows(
        columns, rows, [items[row] for row in rows.tolist()], arrays, region, regional, leaders, columns.basket_lines,
        partners, {name: filterable.types(name) for name in filterable.names}, arms,
    )  # fmt: skip


def restore(of: ItemSlice, reads: Reads = NO_READS) -> ItemColumns:
    """Columns whose first n rows are those of the slice. `reads` as of the columns that the slice was taken of. Raises
    ValueError where it is not."""
    made = ItemColumns(max(len(of.ids), 1), reads)
    _code(made.category_codes, of.categories)
    _code(made.brand_codes, of.brands)
    for name, vocabulary in made.attribute_codes.items():
        _code(vocabulary, of.attributes.get(name, ()))
    for name, types in of.types.items():
        for each in types:
            made.filterable.know(name, each)
    for item_id, item in zip(of.ids, of.items, strict=True):
        made.row(item_id)
        if item is not None:
            made.put_item(item)
    wanted = {name for name in made._arrays if not _is_of_entries(name)}
    if wanted != of.columns.keys() or made.attribute_codes.keys() != of.attributes.keys():
        differ = sorted(wanted ^ of.columns.keys() | made.attribute_codes.keys() ^ of.attributes.keys())
        raise ValueError(f"other columns of items are declared: {', '.join(differ)}")
    for name, values in of.columns.items():
        made._arrays[name][: len(of.ids)] = values
    if of.regional is not None:
        for columns, values in zip((made.region_popularity, made.region_recent), of.regional, strict=True):
            column = np.full(len(made._arrays["hashes"]), -np.inf)
            column[: len(of.ids)] = values
            columns[of.region] = column
    made.leaders, made.basket_lines = dict(of.leaders), of.basket_lines
    for position, (partners, shares) in of.partners.items():
        made.partners.put(position, partners.tolist(), shares.tolist())
    made.arms.restore(of.arms)
    return made


def _is_of_entries(name: str) -> bool:
    return name in FROM_ENTRIES or name.startswith(ATTRIBUTE)


def _names(vocabulary: Vocabulary, codes: Any) -> list[Any]:
    return [vocabulary.names[code] for code in np.unique(codes).tolist() if code]


def _code(vocabulary: Vocabulary, names: Iterable[Any]) -> None:
    for name in names:
        vocabulary.code(name)
