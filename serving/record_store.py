"""Records of answers in one SQLite file, by the id of the request.

A file next to the server, and no topic: a record is looked up by its request, has to be gone once its person withdraws
consent, and is of no use to the job. Several processes of a server share the file; what is deleted is overwritten.

Records that were made of other people's favourites are found by those people too, so that they are gone once one of
them withdraws consent: the file has the ids of these people, apart from the records.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

LAYOUT = 3
"""of the tables; a file of another one is emptied"""
TABLES = f"""
DROP TABLE IF EXISTS made_of;
DROP TABLE IF EXISTS key;
DROP TABLE IF EXISTS records;
DROP TABLE IF EXISTS rules;
CREATE TABLE records (
    request_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, at INTEGER NOT NULL, rules TEXT NOT NULL, record BLOB NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX of_user ON records (user_id);
CREATE INDEX of_rules ON records (rules);
CREATE INDEX by_time ON records (at DESC, request_id, bytes);
CREATE TABLE made_of (
    person TEXT, request_id TEXT REFERENCES records ON DELETE CASCADE, PRIMARY KEY (person, request_id)
) WITHOUT ROWID;
CREATE INDEX made_of_request ON made_of (request_id);
CREATE TABLE rules (digest TEXT PRIMARY KEY, rules BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {LAYOUT};
"""
PERSON_BYTES = 110
"""about what an entry of `made_of` takes in the table and its index, with ids of 24 characters"""
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
            db.executemany(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)",
                [(*each[:5], len(each.record) + PERSON_BYTES * len(each.made_of)) for each in entries],
            )
            db.executemany(
                "INSERT OR IGNORE INTO made_of VALUES (?, ?)",
                [(person, each.request_id) for each in entries for person in each.made_of],
            )

    def forget(self, until: Mapping[str, int]) -> None:
        """Deletes the records of these people, and those that were made of their favourites, up to the time that each
        has, epoch ms."""
        if not self.exists:
            return
        people = [(at, each) for each, at in until.items()]
        with closing(self._open()) as db, db:
            db.executemany("DELETE FROM records WHERE at <= ? AND user_id = ?", people)
            db.executemany(
                "DELETE FROM records WHERE at <= ? "
                "AND request_id IN (SELECT request_id FROM made_of WHERE person = ?)", people,
            )  # fmt: skip

    def prune(self, oldest: int, most_bytes: int) -> None:
        """Deletes records older than `oldest`, epoch ms, and the oldest ones beyond so many bytes, those of the
        people that they were made of included; and rules that no record has."""
        if not self.exists:
            return
        with closing(self._open()) as db, db:
            db.execute("DELETE FROM records WHERE at < ?", (oldest,))
            over = db.execute(
                "SELECT max(at) FROM (SELECT at, sum(bytes) OVER (ORDER BY at DESC, request_id) AS total "
                "FROM records) WHERE total > ?", (most_bytes,),
            ).fetchone()[0]  # fmt: skip
            if over is not None:
                db.execute("DELETE FROM records WHERE at <= ?", (over,))
            db.execute("DELETE FROM rules WHERE NOT EXISTS (SELECT 1 FROM records WHERE records.rules = digest)")

    def find(self, request_id: str) -> StoredRecord | None:
        """The record of a request."""
        if not self.exists:
            return None
        with closing(self._open()) as db:
            found = db.execute(
                "SELECT request_id, user_id, at, rules, record FROM records WHERE request_id = ?", (request_id,)
            ).fetchone()
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
            db.execute("PRAGMA foreign_keys=ON")
            if _layout(db) != LAYOUT:
                db.execute("BEGIN IMMEDIATE")
                if _layout(db) == LAYOUT:  # another process has made the tables meanwhile
                    db.rollback()
                else:
                    for statement in TABLES.strip().removesuffix(";").split(";"):
                        db.execute(statement)
                    db.commit()
        except BaseException:
            db.close()
            raise
        return db


def _layout(db: sqlite3.Connection) -> int:
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    return found
