"""The two operators: who is let in, what their rows say, and state that is saved at any moment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import builders, views
from operators.aggregator import STATE, Aggregator, KeyedState
from operators.contexts import contexts_of
from operators.contract import CellAggregation, Record, Signal, View
from operators.cooccurrence import OF_BASKETS, Basket
from operators.decay import Popularity
from operators.features import WithFeatures
from operators.item import SENT, ItemOperator
from operators.keyed import UserOperator
from operators.seen import seen_hashes
from operators.subject import CatalogueEntry, Profile
from operators.time import DAY, HOUR, MINUTE, minutes
from operators.windows import Counts
from schemas.errors import Duplicate, EventError, InvalidEvent, StateError, TooFarInFuture, TooLate
from schemas.events import MAX_FUTURE_MS, Impression, Interaction, Item, User
from tests.operators import oracles, records
from tests.operators.records import LATENESS, World, judge
from tests.operators.signals import ITEMS, T0, MadeSpace

(SESSION, COUNTS, RECENT, CATEGORIES, BRANDS, VECTOR, SEEN, _, _, _) = views.user.aggregations
NAMES = {v.name: [f.name for f in v.fields] for v in (views.user, views.item, views.item_region)}


def user_operator(space: MadeSpace | None = None) -> WithFeatures:
    return builders.user_operator(World(space), LATENESS)


def applied(log: list[Record], operator: WithFeatures) -> tuple[KeyedState, list[Signal], list[type | None]]:
    """The state at the end, what followed, and each record's error. State is saved and restored as it goes."""
    state, signals, errors = operator.new(), [], []
    for n, record in enumerate(log):
        before = operator.encode("", state)
        try:
            signals += operator.on_event("", state, record)
            errors.append(None)
        except EventError as error:
            errors.append(type(error))
            assert operator.encode("", state) == before
            operator.refuse("", state, record)
        if n % 4 == 0:
            state = operator.decode("", operator.encode("", state))
    return state, signals, errors


# -- admission -------------------------------------------------------------------------------------


@given(records.logs())
def test_each_record_is_judged_by_the_rules(log: list[Record]) -> None:
    state, _, errors = applied(log, user_operator())
    judged = judge(log)
    assert errors == [j.refused for j in judged]
    times = [j.record.event.timestamp for j in judged if not j.refused and not isinstance(j.record.event, User)]
    assert user_operator().watermark(state) == max(times, default=0)


@given(records.logs())
def test_a_log_sent_twice_counts_once(log: list[Record]) -> None:
    """All of it again: what had been taken is known, or too late by now."""
    operator = user_operator()
    state, _, _ = applied(log, operator)
    before = operator.encode("", state)
    for record in log:
        if not isinstance(record.event, User):
            with pytest.raises((Duplicate, TooLate, TooFarInFuture)):
                operator.on_event("", state, record)
    assert operator.encode("", state) == before


