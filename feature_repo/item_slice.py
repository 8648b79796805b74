"""A copy of some rows of item columns, which columns of those items alone can be made of again.

Rows keep their order, and the codes of names theirs, so that whatever is computed of the rows comes out the same to the
last bit. Catalogue entries are held as they are; columns that follow from them are made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from feature_repo.arms import NO_ARMS, ArmSlice
from feature_repo.attribute_columns import Type
from feature_repo.columns import ItemColumns, Rows
from feature_repo.reads import NO_READS, Reads
from feature_repo.vocabulary import Vocabulary
from schemas.events import Item

FROM_ENTRIES = frozenset({"hashes", "signatures", "categories", "brand"})
"""columns that follow from ids and entries; signatures are of one process alone"""


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


def take(
    columns: ItemColumns, rows: Rows, region: str = "", partners_of: Sequence[int] = (), arms: ArmSlice = NO_ARMS
) -> ItemSlice:
    """The slice of `rows` (n,), ascending, each once, with what is popular in a region, with the partners of some of
    them, and with the counts of bandits that `arms` has; partners that are not among the rows are left out."""
    arrays = {
        name: values[rows]
        for name, values in columns._arrays.items()
        if name not in FROM_ENTRIES and not name.startswith("attributes:")
    }
    regional = None
    if region and (popularity := columns.popular_in(region)) is not None:
        recent = columns.recent_in(region)
        assert recent is not None
        regional = (popularity[rows], recent[rows])
    partners = {}
    for row in partners_of:
        found = columns.partners.of([row])
        known = np.isin(found.partners, rows)
        if len(found.partners):
            places = np.searchsorted(rows, found.partners[known])
            partners[int(np.searchsorted(rows, row))] = places, found.shares[known]
    leaders = {name: float(columns.leaders[name]) for name in dict.fromkeys(("", region)) if name in columns.leaders}
    listed = rows.tolist()
    return ItemSlice(
        [columns.ids[row] for row in listed], [columns.items[row] for row in listed], arrays, region, regional, leaders,
        float(columns.basket_lines), partners, _names(columns.category_codes, columns.categories[rows]),
        _names(columns.brand_codes, columns.brand[rows]),
        {
            name: _names(vocabulary, columns.codes(f"item.attributes.{name}")[0][rows])
            for name, vocabulary in columns.attribute_codes.items()
        },
        {name: list(columns.filterable.types(name)) for name in columns.filterable.names}, arms,
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
    wanted = {name for name in made._arrays if name not in FROM_ENTRIES and not name.startswith("attributes:")}
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


def _names(vocabulary: Vocabulary, codes: Any) -> list[Any]:
    return [vocabulary.names[code] for code in np.unique(codes).tolist() if code]


def _code(vocabulary: Vocabulary, names: Iterable[Any]) -> None:
    for name in names:
        vocabulary.code(name)
