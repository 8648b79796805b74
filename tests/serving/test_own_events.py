"""What this server has written lately and the store may not show yet, in bounded memory."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from operators.contract import Record
from schemas.events import Impression, User
from serving.own_events import PER_PERSON, PERSON_BYTES, OwnEvents
from tests.serving.made import NOW, click, person


def record(offset: int, user_id: str = "u1", partition: int = 0, arrived: int = NOW) -> Record:
    return Record(click(f"e{offset}", user_id), "interactions", partition, offset, arrived)


def test_what_the_row_shows_is_not_pending() -> None:
    own = OwnEvents(1000)
    for offset in range(5):
        own.add(record(offset), NOW)
    row = person(read_partition=0, read_offset=2)
    assert [r.offset for r in own.pending("u1", row)] == [3, 4]
    assert [r.offset for r in own.pending("u1", None)] == [0, 1, 2, 3, 4]
    assert [r.offset for r in own.pending("u1", person(read_partition=1, read_offset=99))] == [0, 1, 2, 3, 4]
    assert own.pending("u2", None) == []


def profile(offset: int, partition: int = 0, arrived: int = NOW) -> Record:
    return Record(User("u1", consent=False), "users", partition, offset, arrived)


def row(offset: int, partition: int = 0, arrived: int = NOW) -> dict[str, Any]:
    return person(profile_partition=partition, profile_offset=offset, profile_arrived=arrived)


def test_a_profile_is_pending_until_the_row_has_it_or_a_later_one() -> None:
    own = OwnEvents(1000)
    own.add(profile(7), NOW)
    assert own.pending("u1", None) == [profile(7)]
    assert own.pending("u1", person()) == [profile(7)]
    assert own.pending("u1", row(6)) == [profile(7)]
    assert own.pending("u1", row(7)) == []
    assert own.pending("u1", row(8)) == [], "through another server"
    assert own.pending("u1", row(6)) == [profile(7)], "a store that was set back"


def test_of_profiles_in_two_partitions_the_brokers_time_decides() -> None:
    own = OwnEvents(1000)
    own.add(profile(7, arrived=NOW), NOW)
    assert own.pending("u1", row(99, partition=1, arrived=NOW - 1)) == [profile(7)]
    assert own.pending("u1", row(0, partition=1, arrived=NOW + 1)) == []


def test_of_own_profiles_the_last_counts() -> None:
    own = OwnEvents(1000)
    for offset in range(3):
        own.add(profile(offset), NOW)
    assert own.pending("u1", None) == [profile(2)]
    assert len(own) == 1


def test_large_events_are_bounded_by_their_bytes() -> None:
    own = OwnEvents(1000, total_bytes=100_000)
    for n in range(50):
        large = click(f"e{n}", f"u{n}", properties={"query": "x" * 9_000})
        own.add(Record(large, "interactions", 0, n, NOW), NOW)
        assert own.size <= 100_000
    assert 5 < len(own) < 12
    assert own.pending("u49", None) != []
    assert own.pending("u0", None) == []


def test_one_person_of_large_events_keeps_the_last() -> None:
    own = OwnEvents(1000)
    for n in range(20):
        large = click(f"e{n}", properties={"query": "x" * 1_000_000})
        own.add(Record(large, "interactions", 0, n, NOW), NOW)
    assert own.size <= PERSON_BYTES
    assert [r.offset for r in own.pending("u1", None)] == [16, 17, 18, 19]
    assert not own.covers("u1", person(read_partition=0, read_offset=14))
    assert own.covers("u1", person(read_partition=0, read_offset=15))


def test_a_profile_that_states_no_consent_leaves_a_withdrawal_in_force() -> None:
    own = OwnEvents(1000)
    withdrawn = Record(User("u1", consent=False), "users", 0, 1, NOW)
    moved = [Record(User("u1", {"country": name}), "users", 0, n, NOW) for n, name in ((2, "DE"), (4, "FR"))]
    for each in (withdrawn, *moved):
        own.add(each, NOW)
    last = moved[1]._replace(event=User("u1"))  # without consent nothing else of a profile is kept
    assert own.pending("u1", person()) == [withdrawn, last]
    assert own.pending("u1", row(3)) == [last], "whatever another server has written since"
    assert own.pending("u1", row(4)) == []


def test_who_goes_on_clicking_keeps_no_old_profile() -> None:
    own = OwnEvents(1000)
    own.add(Record(User("u1", consent=False), "users", 0, 1, NOW), NOW)
    own.add(record(1, arrived=NOW + 1001), NOW + 1001)
    assert [r.topic for r in own.pending("u1", None)] == ["interactions"]


def withdrawal(offset: int, consent: bool | None = False) -> Record:
    return Record(User("u1", {"country": "DE"}, consent=consent), "users", 0, offset, NOW)


def test_a_withdrawal_drops_interactions_and_keeps_no_more_until_consent_is_given() -> None:
    own = OwnEvents(1000)
    own.add(record(0), NOW)
    own.add(withdrawal(1), NOW)
    own.add(record(2), NOW)
    own.add(withdrawal(3, None), NOW)
    assert [(r.offset, r.event) for r in own.pending("u1", None)] == [(1, User("u1", consent=False)), (3, User("u1"))]
    assert not own.covers("u1", person(read_partition=0, read_offset=1)), "of what is not kept only the row can tell"
    assert own.covers("u1", person(read_partition=0, read_offset=2))
    own.add(withdrawal(4, True), NOW)
    own.add(record(5), NOW)
    assert [r.offset for r in own.pending("u1", None)] == [4, 5]
    assert own.size == sum(len(msgspec.msgpack.encode(r.event)) for r in own.pending("u1", None))


def test_a_row_that_says_so_withdraws_and_allows_as_well() -> None:
    own = OwnEvents(1000)
    own.withdraw("u1")
    own.add(record(0), NOW)
    own.withdraw("u1")
    assert own.pending("u1", None) == []
    assert not own.covers("u1", None)
    own.add(withdrawal(1), NOW)
    own.allow("u1")
    own.add(record(2), NOW)
    assert [r.offset for r in own.pending("u1", None)] == [1, 2]
    own.add(record(3, "u2", arrived=NOW + 1001), NOW + 1001)
    assert not own.covers("u1", person(read_partition=0, read_offset=9)), "forgotten, with nothing left"


def test_what_gave_way_is_not_covered_before_the_row_shows_it() -> None:
    own = OwnEvents(1000)
    for offset in range(PER_PERSON + 10):
        own.add(record(offset), NOW)
    assert not own.covers("u1", None)
    assert not own.covers("u1", person(read_partition=0, read_offset=8))
    assert own.covers("u1", person(read_partition=0, read_offset=9))


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
