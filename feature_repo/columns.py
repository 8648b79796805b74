"""Item features as NumPy columns, one array a feature, one row an item.

Reading 100 item rows from the online store takes 20 ms; reading 500 from these takes microseconds.
The server keeps them up to date from the topics `items` and `item_features`; training fills them from a replay.
An item keeps its row for as long as the process lives. Vectors are not columns: they belong to a model, of which
several may serve over the same rows (feature_repo/item_vectors.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.arms import ArmColumns
from feature_repo.attribute_columns import AttributeColumns
from feature_repo.contents import Contents, Signatures
from feature_repo.newest import Newest
from feature_repo.paged import Mask as Mask  # re-exported
from feature_repo.paged import Rows as Rows
from feature_repo.partners import Partners
from feature_repo.postings import Postings
from feature_repo.reads import NO_READS, Reads
from feature_repo.views import item as item_view
from feature_repo.views import item_cooccurrence as together_view
from feature_repo.views import item_exploration as explored_view
from feature_repo.views import item_region as region_view
from feature_repo.views import policy_model as policy_view
from feature_repo.vocabulary import Vocabulary
from operators.contexts import CONTEXTS
from operators.contract import Row
from operators.cooccurrence import UNKNOWN
from operators.history import hash64
from schemas.events import Item

UNKNOWN_POPULARITY = -1e9
REGIONS_BYTES = 512 << 20
"""limit of the columns of regions, 16 bytes an item each: anybody who posts events can name regions. Regions beyond it
have no column, and what is popular everywhere stands in."""
MAX_CATEGORIES = 8
SCALARS = tuple(f for f in item_view.fields if f.dtype in ("float32", "float64") and f.name != "price")


def _unknown(capacity: int, reads: Reads) -> dict[str, npt.NDArray[Any]]:
    """Columns of the defaults, for items without features."""
    return {
        **{value.key: np.full(capacity, value.field.default, np.float64) for value in reads.item},
        **{_attribute(name): np.zeros((capacity, MAX_CATEGORIES), np.int64) for name in reads.attributes},
        "hashes": np.zeros(capacity, np.uint64),
        "signatures": np.zeros(capacity, np.uint64),
        "categories": np.zeros((capacity, MAX_CATEGORIES), np.int64),
        "brand": np.zeros(capacity, np.int64),
        "price": np.full(capacity, np.nan),
        "created_at": np.full(capacity, np.nan),
        "available": np.zeros(capacity, bool),
        "listed": np.zeros(capacity, bool),
        "events_7d": np.zeros(capacity),
        "baskets": np.full(capacity, UNKNOWN),
        "contexts": np.full((capacity, len(CONTEXTS)), UNKNOWN_POPULARITY, np.float32),
        **{f.name: np.full(capacity, f.default, np.float64) for f in SCALARS},
    }


class ItemColumns:
    """Columns over rows 0 … n-1; a new item takes the next row. Grows by doubling."""

    def __init__(self, capacity: int = 1024, reads: Reads = NO_READS) -> None:
        """`reads` are the inputs of crosses: their item values, by key, and item attributes become columns too."""
        self.n = 0
        self.reads = reads
        self.attribute_codes = {name: Vocabulary() for name in reads.attributes}
        self.row_of: dict[str, int] = {}
        self.ids: list[str] = []
        self.items: list[Item | None] = []
        self.contents = Contents(self.items)
        """the tokens of the items' catalogue entries"""
        self.category_codes = Vocabulary()
        self.brand_codes = Vocabulary()
        self.filterable = AttributeColumns()
        """what filters read beyond the other columns; counts the changes of catalogue entries"""
        self.by_category, self.by_brand = Postings(self.in_category), Postings(self.of_brand)
        """rows of the items of each; not part of a `subset`"""
        self.region_popularity: dict[str, npt.NDArray[np.float64]] = {}
        self.region_recent: dict[str, npt.NDArray[np.float64]] = {}
        """`popularity_recent` by region, of the same regions"""
        self.newest = Newest()
        """rows of the newest items; not part of a `subset`"""
        self.partners = Partners()
        """what items are bought together with; not part of a `subset`"""
        self.arms = ArmColumns()  # not part of a `subset` either
        self.basket_lines = 0.0
        """sum of 2^baskets over all items"""
        self.leaders: dict[str, float] = {}
        """popularity of the most popular item, "" everywhere and by region. Kept as rows are put, since a request that
        looked for it in a large catalogue would do little else."""
        self._arrays = _unknown(capacity, reads)

    def __getattr__(self, name: str) -> npt.NDArray[Any]:
        """A column, shape (n,), or (n, 8) for `categories` and (n, 12) for `contexts`."""
        try:
            return self.__dict__["_arrays"][name][: self.n]
        except KeyError:
            raise AttributeError(name) from None

    def in_category(self, code: int, rows: Rows) -> Mask:
        """Which of `rows` (n,) are of items of a category, by its code."""
        codes = self._arrays["categories"].take(rows, axis=0)
        found: Mask = (codes == code).any(axis=1)
        for place in np.flatnonzero(~found & (codes[:, -1] > 0)).tolist():  # of items with more than there are columns
            item = self.items[int(rows[place])]
            found[place] = item is not None and self.category_codes.names[code] in item.categories
        return found

    def of_brand(self, code: int, rows: Rows) -> Mask:
        """Which of `rows` (n,) are of items of a brand, by its code."""
        found: Mask = self._arrays["brand"].take(rows) == code
        return found

    def signatures(self, rows: Rows) -> Signatures:
        """The signatures (n,) of the contents of `rows` (n,)."""
        return self.contents.complete(self._arrays["signatures"], rows)

    def value(self, key: str) -> npt.NDArray[np.float64]:
        """The column (n,) of a declared feature's value."""
        return self._arrays[key][: self.n]

    def codes(self, field: str) -> tuple[npt.NDArray[np.int64], Vocabulary]:
        """Codes (n, k) of "item.categories", "item.brand" or "item.attributes.<name>", 0 where there are fewer, and
        the vocabulary of the codes."""
        if field == "item.categories":
            return self.categories, self.category_codes
        if field == "item.brand":
            return self.brand[:, None], self.brand_codes
        name = field.removeprefix("item.attributes.")
        return self._arrays[_attribute(name)][: self.n], self.attribute_codes[name]

    def row(self, item_id: str) -> int:
        """The item's row; a new item gets the next row."""
        row = self.row_of.get(item_id)
        if row is not None:
            return row
        row = self.n
        if row == len(self._arrays["hashes"]):
            self._grow()
        self.ids.append(item_id)
        self.items.append(None)
        self._arrays["hashes"][row] = hash64(item_id)
        self.n += 1
        self.row_of[item_id] = row
        return row

    def rows(self, item_ids: Sequence[str]) -> Rows:
        """Rows of those of `item_ids` that have one, in their order."""
        found = (self.row_of.get(i) for i in item_ids)
        return np.array([r for r in found if r is not None], dtype=np.int64)

    def put_item(self, item: Item) -> int:
        """Sets the columns of a catalogue entry. Returns its row."""
        row = self.row(item.item_id)
        arrays = self._arrays
        was, codes = self.items[row], [self.category_codes.code(c) for c in item.categories]
        self.by_category.put(row, [self.category_codes.code(c) for c in was.categories] if was else (), codes)
        arrays["categories"][row] = (codes + [0] * MAX_CATEGORIES)[:MAX_CATEGORIES]
        brand = self.brand_codes.code(item.brand) if item.brand else 0
        self.by_brand.put(row, (int(arrays["brand"][row]),), (brand,))
        arrays["brand"][row] = brand
        arrays["price"][row] = np.nan if item.price is None else item.price
        created_at = np.nan if item.created_at is None else item.created_at
        arrays["created_at"][row] = created_at
        self.newest.put(row, created_at)
        arrays["available"][row] = item.available
        arrays["listed"][row] = True
        for name, vocabulary in self.attribute_codes.items():
            said = item.attributes.get(name, [])
            found = [vocabulary.code(each) for each in (said if isinstance(said, list) else [said])[:MAX_CATEGORIES]]
            arrays[_attribute(name)][row] = found + [0] * (MAX_CATEGORIES - len(found))
        self.filterable.put(row, self.items[row], item)
        self.items[row] = item
        arrays["signatures"][row] = 0
        self.filterable.changed(row)
        return row

    def put_features(self, row: Row) -> None:
        """Sets the columns of a row of one of the views `views.OF_SERVERS`."""
        if row.view == policy_view.name:
            self.arms.put_model(row.key[0], row.values)
            return
        at = self.row(row.key[0])
        if row.view == item_view.name:
            self._put_popularity("", self._arrays["popularity"], at, row.values[_POPULARITY])
            for position, name in _SCALAR_POSITIONS:
                self._arrays[name][at] = row.values[position]
            self._arrays["events_7d"][at] = sum(row.values[_EVENTS_7D][:-1])
            self._arrays["contexts"][at] = row.values[_CONTEXTS]
        elif row.view == region_view.name:
            column = self.region_popularity.get(row.key[1])
            if column is None:
                capacity = len(self._arrays["hashes"])
                if len(self.region_popularity) >= _regions_at_most(capacity):
                    return
                column = np.full(capacity, UNKNOWN_POPULARITY)
                self.region_recent[row.key[1]] = column.copy()  # first: readers find a region by the other
                self.region_popularity[row.key[1]] = column
            self._put_popularity(row.key[1], column, at, row.values[_REGION_POPULARITY])
            self.region_recent[row.key[1]][at] = row.values[_REGION_RECENT]
        elif row.view == together_view.name:
            baskets, partners, shares = row.values
            self.partners.put(at, [self.row(partner) for partner in partners], shares)
            self.basket_lines += 2.0**baskets - 2.0 ** self._arrays["baskets"][at]
            self._arrays["baskets"][at] = baskets
        elif row.view == explored_view.name:
            self.arms.put_item(at, row.values)

    def put_values(self, item_id: str, values: Mapping[str, Any]) -> None:
        """Sets an item's declared features, by field name; those that no cross reads are ignored."""
        at = self.row(item_id)
        for value in self.reads.item:
            found = values.get(value.field.name)
            if found is not None:
                self._arrays[value.key][at] = found

    def _put_popularity(self, region: str, column: npt.NDArray[np.float64], at: int, value: float) -> None:
        before, top = column[at], self.most_popular(region)
        column[at] = value
        if value >= top:
            self.leaders[region] = value
        elif before == top:  # the leader has fallen
            self.leaders[region] = float(column.max())

    def recent_in(self, region: str = "") -> npt.NDArray[np.float64] | None:
        """`popularity_recent` (n,), everywhere or within a region; None for a region where nothing happened."""
        column = self.region_recent.get(region) if region else self._arrays["popularity_recent"]
        return None if column is None else column[: self.n]

    def popular_in(self, region: str) -> npt.NDArray[np.float64] | None:
        """Popularity (n,) within a region, or None where nothing happened there."""
        column = self.region_popularity.get(region)
        return None if column is None else column[: self.n]

    def most_popular(self, region: str = "") -> float:
        """Popularity of the most popular item, everywhere or in a region."""
        return self.leaders.get(region, UNKNOWN_POPULARITY)

    def subset(self, item_ids: Iterable[str]) -> ItemColumns:
        """A copy with those of these items that have a row, each once, in their order, and with the popularity that all
        items are compared with. It has no columns for filters."""
        known = [item_id for item_id in dict.fromkeys(item_ids) if item_id in self.row_of]
        rows = self.rows(known)
        made = ItemColumns(max(len(known), 1), self.reads)
        for item_id in known:
            made.row(item_id)
        for name, old in self._arrays.items():
            made._arrays[name][: len(rows)] = old[rows]
        made.items[:] = [self.items[row] for row in rows.tolist()]
        made.category_codes, made.brand_codes = self.category_codes, self.brand_codes
        made.attribute_codes = self.attribute_codes
        made.region_popularity = {region: old[rows] for region, old in self.region_popularity.items()}
        made.region_recent = {region: old[rows] for region, old in self.region_recent.items()}
        made.leaders = dict(self.leaders)
        return made

    def _grow(self) -> None:
        grown = _unknown(2 * len(self._arrays["hashes"]), self.reads)
        for name, old in self._arrays.items():
            grown[name][: len(old)] = old
        self._arrays = grown
        # With more rows fewer regions fit: those stay whose most popular item is the most popular.
        kept = sorted(self.region_popularity, key=self.most_popular, reverse=True)
        kept = kept[: _regions_at_most(len(grown["hashes"]))]
        self.leaders = {region: self.leaders[region] for region in ("", *kept) if region in self.leaders}
        self.region_popularity = {region: _doubled(self.region_popularity[region]) for region in kept}
        self.region_recent = {region: _doubled(self.region_recent[region]) for region in kept}


def _regions_at_most(capacity: int) -> int:
    """How many regions may have a column of so many rows."""
    return REGIONS_BYTES // (16 * capacity)


def _doubled(column: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.concatenate([column, np.full(len(column), UNKNOWN_POPULARITY)])


def _attribute(name: str) -> str:
    """The name of an attribute's column."""
    return f"attributes:{name}"


_NAMES = [f.name for f in item_view.fields]
_SCALAR_POSITIONS = [(_NAMES.index(f.name), f.name) for f in SCALARS if f.name != "popularity"]
_POPULARITY = _NAMES.index("popularity")
_EVENTS_7D = _NAMES.index("events_7d")
_CONTEXTS = _NAMES.index("popularity_by_context")
_REGION_NAMES = [f.name for f in region_view.fields]
_REGION_POPULARITY = _REGION_NAMES.index("popularity")
_REGION_RECENT = _REGION_NAMES.index("popularity_recent")
