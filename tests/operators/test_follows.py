"""Whom a person follows: the same state for any order and any repetition, and what a plain reading says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import views
from operators.contract import Record
from operators.follows import FIELDS, MOST, PART, Follow, FollowsOperator, FollowsState, entries_of, following
from schemas.errors import Duplicate, NoConsent, StateError
from schemas.events import Interaction, User
from tests.operators.people import KeyedPerson
from tests.operators.signals import T0

OPERATOR = FollowsOperator(views.user_follows)
NAMES = [field.name for field in FIELDS]


def follow(id: str, whom: str, at: int = T0, kind: Any = "follow", offset: int = 0) -> Record:
    event = Interaction(id, kind, "u1", at, properties={"followed": whom})
    return Record(event, "interactions", 0, offset, at)


def applied(records: list[Record]) -> FollowsState:
    state = OPERATOR.new()
    for record in records:
        assert OPERATOR.on_event("", state, record) == []
    return state


def row_of(state: FollowsState) -> dict[str, Any]:
    return dict(zip(NAMES, OPERATOR.row("u1", "", state, T0).values, strict=True))


def oracle(records: list[Record]) -> list[str]:
    """The plainest reading: of each followed person the latest event."""
    latest: dict[str, tuple[int, bool]] = {}
    for record in records:
        event = record.event
        assert isinstance(event, Interaction)
        whom = str(event.properties["followed"])
        latest[whom] = max(latest.get(whom, (0, False)), (event.timestamp, event.event_type == "unfollow"))
    newest = sorted(((at, ended, whom) for whom, (at, ended) in latest.items()), reverse=True)[:MOST]
    return [whom for _, ended, whom in newest if not ended]


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    kinds, whom, at = st.sampled_from(["follow", "unfollow"]), st.sampled_from(["a", "b", "c"]), st.integers(0, 6)
    return [follow(f"f{k}", draw(whom), T0 + draw(at), draw(kinds)) for k in range(draw(st.integers(0, 12)))]


@settings(max_examples=300)
@given(logs(), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_is_one_state(log: list[Record], rng: Any) -> None:
    state = applied(log)
    other = [*log, *rng.choices(log, k=len(log))] if log else []
    rng.shuffle(other)
    assert applied(other) == state
    assert following(row_of(state)) == oracle(log)


@given(logs(), st.integers(0, 12))
def test_a_state_goes_on_from_its_cells_and_from_its_row(log: list[Record], cut: int) -> None:
    early, late = log[:cut], log[cut:]
    for state in (
        OPERATOR.decode("", OPERATOR.encode("", applied(early))),
        OPERATOR.of_row(row_of(applied(early))),
    ):
        for record in late:
            OPERATOR.on_event("", state, record)
        assert row_of(state) == row_of(applied(log))


@pytest.mark.parametrize("backwards", [False, True])
def test_the_newest_are_kept(backwards: bool) -> None:
    log = [follow(f"f{n:04}", f"p{n}", T0 + n) for n in range(MOST + 50)]
    state = applied(log[::-1] if backwards else log)
    assert following(row_of(state)) == [f"p{n}" for n in range(MOST + 49, 49, -1)] == oracle(log)


def test_an_unfollow_that_comes_before_the_follow_that_it_ends() -> None:
    begun, ended = follow("f1", "p2"), follow("f2", "p2", T0 + 1, "unfollow")
    assert following(row_of(applied([ended, begun]))) == following(row_of(applied([begun, ended]))) == []
    again = follow("f3", "p2", T0 + 2)
    assert following(row_of(applied([again, ended, begun]))) == ["p2"]


def test_a_state_that_is_broken_is_refused() -> None:
    for cells in ({}, {"state": b""}, {"state": b"\xc1"}, {"state": b"\x92\x01\x02"}):
        with pytest.raises(StateError, match="user_follows"):
            OPERATOR.decode("", cells)


def test_a_row_without_the_fields_follows_nobody() -> None:
    assert entries_of({}) == following({}) == []


# -- within the person's key -----------------------------------------------------------------------


class Person(KeyedPerson):
    @property
    def follows(self) -> list[str]:
        return following(dict(zip(NAMES, self.rows.get("user_follows", ([], [], [])), strict=True)))

    @property
    def main(self) -> dict[str, Any]:
        return dict(zip((f.name for f in views.user.fields), self.rows["user_activity"], strict=True))


def click(id: str, at: int = T0, offset: int = 1) -> Record:
    return Record(Interaction(id, "click", "u1", at, "i1"), "interactions", 0, offset, at)


def test_who_follows_nobody_has_no_part_and_no_row_and_a_follow_is_no_behaviour() -> None:
    person = Person()
    person.take(click("e1"))
    assert (person.written, list(person.states)) == (["user_activity"], [("u1", "")])
    before = person.main
    person.take(follow("f1", "p2", T0 + 5, offset=2))
    after = person.main
    assert {name for name in before if before[name] != after[name]} == {
        "applied_offset", "last_event_at", "read_offset", "state",
    }  # fmt: skip
    assert person.follows == ["p2"]
    person.written.clear()
    person.take(click("e2", T0 + 6, 3))
    assert person.written == ["user_activity"], "the row of follows is written where it changes"


def test_a_repeated_event_is_taken_once() -> None:
    person = Person()
    person.take(follow("f1", "p2"))
    with pytest.raises(Duplicate):
        person.take(follow("f1", "p3"))
    assert person.follows == ["p2"]


def test_a_withdrawal_drops_them_and_a_new_consent_begins_without() -> None:
    person = Person()
    person.take(follow("f1", "p2"))
    person.take(Record(User("u1", consent=False), "users", 0, 0, T0 + 1))
    assert "user_follows" not in person.rows
    assert ("u1", PART) not in person.states
    with pytest.raises(NoConsent):
        person.take(follow("f2", "p3", T0 + 2))
    person.take(Record(User("u1", consent=True), "users", 0, 1, T0 + 3))
    person.take(follow("f3", "p4", T0 + 4))
    assert person.follows == ["p4"]


def test_the_unfollow_is_the_later_of_two_of_the_same_time() -> None:
    assert Follow(1, True, "a") > Follow(1, False, "b")