@given(st.lists(st.integers(0, 40 * HOUR), max_size=60))
def test_ids_are_kept_for_the_allowed_lateness_and_no_longer(gaps: list[int]) -> None:
    operator, state, at = user_operator(), user_operator().new(), T0
    for n, gap in enumerate(gaps):
        at += gap
        operator.on_event("", state, Record(Interaction(f"e{n}", "click", "u1", at, "i1")))
    assert all(hour >= (at - LATENESS) // HOUR for hour in state.did.hours)
    assert len(state.did.hours) <= LATENESS // HOUR + 1
    assert state.did.known == {hashed for log in state.did.hours.values() for hashed in log.hashes}


def test_an_event_and_a_list_may_have_one_id() -> None:
    operator, state = user_operator(), user_operator().new()
    operator.on_event("", state, Record(Impression("1", "u1", T0, ["i1"])))
    operator.on_event("", state, Record(Interaction("1", "click", "u1", T0, "i1")))
    for event in (Impression("1", "u1", T0, ["i2"]), Interaction("1", "view", "u1", T0, "i2")):
        with pytest.raises(Duplicate) as raised:
            operator.on_event("", state, Record(event))
        assert raised.value.field == ("request_id" if isinstance(event, Impression) else "event_id")


def test_what_is_shown_makes_nothing_too_late_that_was_done() -> None:
    operator, state = user_operator(), user_operator().new()
    operator.on_event("", state, Record(Impression("r1", "u1", T0, ["i1"])))
    operator.on_event("", state, Record(Interaction("e1", "click", "u1", T0 - 9 * LATENESS, "i1")))
    operator.on_event("", state, Record(Interaction("e2", "click", "u1", T0, "i1")))
    with pytest.raises(TooLate):
        operator.on_event("", state, Record(Impression("r2", "u1", T0 - 2 * LATENESS, ["i1"])))
    with pytest.raises(TooLate):
        operator.on_event("", state, Record(Interaction("e3", "click", "u1", T0 - 2 * LATENESS, "i1")))
    assert operator.watermark(state) == T0


@pytest.mark.parametrize(
    ("at", "error"),
    [(T0 - LATENESS, None), (T0 - LATENESS - 1, TooLate), (T0 + MAX_FUTURE_MS, None),
     (T0 + MAX_FUTURE_MS + 1, TooFarInFuture)],
)  # fmt: skip
def test_the_edges_of_time(at: int, error: type[EventError] | None) -> None:
    operator, state = user_operator(), user_operator().new()
    operator.on_event("", state, Record(Interaction("e1", "click", "u1", T0, "i1"), arrived=T0))
    record = Record(Interaction("e2", "click", "u1", at, "i1"), arrived=T0)
    if error is None:
        operator.on_event("", state, record)
        return
    with pytest.raises(error) as raised:
        operator.on_event("", state, record)
    assert raised.value.field == "timestamp"


@pytest.mark.parametrize("event", [Item("i1"), Signal("click", T0, "i1")])
def test_news_of_items_are_not_a_users(event: Any) -> None:
    operator, state = user_operator(), user_operator().new()
    with pytest.raises(InvalidEvent):
        operator.on_event("", state, Record(event))
    assert state == operator.new()


# -- rows ------------------------------------------------------------------------------------------


@given(records.logs(), st.sampled_from([0, MINUTE, 31 * MINUTE, DAY, 8 * DAY]))
def test_a_users_row_is_that_of_the_events_that_were_taken(log: list[Record], after: int) -> None:
    space = MadeSpace("one")
    operator = user_operator(space)
    state, _, _ = applied(log, operator)
    at = operator.watermark(state) + after
    view, key, values = operator.row("u1", "", state, at)
    row = dict(zip(NAMES[view], values, strict=True))
    assert (view, key) == ("user_activity", ("u1",))

    signals = records.signals_of(log)
    expected = oracles.session_values(SESSION, signals, at) + oracles.counts(COUNTS, signals, at)
    assert list(values[:10]) == expected
    recents = [row[f"recent_{what}"] for what in ("items", "types", "times", "tastes")]
    *exact, tastes = oracles.recent(RECENT, signals)
    assert recents == [*exact, pytest.approx(tastes)]
    for declared, name in ((CATEGORIES, "category_affinity"), (BRANDS, "brand_affinity")):
        scores = dict(zip(row[name], row[f"{name}_scores"], strict=True))
        assert scores == pytest.approx(oracles.affinity(declared, signals), abs=1e-6)
    total, mass = oracles.vector(VECTOR, signals, lambda _: space)
    if total is not None and np.linalg.norm(total) > 1e-4 * mass:
        np.testing.assert_allclose(row["vector"], total / np.linalg.norm(total), atol=1e-4)
    assert seen_hashes(row).tolist() == oracles.seen(SEEN, signals)
    profiles = [r for r in log if isinstance(r.event, User)] or [Record(User("u1"))]
    said, place = profiles[-1].event, profiles[-1]
    assert isinstance(said, User)
    consents = [r.event.consent for r in profiles if isinstance(r.event, User) and r.event.consent is not None] or [
        True
    ]
    assert (row["interests"], row["consent"]) == (said.interests, consents[-1])
    assert (row["profile_partition"], row["profile_offset"]) == (place.partition, place.offset)
    assert row["applied_offset"] == (signals[-1].offset if signals else -1)
    assert row["last_event_at"] == max((s.timestamp for s in signals), default=0)
    judged_all = [r for r in log if isinstance(r.event, Interaction)]
    assert row["read_offset"] == (judged_all[-1].offset if judged_all else -1)
    continued = UserOperator(views.user, operator.world).of_row(row)
    assert (continued.watermark, continued.parts[0], continued.parts[1]) == (state.watermark, *state.parts[:2])
    assert [continued.parts[n] for n in (2, 3, 4, 6, 7, 8)] == [state.parts[n] for n in (2, 3, 4, 6, 7, 8)]


@given(records.logs())
def test_items_hear_of_everything_that_was_taken_and_of_nothing_else(log: list[Record]) -> None:
    _, signals, _ = applied(log, user_operator())
    expected = []
    for record, refused in judge(log):
        event = record.event
        if refused:
            continue
        if isinstance(event, Interaction) and event.item_id:
            region = str(event.properties["region"])
            contexts = contexts_of(event.timestamp, device=event.properties.get("device"))
            expected.append((event.event_type, event.timestamp, event.item_id, region, (), contexts))
        if isinstance(event, Impression):
            expected += [("impression", event.timestamp, i, event.region or "", (), ()) for i in event.items]
    own = [signal for signal in signals if signal.event_type not in OF_BASKETS]
    assert [signal[:SENT] for signal in own if list(user_operator().listeners(signal))] == expected


@given(records.logs(), st.randoms(use_true_random=False), st.sampled_from([0, HOUR, 8 * DAY]))
def test_an_items_rows_do_not_depend_on_whose_event_came_first(log: list[Record], rng: Any, after: int) -> None:
    """Flink interleaves people as it likes."""
    _, signals, _ = applied(log, user_operator())
    about = [event for event in signals if event.item_id == "i3"]
    operator = builders.item_operator(World())
    at = max((e.timestamp for e in about), default=T0) + after
    shuffled = list(about)
    rng.shuffle(shuffled)
    for part, mine in (("", about), ("DE", [e for e in about if e.region == "DE"])):
        rows = []
        for order in (about, shuffled):
            state = operator.new(part)
            for event in order:
                record = Record(event)
                if part in operator.parts("i3", record):
                    operator.on_event(part, state, record)
                    state = operator.decode(part, operator.encode(part, state))
            assert operator.watermark(state) == max((e.timestamp for e in mine), default=0)
            rows.append(operator.row("i3", part, state, at))
        for view, key, values in rows:
            assert key == (("i3", part) if part else ("i3",))
            counts, popularity = (views.item_region if part else views.item).aggregations[:2]
            signals = [oracles.Signal(e.event_type, e.timestamp, e.item_id) for e in mine]
            assert list(values[: len(counts.fields)]) == oracles.counts(counts, signals, at)
            found = values[NAMES[view].index("popularity")]
            assert found == pytest.approx(oracles.popularity(popularity, signals), abs=1e-6)


def test_parts_of_an_item() -> None:
    operator = builders.item_operator(World())
    assert operator.parts("i1", Record(Signal("click", T0, "i1", "DE"))) == ("", "DE")
    assert operator.parts("i1", Record(Signal("click", T0, "i1"))) == ("",)
    assert operator.parts("c1", Record(Signal("click", T0, "i1", categories=["c1"]))) == ()
    assert operator.parts("i1", Record(Item("i1"))) == ("",)


def test_a_catalogue_entry_moves_no_clock_and_no_count() -> None:
    operator = builders.item_operator(World())
    state = operator.new()
    operator.on_event("", state, Record(Signal("click", T0, "i1")))
    before = operator.row("i1", "", state, T0)
    operator.on_event("", state, Record(Item("i1", "Heat")))
    after = operator.row("i1", "", state, T0)
    changed = [name for name, a, b in zip(NAMES["item_activity"], before.values, after.values, strict=True) if a != b]
    assert changed == ["title"]
    assert operator.watermark(state) == T0


@pytest.mark.parametrize("event", [User("u1"), Interaction("e1", "click", "u1", T0, "i1")])
def test_people_are_not_an_items(event: Any) -> None:
    operator = builders.item_operator(World())
    state = operator.new()
    with pytest.raises(InvalidEvent):
        operator.on_event("", state, Record(event))
    assert state == operator.new()


def test_views_of_equal_shape_are_told_apart() -> None:
    """The same aggregations with another half-life: which of the two a state is of shows in nothing else."""
    slow, fast = Popularity("popularity", 7 * DAY, {"click": 1.0}), Popularity("popularity", DAY, {"click": 1.0})
    overall: View[Any] = View("overall", ("item",), (slow,))
    regional: View[Any] = View("regional", ("item", "region"), (fast,))
    operator = ItemOperator(overall, regional, World())
    expected = []
    for part, declared in (("", slow), ("DE", fast)):
        state = operator.new(part)
        for at in (T0, T0 + DAY):
            operator.on_event(part, state, Record(Signal("click", at, "i1", "DE")))
        signals = [oracles.Signal("click", T0), oracles.Signal("click", T0 + DAY)]
        expected.append(oracles.popularity(declared, signals))
        assert operator.row("i1", part, state, T0 + DAY).values[0] == pytest.approx(expected[-1])
    assert expected[0] != pytest.approx(expected[1])


# -- skipped ---------------------------------------------------------------------------------------


def test_aggregations_that_signals_do_not_change_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[type] = []
    monkeypatch.setattr(CellAggregation, "update", lambda self, *_: called.append(type(self)))
    monkeypatch.setattr(Counts, "update", lambda self, *_: called.append(type(self)))
    found = aggregator()
    found.update(found.new(), Signal("click", T0, ITEMS[3]), World())
    assert called == [Counts]
    without = {type(each) for each in views.user.aggregations if "update" not in vars(type(each))}
    assert {Profile, Basket} <= without


# -- state -----------------------------------------------------------------------------------------


def aggregator(aggregations: Sequence[Any] = views.user.aggregations, name: str = "user_activity") -> Aggregator:
    return Aggregator(View(name, ("user",), tuple(aggregations)))


REORDERED = replace(COUNTS, types=COUNTS.types[::-1])
ANOTHER = {
    "one fewer": views.user.aggregations[:-1],
    "another order": views.user.aggregations[::-1],
    "another half-life": [replace(a, half_life=1000) if a is CATEGORIES else a for a in views.user.aggregations],
    "another window": [replace(COUNTS, windows=(minutes(5),)), *views.user.aggregations[1:]],
    "other types": [REORDERED if a is COUNTS else a for a in views.user.aggregations],
    "another name": [replace(a, name="taste") if a is BRANDS else a for a in views.user.aggregations],
}


@pytest.mark.parametrize("other", ANOTHER.values(), ids=ANOTHER)
def test_state_of_another_declaration_is_refused_with_the_way_out(other: Sequence[Any]) -> None:
    blob = aggregator().encode(aggregator().new())
    assert aggregator().decode(blob) == aggregator().new()
    with pytest.raises(StateError, match=r"user_activity: .*--no-restore"):
        aggregator(other).decode(blob)


def test_state_of_another_view_is_refused() -> None:
    counts = [Counts("events", ("click",), (HOUR,))]
    with pytest.raises(StateError):
        aggregator(counts, "a").decode(aggregator(counts, "b").encode(aggregator(counts, "b").new()))
    operator = builders.item_operator(World())
    with pytest.raises(StateError):
        operator.decode("DE", operator.encode("", operator.new("")))


def test_a_change_of_words_keeps_the_state() -> None:
    view: View[Any] = View("user_activity", ("user",), views.user.aggregations, doc="said otherwise")
    assert Aggregator(view).layout == aggregator().layout


def test_the_layout_is_the_same_in_every_process() -> None:
    """Sets have another order in each."""
    code = "from feature_repo import views; from operators.aggregator import *; print(Aggregator(views.user).layout)"
    root = Path(__file__).resolve().parents[2]
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=root, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        assert int(done.stdout) == Aggregator(views.user).layout


@given(st.binary(max_size=200))
def test_noise_for_a_state_is_a_state_error(noise: bytes) -> None:
    with pytest.raises(StateError):
        user_operator().decode("", {STATE: noise})


@given(records.logs(most=8), st.data())
def test_a_cut_or_changed_state_is_refused_or_whole(log: list[Record], data: st.DataObject) -> None:
    operator = user_operator()
    cells = dict(operator.encode("", applied(log, operator)[0]))
    name = data.draw(st.sampled_from([name for name, cell in cells.items() if cell]))
    blob = bytearray(cells[name])
    cut = data.draw(st.integers(0, len(blob) - 1))
    if name == STATE:
        with pytest.raises(StateError):
            operator.decode("", cells | {name: bytes(blob[:cut])})
    blob[cut] ^= data.draw(st.integers(1, 255))
    try:
        found = operator.decode("", cells | {name: bytes(blob)})
    except StateError:
        return
    assert len(found.parts) == len(views.user.aggregations)


def test_every_field_falls_back_to_its_default() -> None:
    for view in (views.user, views.item, views.item_region):
        made = Aggregator(view)
        values = made.values(made.new(), T0)
        for declared, value in zip([f for a in view.aggregations for f in a.fields], values, strict=True):
            assert value == declared.default, declared.name
    assert isinstance(views.item.aggregations[-1], CatalogueEntry)
