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

from feature_repo.columns import ItemColumns, Mask, Rows
from operators.controls import IDS, Control, entries_of, in_force
from operators.time import HOUR
from schemas import controls as names

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
        return bool(self.found) and (self.refuses or len(self.hidden) > 0)

    def allowed(self, available: Mask) -> Mask:
        """Those of `available` (n,) that are neither hidden nor refused."""
        if not self.removes:
            return available
        kept = available.copy()
        columns = self.columns
        refused = [*map(columns.by_category.of, self._category_codes), *map(columns.by_brand.of, self._brand_codes)]
        for rows in (self.hidden, *refused):
            kept[rows[rows < len(kept)]] = False
        return kept

    def refused(self, rows: Rows) -> Mask:
        """Which of `rows` (n,) are of items of a refused category or brand."""
        found = np.zeros(len(rows), bool)
        for code in self._category_codes:
            found |= self.columns.in_category(code, rows)
        for code in self._brand_codes:
            found |= self.columns.of_brand(code, rows)
        return found

    @cached_property
    def _category_codes(self) -> list[int]:
        """Codes of the refused categories that any item has."""
        return codes_of(self.columns.category_codes, self.refused_categories)

    @cached_property
    def _brand_codes(self) -> list[int]:
        return codes_of(self.columns.brand_codes, self.refused_brands)

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
        if not self.found:
            return False
        return bool(len(self.less_like) or self.more_categories or self.more_brands or self.interests)

    @cached_property
    def explores(self) -> bool:
        """Whether the person asked for something new within the last EXPLORE_MS."""
        return any(control.kind == names.EXPLORE for control in self.found)


def codes_of(codes: Mapping[Any, int], wanted: Iterable[str]) -> list[int]:
    """Codes of the names that any item has."""
    return [code for name in wanted if (code := codes.get(name)) is not None]
