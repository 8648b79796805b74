"""Training learns from what the job accepts, in the order in which it was known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import views
from operators.contract import Record
from operators.keyed import UserOperator
from operators.time import hours
from schemas.errors import EventError
from schemas.events import MAX_FUTURE_MS, Event, Impression, Interaction, Item, User
from tests.operators.records import World
from training.accepted import Arrivals, Log, LogAdmission

T = 1_767_225_600_000
CENTURY = 2**42


def click(name: str, at: int, user: str = "u", item: str = "i") -> Interaction:
    return Interaction(name, "click", user, at, item)


def records(*events: Event) -> list[Record]:
    """The broker has each a millisecond after the one before."""
    return [Record(event, "interactions", 0, n, T + n) for n, event in enumerate(events)]


def test_an_event_that_the_job_refused_is_neither_a_label_nor_a_factor() -> None:
    log = Log.taken(
        records(click("e1", T), click("future", T + CENTURY), click("e1", T), click("late", T - hours(25))), []
    )
    assert [e.event_id for e in log.interactions] == ["e1"]
    assert log.refused == {"too_far_in_future": 1, "duplicate": 1, "too_late": 1}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("uv"),
            st.sampled_from("abcdef"),
            st.integers(-hours(60), 2 * MAX_FUTURE_MS),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_the_verdict_is_that_of_the_job(drawn: list[tuple[str, str, int, bool]]) -> None:
    """Any order of late, future and repeated interactions and impressions."""
    operator, states, accepted = UserOperator(views.user, World()), {}, []
    records = [
        Record(Impression(name, user, T + at, ["i"]) if shown else click(name, T + at, user), arrived=T)
        for user, name, at, shown in drawn
    ]
    for record in records:
        state = states.setdefault(record.event.user_id, operator.new())  # type: ignore[union-attr]
        try:
            operator.on_event("", state, record)
        except EventError:
            continue
        accepted.append(record)
    admission = LogAdmission()
    assert [record for record in records if admission.accepts(record)] == accepted
    assert admission.refused.total() == len(records) - len(accepted)


@pytest.mark.parametrize(("allowed", "expected"), [(hours(1), 1), (hours(2), 2), (None, 2)])
def test_lateness_is_the_jobs(allowed: int | None, expected: int) -> None:
    log = Log.taken(records(click("a", T), click("late", T - hours(2))), [], lateness=allowed)
    assert len(log.interactions) == expected


def test_a_late_event_stands_where_it_was_known() -> None:
    events = (
        click("a", T),
        click("other", T + 5, "v"),
        click("b", T + 10),
        click("late", T + 2),
        click("c", T + 20, "v"),
    )
    log = Log.taken(records(*events), [])
    assert [e.event_id for e in log.interactions] == ["a", "other", "b", "late", "c"]
    assert log.times == [T, T + 5, T + 10, T + 10, T + 20]


def test_a_shuffled_file_is_sorted_and_nothing_of_it_is_late() -> None:
    events = [click(f"e{n}", T + n * hours(30)) for n in range(20)]
    shuffled = random.Random(0).sample(events, 20)
    assert Log.of([*shuffled, events[3]], []).interactions == events
    assert [e.event_id for e in Log.of(shuffled, [], now=T).interactions] == ["e0"]


def test_people_without_consent_are_in_none_of_it() -> None:
    events = records(
        User("no"), click("e1", T, "no"), Impression("r1", "no", T, ["i"]), User("no", consent=False),
        User("yes", consent=False), click("e2", T, "yes"), User("yes", consent=True), click("e3", T, "unsaid"),
        click("e4", T, "yes"),
    )  # fmt: skip
    log = Log.taken(events, [])
    assert {e.user_id for e in (*log.interactions, *log.impressions, *log.users)} == {"yes", "unsaid"}
    assert log.refused == {"no_consent": 3}
    assert {e.user_id for e in Log.taken(events, [], opt_in=True).interactions} == {"yes"}
    assert {e.user_id for e in Log.taken(events, [], withdrawn=["unsaid"]).interactions} == {"yes"}


def test_a_later_profile_holds_from_its_place_on() -> None:
    log = Log.taken(records(User("u", {"n": 1}), click("a", T), User("u", {"n": 2}), click("b", T + 9)), [])
    assert [(at, u.attributes["n"]) for at, u in zip(log.user_times, log.users, strict=True)] == [(0, 1), (T + 2, 2)]


@pytest.mark.parametrize(
    ("item", "known", "expected"),
    [
        (Item("x", created_at=T + 50), {}, T + 50),
        (Item("x", created_at=T + 50), {"x": T}, T + 50),
        (Item("x"), {"x": T + 70}, T + 70),
        (Item("x"), {}, 0),
        (Item("i", created_at=T + 50), {}, T + 4),
        (Item("shown", created_at=T + 50), {}, T + 1),
    ],
)
def test_when_an_item_begins_to_exist(item: Item, known: dict[str, int], expected: int) -> None:
    events = records(Impression("r", "u", T + 1, ["shown"]), click("a", T + 3))
    log = Log.taken(events, [item], known)
    assert {i.item_id: at for at, i in log.arrivals}[item.item_id] == expected


def test_items_are_put_once_in_the_order_of_their_arrival() -> None:
    log = Log.taken(
        records(click("a", T, item="unlisted")), [Item("late", created_at=T + 9), Item("early", created_at=5)]
    )
    put: list[str] = []
    arrivals = Arrivals(log, lambda item: put.append(item.item_id))
    arrivals.until(4)
    assert put == []
    arrivals.until(T)
    assert put == ["early"], "at its own first event an item is no candidate yet"
    arrivals.until(T + 1)
    arrivals.until(T - 1)
    assert put == ["early", "unlisted"]
    arrivals.until(T + 9)
    assert put == ["early", "unlisted", "late"]


def test_a_withdrawal_takes_what_was_before_it_and_until_the_next_consent() -> None:
    events = records(
        User("u", {"age": 3}), click("before", T), User("u", consent=False), click("between", T + 1),
        User("u"), click("still", T + 2), User("u", {"age": 4}, consent=True), click("after", T + 3),
    )  # fmt: skip
    log = Log.taken(events, [])
    assert [e.event_id for e in log.interactions] == ["after"]
    assert log.refused == {"no_consent": 3}
    assert [u.attributes for u in log.users] == [{"age": 4}]


def test_what_the_job_has_taken_is_not_judged_by_the_rules_of_today() -> None:
    told = [Record(click(name, at), arrived=T, taken=T) for name, at in (("e1", T), ("e2", T - hours(40)), ("e1", T))]
    log = Log.taken(told, [])
    assert sorted(e.event_id for e in log.interactions) == ["e1", "e2"]


@pytest.mark.parametrize("read_first", [True, False])
def test_what_came_before_consent_was_given_again_is_not_learned_from(read_first: bool) -> None:
    """Whatever the order in which topics are read: only when the broker had each message counts."""
    said = [Record(Interaction(f"e{n}", "click", "u1", T + n, "i1"), arrived=T + n) for n in (0, 2, 4)]
    profiles = [Record(User("u1", consent=n == 3), arrived=T + n) for n in (1, 3)]
    log = Log.taken([*profiles, *said] if read_first else [*said, *profiles], [])
    assert [event.event_id for event in log.interactions] == ["e4"]
    assert log.refused == {"no_consent": 2}
    withdrawn = Log.taken([*said, *profiles, Record(User("u1", consent=False), arrived=T)], [])
    assert [event.event_id for event in withdrawn.interactions] == ["e4"], "one that the broker had before"


@pytest.mark.parametrize(("late", "holds_from"), [(0, T + hours(3)), (hours(24 * 365), 0)])
def test_a_first_profile_after_live_events_holds_from_its_place(late: int, holds_from: int) -> None:
    """One that was made after events that were sent as they happened was not known to them; that of an imported history
    may have been."""
    clicks = [click(f"e{n}", T + hours(n) - late) for n in range(3)]
    records = [Record(event, "interactions", 0, n, T + hours(n)) for n, event in enumerate(clicks)]
    records.append(Record(User("u", {"paid": True}), "users", 0, 0, T + hours(3)))
    log = Log.taken(records, [], lateness=None)
    assert list(log.user_times) == [holds_from]


def test_a_first_profile_that_was_sent_before_the_first_event_holds_from_the_start() -> None:
    """The job takes topics in any order: after a pause it had the clicks first."""
    clicks = [Record(click(f"e{n}", T + n), "interactions", 0, n, T + n) for n in range(3)]
    profile = Record(User("u", {"paid": True}), "users", 0, 0, T - 600_000)
    assert list(Log.taken([*clicks, profile], []).user_times) == [0]
