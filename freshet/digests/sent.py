"""What was sent, as the topic `digests` has it: caps and repetitions are checked against it."""

from __future__ import annotations

import sqlite3

from schemas.digests import Digest

_TABLES = """
CREATE TABLE sent (digest_id TEXT PRIMARY KEY, user_id TEXT, channel TEXT, at INTEGER) WITHOUT ROWID;
CREATE INDEX of_person ON sent (user_id, channel);
"""


class Sent:
    """Digests by person and by id, in a temporary file of SQLite's, so that memory does not grow with the people. The
    file is private to this object, and gone with it: the topic is what lasts."""

    def __init__(self) -> None:
        self._of = sqlite3.connect("", isolation_level=None)
        self._of.executescript(_TABLES)
        self._of.execute("BEGIN")  # nothing is to survive this process: no commit is waited for

    def add(self, digest: Digest) -> None:
        """Takes a digest; again, the first one stays."""
        row = digest.digest_id, digest.user_id, digest.channel, digest.timestamp
        self._of.execute("INSERT OR IGNORE INTO sent VALUES (?, ?, ?, ?)", row)

    def has(self, digest_id: str) -> bool:
        """Whether a digest of this id was sent."""
        return self._of.execute("SELECT 1 FROM sent WHERE digest_id = ?", (digest_id,)).fetchone() is not None

    def times(self, user_id: str, channel: str) -> list[int]:
        """When the person got messages of the channel, epoch ms."""
        found = self._of.execute("SELECT at FROM sent WHERE user_id = ? AND channel = ?", (user_id, channel))
        return [at for (at,) in found]

    def close(self) -> None:
        """Drops all of it."""
        self._of.close()
