"""What a person has in rows of their own beside the main one, each in a part of their key: controls, follows, what they
were shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from operators import controls, follows, shown
from operators.contract import Record, View
from operators.controls import ControlsOperator
from operators.follows import FollowsOperator
from operators.shown import ShownOperator
from schemas.errors import StateError

Own: TypeAlias = ControlsOperator | FollowsOperator | ShownOperator

NAMES = {controls.PART: controls.NAMES, follows.PART: follows.NAMES}
"""part → the fields of its row, of the parts that continue outside the stream"""


class OwnRows:
    """The operators of these parts, those without a view left out."""

    def __init__(self, of_controls: View[Any] | None, of_follows: View[Any] | None, of_shown: View[Any] | None) -> None:
        self._of: dict[str, Own] = {}
        if of_controls:
            self._of[controls.PART] = ControlsOperator(of_controls)
        if of_follows:
            self._of[follows.PART] = FollowsOperator(of_follows)
        if of_shown:
            self._of[shown.PART] = ShownOperator(of_shown)

    def of(self, part: str) -> Own:
        """The operator of a part. Raises StateError where it was left out."""
        operator = self._of.get(part)
        if operator is None:
            raise StateError(f"the state has {part[1:]}, which this operator runs without")
        return operator

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        """The parts that a record changes."""
        return tuple(part for part, operator in self._of.items() if operator.parts(key, record))

    def of_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The states to continue from outside the stream, by part, from a row (field name → value)."""
        return {part: each.of_row(row) for part, each in self._of.items() if not isinstance(each, ShownOperator)}
