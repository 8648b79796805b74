"""A person's controls: the same state for any order and any repetition, and what a plain reading of all events says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import views
from operators.contract import Record
from operators.controls import (
    FIELDS,
    MOST,
    MOST_TEXT,
    Control,
    ControlsOperator,
    ControlsState,
    entries_of,
    in_force,
)
from operators.time import DAY
from schemas import controls
from schemas.errors import Duplicate, NoConsent, StateError, TooLate
from schemas.events import Interaction, User
from tests.operators.people import KeyedPerson
from tests.operators.signals import T0

OPERATOR = ControlsOperator(views.user_controls)
NAMES = [field.name for field in FIELDS]


def control(id: str, kind: str, target: str = "", at: int = T0) -> Record:
    takes = controls.TAKES[kind]
    properties: dict[str, Any] = {"control": kind}
    if takes and takes != controls.ITEM:
        properties[takes.removeprefix(controls.PROPERTIES)] = target
    item_id = target if takes == controls.ITEM else None
    event = Interaction(id, "feedback", "u1", at, item_id, properties=properties)
    return Record(event, "interactions", 0, 0, at)


def applied(records: list[Record]) -> ControlsState:
    state = OPERATOR.new()
    for record in records:
        assert OPERATOR.on_event("", state, record) == []
    return state


def row_of(state: ControlsState) -> dict[str, Any]:
    return dict(zip(NAMES, OPERATOR.row("u1", "", state, T0).values, strict=True))


def found(state: ControlsState) -> list[tuple[str, str]]:
    return [(each.kind, each.target) for each in in_force(entries_of(row_of(state)))]


def oracle(records: list[Record]) -> list[tuple[str, str]]:
    """The plainest reading: all distinct events at once."""
    events = {record.event.event_id: record.event for record in records if isinstance(record.event, Interaction)}
    said = sorted(events.values(), key=lambda event: (event.timestamp, event.event_id), reverse=True)
    reset = max((each.timestamp for each in said if each.properties["control"] == "reset"), default=0)
    entries = [each for each in said if each.timestamp > reset and each.properties["control"] != "reset"][:MOST]
    undone = {each.properties["of"] for each in entries if each.properties["control"] == "undo"}
    return [
        (str(each.properties["control"]), controls.target(each.item_id, each.properties))
        for each in entries
        if each.properties["control"] != "undo" and each.event_id not in undone
    ]


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    n = draw(st.integers(0, 12))
    kinds, targets = st.sampled_from(list(controls.TAKES)), st.sampled_from(["a", "b"])
    made = []
    for k in range(n):
        kind = draw(kinds)
        target = f"c{draw(st.integers(0, n))}" if kind == "undo" else draw(targets)
        made.append(control(f"c{k}", kind, target, T0 + draw(st.integers(0, 8))))
    return made


@settings(max_examples=300)
@given(logs(), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_is_one_state(log: list[Record], rng: Any) -> None:
    state = applied(log)
    other = [*log, *rng.choices(log, k=len(log))] if log else []
    rng.shuffle(other)
    assert applied(other) == state
    assert found(state) == oracle(log)


@given(logs(), st.integers(0, 12))
def test_a_state_is_what_it_was_after_being_encoded_and_after_being_read_from_a_row(
    log: list[Record], cut: int
) -> None:
    early, late = log[:cut], log[cut:]
    decoded = OPERATOR.decode("", OPERATOR.encode("", applied(early)))
    of_row = OPERATOR.of_row(row_of(applied(early)))
    assert decoded == applied(early)
    for state in (decoded, of_row):
        for record in late:
            OPERATOR.on_event("", state, record)
        assert row_of(state) == row_of(applied(log))


def test_an_undo_that_comes_before_what_it_undoes() -> None:
    undo, hide = control("c2", "undo", "c1", T0 + 1), control("c1", "hide", "i1")
    assert found(applied([undo])) == []
    assert found(applied([undo, hide])) == found(applied([hide, undo])) == []
    again = control("c3", "hide", "i1", T0 + 2)
    assert found(applied([undo, hide, again])) == [("hide", "i1")]


def test_a_reset_drops_what_was_said_up_to_then_whenever_that_comes() -> None:
    reset, early, late = (
        control("c2", "reset", at=T0 + 1),
        control("c1", "hide", "i1"),
        control("c3", "hide", "i2", T0 + 2),
    )
    for order in ([reset, early, late], [early, late, reset], [late, reset, early]):
        assert found(applied(order)) == [("hide", "i2")]


@pytest.mark.parametrize("backwards", [False, True])
def test_the_newest_are_kept(backwards: bool) -> None:
    log = [control(f"c{n:04}", "hide", f"i{n}", T0 + n) for n in range(MOST + 50)]
    state = applied(log[::-1] if backwards else log)
    assert [each.target for each in state.entries] == [f"i{n}" for n in range(50, MOST + 50)]
    assert found(state) == oracle(log)


@given(st.lists(st.integers(1, 200), max_size=260), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_long_names_leave_room_for_fewer_in_any_order(lengths: list[int], rng: Any) -> None:
    log = [control(f"c{n}", "not_category", "x" * length, T0 + n) for n, length in enumerate(lengths)]
    state = applied(log)
    size = sum(len(each.id) + len(each.target) for each in state.entries)
    assert size <= MOST_TEXT
    rng.shuffle(log)
    assert applied(log) == state


@pytest.mark.parametrize("decoded", [False, True], ids=["in_memory", "saved_between"])
def test_a_short_entry_that_comes_late_does_not_take_the_place_of_a_newer_one_that_was_dropped(decoded: bool) -> None:
    """What is kept does not depend on the order of events: in the order of time the short one is dropped first."""
    longest = "x" * 255
    log = [control("c", "not_category", "short")]
    log += [control(f"c{n}", "not_category", longest, T0 + 1 + n) for n in range(MOST_TEXT // 255 + 2)]
    state = applied(log[1:])
    assert len(state.entries) < len(log) - 1
    if decoded:
        state = OPERATOR.decode("", OPERATOR.encode("", state))
    OPERATOR.on_event("", state, log[0])
    assert state == applied(log)
    assert "short" not in [entry.target for entry in state.entries]


def test_a_state_that_was_saved_without_what_was_dropped_is_read() -> None:
    older = msgspec.msgpack.encode((T0, 0, [(T0, "c1", "hide", "i1")]))
    state = OPERATOR.decode("", {"state": older})
    assert state == applied([control("c1", "hide", "i1")])


def test_a_state_that_is_broken_is_refused() -> None:
    for cells in ({}, {"state": b""}, {"state": b"\xc1"}, {"state": b"\x93\x01\x02\x03"}):
        with pytest.raises(StateError, match="user_controls"):
            OPERATOR.decode("", cells)


# -- within the person's key -----------------------------------------------------------------------


class Person(KeyedPerson):
    @property
    def controls(self) -> list[tuple[str, str]]:
        row = dict(zip(NAMES, self.rows.get("user_controls", ([], [], [], [], 0)), strict=True))
        return [(each.kind, each.target) for each in in_force(entries_of(row))]

    def value(self, name: str) -> Any:
        return dict(zip((f.name for f in views.user.fields), self.rows["user_activity"], strict=True))[name]


def click(id: str, at: int = T0) -> Record:
    return Record(Interaction(id, "click", "u1", at, "i1"), "interactions", 0, 1, at)


def test_a_person_without_controls_has_no_part_and_no_row_of_them() -> None:
    person = Person()
    person.take(click("e1"))
    assert person.written == ["user_activity"]
    assert list(person.states) == [("u1", "")]


def test_a_control_is_no_behaviour_and_moves_the_offset() -> None:
    person = Person()
    person.take(click("e1"))
    before = dict(zip((f.name for f in views.user.fields), person.rows["user_activity"], strict=True))
    person.take(control("c1", "hide", "i2", T0 + 5)._replace(offset=2))
    after = dict(zip((f.name for f in views.user.fields), person.rows["user_activity"], strict=True))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"applied_offset", "last_event_at", "read_offset", "state"}
    assert after["applied_offset"] == 2
    assert person.controls == [("hide", "i2")]
    person.written.clear()
    person.take(click("e2", T0 + 6))
    assert person.written == ["user_activity"], "the row of controls is written where it changes"


def test_what_the_gate_refuses_does_not_come_to_the_controls() -> None:
    person = Person()
    person.take(control("c1", "hide", "i2", T0 + 2 * DAY))
    with pytest.raises(Duplicate):
        person.take(control("c1", "hide", "i3", T0 + 2 * DAY))
    with pytest.raises(TooLate):
        person.take(control("c2", "hide", "i3", T0))
    assert person.controls == [("hide", "i2")]


def test_a_withdrawal_drops_them_and_a_new_consent_begins_without() -> None:
    person = Person()
    person.take(control("c1", "hide", "i2"))
    person.take(Record(User("u1", consent=False), "users", 0, 0, T0 + 1))
    assert "user_controls" not in person.rows
    assert list(person.states) == [("u1", "")]
    with pytest.raises(NoConsent):
        person.take(control("c2", "hide", "i3", T0 + 2))
    assert "user_controls" not in person.rows
    person.take(Record(User("u1", consent=True), "users", 0, 1, T0 + 3))
    person.take(control("c3", "hide", "i4", T0 + 4))
    assert person.controls == [("hide", "i4")]


def test_entries_are_compared_by_time_then_id() -> None:
    assert Control(1, "b", "hide", "x") > Control(1, "a", "undo", "y")
