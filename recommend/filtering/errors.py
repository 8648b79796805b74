"""The error of a filter that cannot be used."""

from __future__ import annotations


class FilterError(ValueError):
    """A filter cannot be read or does not fit the known fields. `at` is the offset of the place in its text, from 0."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(f"character {at + 1}: {reason}")
        self.at = at
        self.reason = reason
