"""A row without an event is the row of somebody who never had that event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from feature_repo import views
from operators.contract import Record
from operators.driver import Driver
from operators.keyed import UserOperator
from operators.leave_out import LeaveOut, kept_by
from operators.time import MINUTE
from schemas.events import Interaction, Item

T0 = 1_767_225_600_000
GENRES = ("comedy", "drama", "horror")
ITEMS = {f"i{k}": Item(f"i{k}", f"Film {k}", [GENRES[k % 3], f"g{k}"], f"b{k % 4}") for k in range(60)}
VECTORS = {
    f"i{k}": np.float32(v / np.linalg.norm(v)) for k in range(60) for v in [np.random.default_rng(k).normal(size=8)]
}
KINDS = ("view", "click", "purchase", "like", "dislike", "rating")
FIELDS = (
    "recent_items", "recent_types", "recent_times", "recent_tastes", "session_id", "session_start", "session_length_s",
    "session_counts", "session_items", "session_categories",
)  # fmt: skip


class _World:
    id, dim = "space", 8

    @property
    def space(self) -> _World:
        return self

    def vector(self, item_id: str) -> Any:
        return VECTORS.get(item_id)

    def item(self, item_id: str) -> Item | None:
        return ITEMS.get(item_id)


WORLD = _World()


def event(k: int, **others: Any) -> Interaction:
    """The k-th of a person whose sessions have seven events."""
    given: dict[str, Any] = {
        "event_type": KINDS[k * 5 % len(KINDS)], "item_id": f"i{k * 7 % 60}", "timestamp": T0 + k * 10 * MINUTE,
        "session_id": f"s{k // 7}", "properties": {"rating": float(k % 6)},
    } | others  # fmt: skip
    return Interaction(f"e{k}", given.pop("event_type"), "u1", **given)


def row_of(events: Sequence[Interaction], at: int) -> dict[str, Any]:
    """The row after these events, with the vector in the precision that the store has."""
    operator = UserOperator(views.user, WORLD)
    driver = Driver(operator)
    for offset, each in enumerate(events):
        driver.take("u1", Record(each, "interactions", 0, offset))
    state = driver.states.get(("u1", ""))
    row = operator.row("u1", "", operator.new() if state is None else state, at)
    found = dict(zip((f.name for f in views.user.fields), row.values, strict=True))
    return found | {"vector": np.asarray(found["vector"], np.float32)}


def differences(events: Sequence[Interaction], place: int, at: int) -> None:
    """Asserts that leaving out the event at `place`, 0 for the latest, is the same as that it never was."""
    made = LeaveOut(views.user, row_of(events, at), WORLD, WORLD.item, at).without(place)  # type: ignore[arg-type]
    found = row_of(events, at) | made
    never = row_of([each for n, each in enumerate(events) if n != len(events) - 1 - place], at)
    for name in FIELDS:
        assert found[name] == never[name], name
    for name in ("category_affinity", "brand_affinity"):
        assert dict(zip(found[name], found[f"{name}_scores"], strict=True)) == pytest.approx(
            dict(zip(never[name], never[f"{name}_scores"], strict=True)), abs=1e-6
        ), name
    assert (len(found["vector"]), found["vector_space"]) == (len(never["vector"]), never["vector_space"])
    np.testing.assert_allclose(found["vector"], never["vector"], atol=2e-6)


@pytest.mark.parametrize("n", [1, 2, 5, 20, 49])
def test_it_is_the_row_of_somebody_who_never_had_the_event(n: int) -> None:
    events = [event(k) for k in range(n)]
    for place in range(min(n, 20)):
        differences(events, place, events[-1].timestamp + MINUTE)


def test_an_item_that_was_met_twice_stays_a_recent_one() -> None:
    events = [event(0, item_id="i1"), event(1, item_id="i2"), event(2, item_id="i1")]
    for place in range(3):
        differences(events, place, events[-1].timestamp)


def test_without_the_only_event_nothing_is_left() -> None:
    row = row_of([event(1)], T0 + 11 * MINUTE)
    found = LeaveOut(views.user, row, WORLD, WORLD.item, T0 + 11 * MINUTE).without(0)  # type: ignore[arg-type]
    assert len(found["vector"]) == 0
    assert found["category_affinity"] == found["recent_items"] == []
    assert found["session_start"] == 0


def test_without_the_only_event_of_a_session_the_one_before_goes_on() -> None:
    events = [event(k, session_id=None, timestamp=T0 + k * MINUTE) for k in range(3)]
    for place in range(3):
        differences(events, place, events[-1].timestamp)
    events.append(event(3, session_id="own", timestamp=T0 + 4 * MINUTE))
    differences(events, 0, events[-1].timestamp)


def test_the_session_ends_earlier_without_its_last_event() -> None:
    events = [event(0, session_id=None), event(1, session_id=None, timestamp=T0 + 25 * MINUTE)]
    assert row_of(events, T0 + 50 * MINUTE)["session_items"] == 2
    differences(events, 0, T0 + 50 * MINUTE)


def test_an_event_on_an_unknown_item_takes_nothing_from_sums() -> None:
    events = [event(0), event(1, item_id="nowhere"), event(2)]
    for place in range(3):
        differences(events, place, events[-1].timestamp)


def test_a_full_row_has_an_older_event_that_it_cannot_show() -> None:
    kept = kept_by(views.user)
    events = [event(k) for k in range(kept + 5)]
    row = row_of(events, events[-1].timestamp)
    found = LeaveOut(views.user, row, WORLD, WORLD.item, events[-1].timestamp).without(3)  # type: ignore[arg-type]
    never = row_of([each for k, each in enumerate(events) if k != kept + 1], events[-1].timestamp)
    assert len(found["recent_items"]) == kept - 1
    assert found["recent_items"] == never["recent_items"][:-1]
    np.testing.assert_allclose(found["vector"], never["vector"], atol=2e-6)  # which all events are part of
