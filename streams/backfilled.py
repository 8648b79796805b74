"""Backfilled states: the states that new features start from, computed from the archive up to the job's savepoint.

A key takes its backfilled state when it is loaded: for features that its saved state has, the saved state holds; for
others, the backfilled one. A key that no event touches is loaded through the refresh topics, so that its row is written
and its timers are set.

The archive is ahead of the item operator: it also holds the elements that the savepoint has in tails. So elements of a
tail carry the epoch of the backfill that the job ran with, and are not applied to the states of a later backfill.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from operators import cells


class Backfilled:
    """The backfilled states of one operator; none where there is no file."""

    def __init__(self, file: Path | None, operator: str) -> None:
        self._operator = operator
        self._found: sqlite3.Connection | None = None
        self.epoch = 0
        if file is not None and file.is_file():
            self._found = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            ((self.epoch,),) = self._found.execute("SELECT id FROM epoch").fetchall()

    def of(self, key: str) -> list[tuple[str, dict[str, bytes]]]:
        """The (part, encoded state) pairs of a key. Raises StateError where the file is of an older version."""
        if self._found is None:
            return []
        asked = "SELECT part, state FROM states WHERE operator = ? AND key = ?"
        found = self._found.execute(asked, (self._operator, key)).fetchall()
        return [(part, cells.unpack(blob)) for part, blob in found]

    def close(self) -> None:
        if self._found is not None:
            self._found.close()
