"""States that features start from, made by a backfill over the archive up to the savepoint that the job resumes from.

A key takes its seed when it is loaded: of a feature that the key's saved state knows, the saved state holds; of one
that it does not know, the seed. A key that nobody touches is woken through the topics `wake_…`, so that its row is
written and its timers are set.

The archive is ahead of the item operator: what a savepoint found in its tails is in there too. So elements of a tail
carry the epoch of the seeds that the job ran with, and those of an earlier one are no news to a seed.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path


class Seeds:
    """The seeds of one operator; none where there is no file."""

    def __init__(self, file: Path | None, operator: str) -> None:
        self._operator = operator
        self._found: sqlite3.Connection | None = None
        self.epoch = 0
        if file is not None and file.is_file():
            self._found = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            ((self.epoch,),) = self._found.execute("SELECT id FROM epoch").fetchall()

    def of(self, key: str) -> list[tuple[str, bytes]]:
        """(part, encoded state) of the key's."""
        if self._found is None:
            return []
        asked = "SELECT part, state FROM seeds WHERE operator = ? AND key = ?"
        return self._found.execute(asked, (self._operator, key)).fetchall()

    def close(self) -> None:
        if self._found is not None:
            self._found.close()
