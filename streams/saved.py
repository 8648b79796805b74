"""Encoded states of the current key in Flink's map state: cell and part → bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from operators.aggregator import REBUILD, STATE
from operators.contract import Cells, owner
from schemas.errors import StateError

OF = "\x1f"
"""between a cell and its part in the names of Flink's state; names of cells do not hold it"""


class SavedCells:
    """The cells of all parts of a key. With the cell `state` goes the time as of which the part's row was written."""

    def __init__(self, state: Any, operator: str) -> None:
        """`state` is a Flink map state of the operator called so."""
        self._state = state
        self._operator = operator

    def load(self, owners: Collection[str]) -> dict[str, tuple[dict[str, bytes], int]]:
        """By part: cells, and the time of the row, epoch ms. Parts of other owners, whose features are no longer
        declared, are dropped. Raises StateError where the state is of an older version."""
        cells: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        times: dict[str, int] = {}
        for name, value in list(self._state.items()):
            cell, of, part = name.partition(OF)
            if not of:
                raise StateError(f"{self._operator}: the saved state is of an older version; {REBUILD}")
            if owner(part) not in owners:
                self._state.remove(name)
            elif cell == STATE:
                cells[part][cell], times[part] = value
            else:
                cells[part][cell] = value
        return {part: (found, times.get(part, 0)) for part, found in cells.items()}

    def put(self, parts: Mapping[str, tuple[Mapping[str, bytes | None], Cells, int]]) -> None:
        """Puts, by part: the cells that have changed, None for those that are gone; all cells; the time of the row."""
        found: dict[str, Any] = {}
        for part, (changed, cells, at) in parts.items():
            for cell, blob in changed.items():
                if blob is None:
                    self._state.remove(f"{cell}{OF}{part}")
                else:
                    found[f"{cell}{OF}{part}"] = blob
            found[f"{STATE}{OF}{part}"] = cells[STATE], at
        self._state.put_all(found)  # one call into the JVM: at each, another operator may get Python's lock

    def drop(self, part: str, cells: Iterable[str]) -> None:
        """Drops cells of a part, by name."""
        for cell in cells:
            self._state.remove(f"{cell}{OF}{part}")
