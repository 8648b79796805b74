"""Records of answers in one SQLite file, by the id of the request.

A file next to the server, and no topic: a record is looked up by its request, has to be gone once its person withdraws
consent, and is of no use to the job. Several processes of a server share the file; what is deleted is overwritten.

Records that were made of other people's favourites are found by those people too, so that they are gone once one of
them withdraws consent. They stand in the file as keyed digests: it lists nobody.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

TABLES = """
CREATE TABLE IF NOT EXISTS records (
    request_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, at INTEGER NOT NULL, rules TEXT NOT NULL, record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS of_user ON records (user_id);
CREATE INDEX IF NOT EXISTS by_time ON records (at);
CREATE TABLE IF NOT EXISTS made_of (
    person BLOB, request_id TEXT, PRIMARY KEY (person, request_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS made_of_request ON made_of (request_id);
CREATE TABLE IF NOT EXISTS key (one INTEGER PRIMARY KEY CHECK (one = 1), key BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rules (digest TEXT PRIMARY KEY, rules BLOB NOT NULL) WITHOUT ROWID;
"""
_ORPHANS = "DELETE FROM made_of WHERE request_id NOT IN (SELECT request_id FROM records)"
WAIT_S = 5.0
"""how long a write waits for another process"""


class StoredRecord(NamedTuple):
    """A record as it is stored. `at` is epoch ms; `made_of` are the people whose favourites it has, which are written
    and not read."""

    request_id: str
    user_id: str
    at: int
    rules: str
    record: bytes
    made_of: Collection[str] = ()


class RecordStore:
    """One file. Every call opens it, so that any thread may make one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def write(self, entries: Sequence[StoredRecord], rules: Iterable[tuple[str, bytes]]) -> None:
        """Adds records, and rules by their digest, all or none. Raises sqlite3.Error, or OSError for the folder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as db, db:
            db.executemany("INSERT OR IGNORE INTO rules VALUES (?, ?)", rules)
            db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", [each[:5] for each in entries])
            if any(each.made_of for each in entries):
                key = _key(db)
                db.executemany(
                    "INSERT OR IGNORE INTO made_of VALUES (?, ?)",
                    [(_digest(key, person), each.request_id) for each in entries for person in each.made_of],
                )

    def forget(self, user_ids: Iterable[str]) -> None:
        """Deletes all records of these people, and those that were made of their favourites."""
        if not self.exists:
            return
        with closing(self._open()) as db, db:
            key = _key(db)
            people = [(each, _digest(key, each)) for each in user_ids]
            db.executemany(
                "DELETE FROM records WHERE user_id = ?1 "
                "OR request_id IN (SELECT request_id FROM made_of WHERE person = ?2)", people,
            )  # fmt: skip
            db.execute(_ORPHANS)

    def prune(self, oldest: int, most_bytes: int) -> None:
        """Deletes records older than `oldest`, epoch ms, and the oldest ones beyond so many bytes; and rules that no
        record has."""
        if not self.exists:
            return
        with closing(self._open()) as db, db:
            db.execute("DELETE FROM records WHERE at < ?", (oldest,))
            over = db.execute(
                "SELECT max(at) FROM (SELECT at, sum(length(record)) OVER (ORDER BY at DESC, request_id) AS bytes "
                "FROM records) WHERE bytes > ?", (most_bytes,),
            ).fetchone()[0]  # fmt: skip
            if over is not None:
                db.execute("DELETE FROM records WHERE at <= ?", (over,))
            db.execute(_ORPHANS)
            db.execute("DELETE FROM rules WHERE digest NOT IN (SELECT rules FROM records)")

    def find(self, request_id: str) -> StoredRecord | None:
        """The record of a request."""
        if not self.exists:
            return None
        with closing(self._open()) as db:
            found = db.execute("SELECT * FROM records WHERE request_id = ?", (request_id,)).fetchone()
        return None if found is None else StoredRecord(*found)

    def rules(self, digest: str) -> bytes | None:
        """The rules of this digest."""
        if not self.exists:
            return None
        with closing(self._open()) as db:
            found = db.execute("SELECT rules FROM rules WHERE digest = ?", (digest,)).fetchone()
        return None if found is None else bytes(found[0])

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=WAIT_S)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA secure_delete=ON")
            db.executescript(TABLES)
        except BaseException:
            db.close()
            raise
        return db


def _key(db: sqlite3.Connection) -> bytes:
    """The key of the file's digests, made with the first of them."""
    db.execute("INSERT OR IGNORE INTO key VALUES (1, ?)", (secrets.token_bytes(32),))
    return bytes(db.execute("SELECT key FROM key").fetchone()[0])


def _digest(key: bytes, user_id: str) -> bytes:
    return hashlib.blake2b(user_id.encode(), key=key, digest_size=16).digest()
