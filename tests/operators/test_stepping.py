"""Stepping through time: every row that a reader could have seen differ is emitted, in order, and no other."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import builders, views
from operators.contexts import time_context
from operators.contract import Record, Signal
from operators.item import SENT
from operators.keyed import UserOperator
from operators.stepping import Emission, apply, event_time, expire, step, timers
from operators.time import DAY, HOUR, MINUTE
from schemas.errors import EventError, InvalidEvent, TooLate
from schemas.events import Impression, Interaction, Item, User
from tests.operators import records
from tests.operators.records import LATENESS, World
from tests.operators.signals import T0, MadeSpace


def user_operator() -> UserOperator:
    return builders.user_operator(World(MadeSpace("one")), LATENESS)


def click(id: str, at: int) -> Record:
    return Record(Interaction(id, "click", "u1", at, "i3"))


def values(emission: Emission) -> Any:
    return emission.row.values[:-1]


@pytest.mark.parametrize(
    ("event", "at"),
    [(Interaction("e", "click", "u", T0, "i"), T0), (Impression("r", "u", T0, ["i"]), T0),
     (Signal("click", T0, "i"), T0), (User("u"), 0), (Item("i", created_at=T0), 0)],
)  # fmt: skip
def test_event_time(event: Any, at: int) -> None:
    assert event_time(Record(event)) == at


@given(records.logs(most=10), st.floats(0, 1))
def test_between_two_emissions_the_row_holds(log: list[Record], part: float) -> None:
    """At any moment, whoever reads the store reads what a row made at that moment would say."""
    operator = user_operator()
    state, last = operator.new(), None
    for record in log:
        before = operator.encode("", state)
        until = max(event_time(record), operator.watermark(state))
        held = operator.decode("", before)
        try:
            done = step(operator, "u1", "", state, record)
        except EventError:
            assert operator.encode("", state) == before
            continue
        *fired, applied = done.emissions
        times = [e.at for e in done.emissions]
        assert times == sorted(times)
        assert len({e.at for e in fired}) == len(fired)
        assert applied.at == operator.watermark(state) == until
        assert applied.row == operator.row("u1", "", state, until)
        if last is not None:
            assert all(last.at < e.at <= until for e in fired)
            for earlier, later in zip([last, *fired], [*(e.at for e in fired), until], strict=True):
                moment = earlier.at + int(part * max(later - earlier.at - 1, 0))
                assert operator.row("u1", "", held, moment).values[:-1] == values(earlier)
        last = applied


@given(records.logs(most=10))
def test_each_timer_changes_the_row_and_after_the_last_nothing_is_left(log: list[Record]) -> None:
    operator = user_operator()
    state = operator.new()
    for record in log:
        try:
            operator.on_event("", state, record)
        except EventError:
            continue
    now = operator.watermark(state)
    first = Emission(operator.row("u1", "", state, now), now)
    emitted = [first, *expire(operator, "u1", "", state, now)]
    assert [e.at for e in emitted[1:]] == list(timers(operator, "", state, now))
    for earlier, later in pairwise(emitted):
        assert values(earlier) != values(later)
    row = dict(zip([f.name for f in views.user.fields], emitted[-1].row.values, strict=True))
    assert row["session_id"] == ""
    assert not any(row["events_7d"])


def test_timers_up_to_and_including_the_last_moment() -> None:
    operator = user_operator()
    state = operator.new()
    operator.on_event("", state, click("e1", T0))
    every = list(timers(operator, "", state, T0))
    assert every[:2] == [T0 + 5 * MINUTE, T0 + 30 * MINUTE + 1]
    assert list(timers(operator, "", state, T0, T0 + 5 * MINUTE)) == every[:1]
    assert list(timers(operator, "", state, T0, T0 + 5 * MINUTE - 1)) == []
    assert list(timers(operator, "", state, T0 + 5 * MINUTE, T0 + HOUR)) == every[1:3]
    assert every[-1] == T0 + 7 * DAY


def test_timers_fire_on_the_state_before_the_record() -> None:
    operator = user_operator()
    state = operator.new()
    step(operator, "u1", "", state, click("e1", T0))
    done = step(operator, "u1", "", state, click("e2", T0 + 31 * MINUTE))
    lengths = [e.row.values[[f.name for f in views.user.fields].index("recent_items")] for e in done.emissions]
    assert [len(items) for items in lengths] == [1, 1, 2]
    assert [signal[:SENT] for signal in done.forwarded] == [
        ("click", T0 + 31 * MINUTE, "i3", "", (), (time_context(T0),))
    ]


def test_a_late_record_is_read_as_of_the_watermark() -> None:
    operator = user_operator()
    state = operator.new()
    step(operator, "u1", "", state, click("e1", T0))
    (only,) = step(operator, "u1", "", state, click("e2", T0 - HOUR)).emissions
    assert only.at == T0


def test_a_profile_has_no_time_and_fires_nothing() -> None:
    operator = user_operator()
    state = operator.new()
    step(operator, "u1", "", state, click("e1", T0))
    (only,) = step(operator, "u1", "", state, Record(User("u1", interests=["comedy"]))).emissions
    assert only.at == T0


@pytest.mark.parametrize("record", [click("e3", T0 - 2 * DAY), Record(Item("i1"))])
def test_a_refused_record_fires_nothing(record: Record) -> None:
    operator = user_operator()
    state = operator.new()
    step(operator, "u1", "", state, click("e1", T0))
    before = operator.encode("", state)
    with pytest.raises((TooLate, InvalidEvent)):
        step(operator, "u1", "", state, record)
    assert operator.encode("", state) == before


AHEAD = T0 + 90_000


@pytest.mark.parametrize(("taken", "expected"), [(T0, T0), (AHEAD, AHEAD), (T0 + 120_000, AHEAD), (0, AHEAD)])
def test_other_keys_get_no_time_after_the_event_was_taken(taken: int, expected: int) -> None:
    """A clock that is 90 s ahead moves its own person's windows, and no item's."""
    operator = builders.user_operator(World())
    click = Interaction("e1", "click", "u1", AHEAD, "i1")
    states = {"": operator.new("")}
    signals = apply(
        operator, "u1", Record(click, arrived=T0, taken=taken),
        lambda part, record: operator.on_event(part, states[part], record), lambda: states, states.pop,
    )  # fmt: skip
    assert [signal.timestamp for signal in signals] == [expected]
    assert operator.watermark(states[""]) == AHEAD
