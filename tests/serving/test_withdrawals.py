"""How long a withdrawal holds, and which records it deletes."""

from __future__ import annotations

from pathlib import Path

from schemas import codec
from schemas.events import User
from schemas.topics import INTERACTIONS, USERS
from serving.record_store import RecordStore, StoredRecord
from serving.withdrawals import DELETED_MS, Withdrawals

YES, NO, UNSAID = (codec.encode(User("ann", consent=each)) for each in (True, False, None))
NOW = 1_000_000


class World:
    def __init__(self, most: int = 10) -> None:
        self.now = NOW
        self.deleted: list[tuple[str, int]] = []
        self.of = Withdrawals(lambda *found: self.deleted.append(found), most, lambda: self.now)

    def read(self, value: bytes | None, at: int) -> None:
        self.of.on_record(USERS, b"ann", value, at)


def test_a_withdrawal_holds_until_consent_is_given() -> None:
    world = World()
    world.of.set_live()
    world.read(NO, NOW - 5)
    assert world.deleted == [("ann", NOW)], "what was recorded before it was read, too"
    world.now += 10**12
    world.read(UNSAID, world.now)
    assert "ann" in world.of
    world.read(YES, world.now)
    assert "ann" not in world.of
    assert world.deleted[1:] == [("ann", world.now)]


def test_an_older_consent_that_is_read_later_gives_none() -> None:
    world = World()
    world.of.withdraw("ann", NOW)
    world.read(YES, NOW - 1)
    assert "ann" in world.of
    world.read(NO, NOW)
    world.read(YES, NOW)
    assert "ann" not in world.of


def test_a_deleted_profile_is_held_for_a_while_and_ends_no_withdrawal() -> None:
    world = World()
    world.of.set_live()
    world.read(None, NOW)
    assert "ann" in world.of
    world.now += DELETED_MS
    assert "ann" not in world.of
    world.read(NO, world.now)
    world.read(None, world.now)
    world.now += 10**12
    assert "ann" in world.of


def test_a_consent_long_after_a_deletion_deletes_nothing() -> None:
    world = World()
    world.of.set_live()
    world.read(None, NOW)
    world.now += 100 * DELETED_MS
    world.read(YES, world.now)
    assert world.deleted == [("ann", NOW)]


def test_those_who_withdrew_last_are_kept() -> None:
    world = World(most=2)
    for user_id in ("a", "b", "a", "c"):
        world.of.withdraw(user_id, NOW)
    assert [each for each in "abc" if each in world.of] == ["a", "c"]


def test_other_topics_say_nothing() -> None:
    world = World()
    world.of.on_record(INTERACTIONS, b"ann", b"anything", NOW)
    assert not world.deleted


def test_a_start_deletes_no_record_that_a_later_consent_allows(tmp_path: Path) -> None:
    """The topic is read again: a withdrawal, and a new consent some time later."""
    store = RecordStore(tmp_path / "answers.db")
    store.write([StoredRecord(f"r{at}", "ann", at, "", b"x") for at in (10, 20, 30, 40)], [])
    world = World()
    found: list[tuple[str, int]] = world.deleted
    world.read(NO, 15)
    assert found == [("ann", 15)]
    world.read(YES, 25)
    world.of.set_live()
    for each in found:
        store.forget(dict([each]))
    assert [at for at in (10, 20, 30, 40) if store.find(f"r{at}")] == [30, 40]


def test_whoever_has_not_consented_since_has_no_records_once_the_topic_is_read() -> None:
    world = World()
    world.read(NO, 15)
    world.of.set_live()
    assert world.deleted == [("ann", 15), ("ann", NOW)]
