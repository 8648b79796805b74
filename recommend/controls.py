"""A person's controls as a request reads them: which items are out, which are lowered or raised, whether to explore.

Of what a person said of one category or brand the last word holds: "more of comedy" after "not comedy" takes it back.
An item that is hidden stays so until that is undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.columns import MAX_CATEGORIES, ItemColumns, Mask, Rows
from operators.controls import IDS, Control, entries_of, in_force
from operators.time import HOUR
from schemas import controls as names

Codes = npt.NDArray[np.int64]
EXPLORE_MS = HOUR
"""for how long "explore something new" is in force"""
OF_CATEGORY = frozenset({names.NOT_CATEGORY, names.MORE_CATEGORY, names.INTEREST})
OF_BRAND = frozenset({names.NOT_BRAND, names.MORE_BRAND})
REFUSALS = frozenset({names.NOT_CATEGORY, names.NOT_BRAND})


def asked(user: Mapping[str, Any], at: int = 0) -> list[Control]:
    """The controls of a row (field name → value) that are in force at `at`, epoch ms, newest first; of what was said of
    one category or brand, what is older than a refusal of it, or than what takes the refusal back, is left out."""
    found: list[Control] = []
    last: dict[tuple[bool, str], bool] = {}
    for control in in_force(entries_of(user)):
        if control.kind == names.EXPLORE and at >= control.at + EXPLORE_MS:
            continue
        if control.kind in OF_CATEGORY or control.kind in OF_BRAND:
            about = control.kind in OF_BRAND, control.target
            refused = control.kind in REFUSALS
            if last.setdefault(about, refused) is not refused:
                continue
        found.append(control)
    return found


def with_interests(user: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with the interests that controls state added to those of the profile, and without those that are
    refused."""
    if not len(user.get(IDS, ())):
        return user
    controls = asked(user)
    refused = {control.target for control in controls if control.kind == names.NOT_CATEGORY}
    stated = [control.target for control in reversed(controls) if control.kind == names.INTEREST]
    kept = [name for name in dict.fromkeys((*user["interests"], *stated)) if name not in refused]
    return {**user, "interests": kept}


@dataclass(frozen=True)
class PersonControls:
    """The controls in force over the columns; none for a stranger."""

    columns: ItemColumns
    found: Sequence[Control]
    """as `asked` gives them"""

    def targets(self, *kinds: str) -> list[str]:
        """Targets of the controls of these kinds, each once, newest first."""
        if not self.found:
            return []
        return list(dict.fromkeys(control.target for control in self.found if control.kind in kinds))

    # -- what is out ---------------------------------------------------------------------------------

    @cached_property
    def hidden(self) -> Rows:
        """Rows of the hidden items, ascending."""
        return np.sort(self.columns.rows(self.targets(names.HIDE)))

    @cached_property
    def refused_categories(self) -> frozenset[str]:
        return frozenset(self.targets(names.NOT_CATEGORY))

    @cached_property
    def refused_brands(self) -> frozenset[str]:
        return frozenset(self.targets(names.NOT_BRAND))

    @property
    def refuses(self) -> bool:
        """Whether any category or brand is refused."""
        return bool(self.refused_categories or self.refused_brands)

    @property
    def removes(self) -> bool:
        """Whether any item may be out."""
        return self.refuses or len(self.hidden) > 0

    def allowed(self, available: Mask) -> Mask:
        """Those of `available` (n,) that are neither hidden nor refused."""
        if not self.removes:
            return available
        kept = available.copy()
        n = len(kept)
        kept[self.hidden[self.hidden < n]] = False
        if self.refuses:
            kept[self._refused(self.columns.categories[:n], self.columns.brand[:n], None)] = False
        return kept

    def refused(self, rows: Rows) -> Mask:
        """Which of `rows` (n,) are of items of a refused category or brand."""
        found = np.zeros(len(rows), bool)
        columns = self.columns
        found[self._refused(columns.categories.take(rows, axis=0), columns.brand.take(rows), rows)] = True
        return found

    def _refused(self, categories: Codes, brands: Codes, rows: Rows | None) -> Rows:
        """Places of what is refused among codes (n, 8) and (n,), those of `rows` (n,) or of all rows where None."""
        out = [np.zeros(0, np.int64)]
        if self.refused_categories:
            flags = _table(self.columns.category_codes, self.refused_categories)
            out.append(np.flatnonzero(flags.take(categories.ravel(), mode="clip")) // MAX_CATEGORIES)
            # The columns have the first categories of an item alone.
            full = np.flatnonzero(categories[:, -1])
            of_full = full if rows is None else rows.take(full)
            out.append(full[[self._is_refused(row) for row in of_full.tolist()]] if len(full) else full)
        if self.refused_brands:
            flags = _table(self.columns.brand_codes, self.refused_brands)
            out.append(np.flatnonzero(flags.take(brands, mode="clip")))
        return np.concatenate(out)

    def _is_refused(self, row: int) -> bool:
        item = self.columns.items[row]
        return item is not None and not self.refused_categories.isdisjoint(item.categories)

    # -- what is moved -------------------------------------------------------------------------------

    @cached_property
    def less_like(self) -> Rows:
        """Rows of the items of which fewer alike are asked for, ascending."""
        return np.sort(self.columns.rows(self.targets(names.LESS_LIKE)))

    @cached_property
    def more_categories(self) -> list[str]:
        """Categories of which more is asked for, newest first."""
        return self.targets(names.MORE_CATEGORY)

    @cached_property
    def more_brands(self) -> list[str]:
        return self.targets(names.MORE_BRAND)

    @cached_property
    def interests(self) -> list[str]:
        """Categories stated as interests by a control."""
        return self.targets(names.INTEREST)

    @property
    def steers(self) -> bool:
        """Whether any item may be lowered or raised."""
        return bool(len(self.less_like) or self.more_categories or self.more_brands or self.interests)

    @cached_property
    def explores(self) -> bool:
        """Whether the person asked for something new within the last EXPLORE_MS."""
        return any(control.kind == names.EXPLORE for control in self.found)


def _table(codes: Mapping[Any, int], wanted: Iterable[str]) -> npt.NDArray[np.bool_]:
    """For each code whether it is of a wanted name. The last entry stands for codes of names that another thread adds
    meanwhile: of none of these."""
    table = np.zeros(len(codes) + 2, bool)
    table[[code for name in wanted if (code := codes.get(name)) is not None]] = True
    return table
