"""What this server has written lately and the store may not show yet, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.contract import Record
from schemas.events import Impression, User
from serving.own_events import PER_PERSON, OwnEvents
from tests.serving.made import NOW, click, person


def record(offset: int, user_id: str = "u1", partition: int = 0, arrived: int = NOW) -> Record:
    return Record(click(f"e{offset}", user_id), "interactions", partition, offset, arrived)


def test_what_the_row_shows_is_not_pending() -> None:
    own = OwnEvents(1000)
    for offset in range(5):
        own.add(record(offset), NOW)
    row = person(applied_partition=0, applied_offset=2)
    assert [r.offset for r in own.pending("u1", row)] == [3, 4]
    assert [r.offset for r in own.pending("u1", None)] == [0, 1, 2, 3, 4]
    assert [r.offset for r in own.pending("u1", person(applied_partition=1, applied_offset=99))] == [0, 1, 2, 3, 4]
    assert own.pending("u2", None) == []


def test_a_profile_is_pending_until_the_row_says_the_same() -> None:
    own = OwnEvents(1000)
    profile = Record(User("u1", {"country": "DE"}, ["comedy"]), "users", 0, 7, NOW)
    own.add(profile, NOW)
    assert own.pending("u1", person(interests=["drama"])) == [profile]
    assert own.pending("u1", person(interests=["comedy"], country="DE", consent=True)) == []


def test_consent_that_was_withdrawn_stays_withdrawn() -> None:
    own = OwnEvents(1000)
    given, withdrawn = (Record(User("u1", consent=says), "users", 0, n, NOW) for n, says in enumerate((True, False)))
    own.add(given, NOW)
    own.add(withdrawn, NOW)
    assert own.pending("u1", person(consent=True)) == [withdrawn]
    assert own.pending("u1", person(consent=False)) == []
    assert own.pending("u1", person(consent=True)) == [], "given anew through another server"
    assert own.covers("u1", person(consent=True))
    own.add(Record(User("u1", consent=False), "users", 0, 3, NOW), NOW)
    assert len(own.pending("u1", person(consent=True))) == 1
    assert len(own) == 1


def test_a_profile_that_states_no_consent_leaves_a_withdrawal_in_force() -> None:
    own = OwnEvents(1000)
    own.add(Record(User("u1", consent=False), "users", 0, 1, NOW), NOW)
    own.add(Record(User("u1", {"country": "DE"}), "users", 0, 2, NOW), NOW)
    (pending,) = own.pending("u1", person(consent=True))
    assert pending.event == User("u1", {"country": "DE"}, consent=False)
    assert own.pending("u1", person(country="DE", consent=False)) == []


def test_who_goes_on_clicking_keeps_no_old_profile() -> None:
    own = OwnEvents(1000)
    own.add(Record(User("u1", consent=False), "users", 0, 1, NOW), NOW)
    own.add(record(1, arrived=NOW + 1001), NOW + 1001)
    assert [r.topic for r in own.pending("u1", None)] == ["interactions"]


def test_what_gave_way_is_not_covered_before_the_row_shows_it() -> None:
    own = OwnEvents(1000)
    for offset in range(PER_PERSON + 10):
        own.add(record(offset), NOW)
    assert not own.covers("u1", None)
    assert not own.covers("u1", person(applied_partition=0, applied_offset=8))
    assert own.covers("u1", person(applied_partition=0, applied_offset=9))


def test_lists_shown_do_not_change_a_person() -> None:
    own = OwnEvents(1000)
    own.add(Record(Impression("r1", "u1", NOW, ["i1"]), "impressions", 0, 0, NOW), NOW)
    assert not own.covers("u1", None)
    assert len(own) == 0


def test_old_ones_are_forgotten() -> None:
    own = OwnEvents(1000)
    own.add(record(0, "old"), NOW)
    own.add(record(1, "new", arrived=NOW + 1001), NOW + 1001)
    assert not own.covers("old", None)
    assert own.covers("new", None)
    assert len(own) == 1


def test_one_person_does_not_crowd_out_the_others() -> None:
    own = OwnEvents(1000)
    for offset in range(PER_PERSON + 10):
        own.add(record(offset), NOW)
    assert len(own) == PER_PERSON
    assert own.pending("u1", None)[0].offset == 10, "the oldest go first"


def test_what_will_never_show_is_dropped() -> None:
    own = OwnEvents(1000)
    own.add(record(0), NOW)
    own.forget("u1", record(0))
    own.forget("u1", record(0))
    own.forget("u2", record(0))
    assert own.pending("u1", None) == []
    assert len(own) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 300), st.booleans())), st.integers(1, 12))
def test_never_more_than_the_limit_and_the_count_is_right(steps: list[tuple[int, int, bool]], total: int) -> None:
    own, now = OwnEvents(1000, total), NOW
    for offset, (who, passed, forget) in enumerate(steps):
        now += passed
        added = record(offset, f"u{who}", arrived=now)
        own.add(added, now)
        if forget:
            own.forget(f"u{who}", added)
        kept = [own.pending(f"u{k}", None) for k in range(10)]
        assert len(own) == sum(map(len, kept)) <= total
        assert all(records == sorted(records, key=lambda r: r.offset) for records in kept)
