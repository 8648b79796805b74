"""One operator behind all features: every family under every scope against its oracle, over late, repeated and
refused events, through saved states, and read at any time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.contract import Record, Row
from operators.features import (
    Count,
    EntityOperator,
    Feature,
    Mean,
    Sum,
    TopK,
    item,
    user,
)  # fmt: skip
from operators.features.entity_operator import EntityState
from operators.keyed import STATE
from operators.stepping import step
from operators.time import DAY, HOUR, MINUTE
from schemas.errors import FeatureError, InvalidEvent, StateError
from schemas.events import Interaction, Item
from tests.operators import records
from tests.operators.features import oracles
from tests.operators.features.made import click, matrix, price, signals_of, world
from tests.operators.signals import T0

FEATURES = matrix()
ALONE = {feature: EntityOperator(user, [feature], world()) for feature in FEATURES}
WITHOUT_SESSIONS = [f for f in FEATURES if not f.scope.needs_all_events]
later = st.sampled_from([0, 0, 1, MINUTE, 31 * MINUTE, HOUR, DAY, 8 * DAY, 91 * DAY])


def made(features: list[Feature] = FEATURES) -> EntityOperator:
    return EntityOperator(user, features, world())


EVERYTHING = made()


def applied(operator: EntityOperator, log: list[Record], save: int = 4) -> EntityState:
    state = operator.new()
    for n, signal in enumerate(signals_of(log)):
        operator.on_event("", state, Record(signal))
        if n % save == 0:
            state = operator.decode("", operator.encode("", state))
    return state


def by_feature(operator: EntityOperator, row: Row) -> dict[str, list[Any]]:
    """Feature → its values. A TopK's lists as one dictionary: of names of equal share, rounding decides the order."""
    found, values = {}, list(row.values)
    for feature in operator.features:
        own, values = values[: len(feature.fields)], values[len(feature.fields) :]
        if isinstance(feature, TopK):
            assert own[1] == sorted(own[1], reverse=True)
            own = [dict(zip(*own, strict=True))]
        found[feature.name] = own
    return found


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        keys = set(a) | set(b)
        return all(same(a.get(k, 0.0), b.get(k, 0.0)) for k in keys)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return a == pytest.approx(b, rel=1e-9, abs=1e-6)
    return bool(a == b)


@settings(max_examples=40)
@given(records.logs(most=40), later)
def test_every_feature_says_what_its_oracle_says(log: list[Record], after: int) -> None:
    operator = made()
    state = applied(operator, log)
    at = operator.watermark(state) + after
    found = by_feature(operator, operator.row("u1", "", state, at))
    signals = signals_of(log)
    wrong = {
        f.name: (found[f.name], expected)
        for f in FEATURES
        if not same(found[f.name], expected := oracles.values(f, signals, at))
    }
    assert wrong == {}


@settings(max_examples=25)
@given(records.logs(most=12), st.floats(0, 1))
def test_between_two_emissions_the_row_holds(log: list[Record], part: float) -> None:
    """At any moment, whoever reads the store reads what a row made at that moment would say."""
    operator = made()
    state, last = operator.new(), None
    for signal in signals_of(log):
        before = operator.encode("", state)
        done = step(operator, "u1", "", state, Record(signal))
        if last is not None:
            known = operator.decode("", before)
            for earlier, following in pairwise([last, *done.emissions]):
                moment = earlier.at + int(part * max(following.at - earlier.at - 1, 0))
                assert operator.row("u1", "", known, moment) == earlier.row
        last = done.emissions[-1]


@settings(max_examples=25)
@given(records.logs(most=25), st.randoms(use_true_random=False), later)
def test_the_order_of_arrival_does_not_matter(log: list[Record], rng: Any, after: int) -> None:
    """But for sessions, where it decides which one an event is of."""
    operator = EntityOperator(user, WITHOUT_SESSIONS, world())
    signals = signals_of(log)
    at = max((s.timestamp for s in signals), default=T0) + after
    rows = []
    for _ in range(2):
        state = operator.new()
        for signal in signals:
            assert operator.parts("u1", Record(signal)) == ("",)
            assert operator.on_event("", state, Record(signal)) == []
        rows.append(by_feature(operator, operator.row("u1", "", state, at)))
        rng.shuffle(signals)
    assert {name for name in rows[0] if not same(rows[0][name], rows[1][name])} == set()


@settings(max_examples=25)
@given(records.logs(most=15), later)
def test_features_together_say_what_each_says_alone(log: list[Record], after: int) -> None:
    """What the operator shares, skips and remembers shows in nothing."""
    operator, signals, known = EntityOperator(user, FEATURES, world()), signals_of(log), world()
    state, alone = operator.new(), [f.new() for f in FEATURES]
    for signal in signals:
        operator.on_event("", state, Record(signal))
        operator.row("u1", "", state, operator.watermark(state))
        for feature, own in zip(FEATURES, alone, strict=True):
            feature.update(own, signal, known)
    at = operator.watermark(state) + after
    values = [value for f, own in zip(FEATURES, alone, strict=True) for value in f.values(own, at)]
    assert operator.row("u1", "", state, at).values == tuple(values)
    due = [f.due(own, at) for f, own in zip(FEATURES, alone, strict=True)]
    assert operator.due("", state, at) == min((d for d in due if d is not None), default=None)


@settings(max_examples=20)
@given(records.logs(most=40))
def test_a_state_is_no_larger_than_stated(log: list[Record]) -> None:
    signals = [Record(signal) for signal in signals_of(log)]
    for feature, operator in ALONE.items():
        state = operator.new()
        for signal in signals:
            operator.on_event("", state, signal)
        assert len(operator.encode("", state)[STATE]) <= operator.state_bytes() + 16, feature.name


def test_every_field_falls_back_to_its_default() -> None:
    operator = made()
    defaults = tuple(f.default for f in operator.view.fields)
    assert operator.row("u1", "", operator.new(), T0).values == defaults
    assert all(f.values(f.new(), T0) == tuple(field.default for field in f.fields) for f in FEATURES)


# -- state -----------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(records.logs(most=25), st.data())
def test_a_changed_repository_reads_the_states_of_what_it_still_declares(log: list[Record], data: Any) -> None:
    """Features removed, added and put in another order; those that stay say what they said."""
    before = data.draw(st.lists(st.sampled_from(FEATURES), unique=True, max_size=30))
    after = data.draw(st.lists(st.sampled_from(FEATURES), unique=True, max_size=30))
    first, second = made(before), made(after)
    state = applied(first, log)
    moved = second.decode("", first.encode("", state))
    at = first.watermark(state)
    assert second.watermark(moved) == at
    was = by_feature(first, first.row("u1", "", state, at))
    now = by_feature(second, second.row("u1", "", moved, at))
    kept = {f.state_key for f in before}
    for feature in after:
        if feature.state_key in kept and feature in before:
            assert now[feature.name] == was[feature.name]
        elif feature.state_key not in kept:
            assert now[feature.name] == by_feature(second, second.row("u1", "", second.new(), at))[feature.name]


def test_a_change_of_name_or_words_keeps_the_state_and_a_change_of_meaning_does_not() -> None:
    def key(name: str = "n", **more: Any) -> int:
        return Count(name, **({"entity": user, "events": click, "window": HOUR} | more)).state_key

    assert key() == key(name="other") == key(doc="said otherwise")
    assert len({key(), key(window=2 * HOUR), key(events=~click), key(window=DAY)}) == 4


def test_features_of_equal_meaning_share_a_state() -> None:
    total = Sum("total", entity=user, of=price, window=DAY)
    mean = Mean("mean", entity=user, of=price, window=DAY)
    operator = EntityOperator(user, [total, mean], world())
    state = operator.new()
    for n, paid in enumerate((2.0, 4.0)):
        (signal,) = signals_of([Record(Interaction(f"e{n}", "purchase", "u1", T0, "i1", properties={"price": paid}))])
        operator.on_event("", state, Record(signal))
    assert len(state.states) == 1
    assert operator.row("u1", "", state, T0).values == (6.0, 3.0)


@given(st.binary(max_size=100))
def test_noise_for_a_state_is_a_state_error(noise: bytes) -> None:
    with pytest.raises(StateError):
        EVERYTHING.decode("", {STATE: noise})


@settings(max_examples=20)
@given(records.logs(most=15), st.data())
def test_a_cut_or_changed_state_is_refused_or_whole(log: list[Record], data: Any) -> None:
    operator = made()
    blob = bytearray(operator.encode("", applied(operator, log))[STATE])
    cut = data.draw(st.integers(0, len(blob) - 1))
    with pytest.raises(StateError):
        operator.decode("", {STATE: bytes(blob[:cut])})
    blob[cut] ^= data.draw(st.integers(1, 255))
    try:
        found = operator.decode("", {STATE: bytes(blob)})
    except StateError:
        return
    assert len(found.states) == len({f.state_key for f in FEATURES})


# -- rejections ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [Interaction("e", "click", "u", T0, "i"), Item("i")])
def test_what_passed_no_gate_belongs_to_no_entity(wrong: Any) -> None:
    operator = EntityOperator(user, [], world())
    with pytest.raises(InvalidEvent):
        operator.on_event("", operator.new(), Record(wrong))


def test_an_operator_takes_the_features_of_its_own_entity() -> None:
    feature = Count("n", entity=item)
    with pytest.raises(FeatureError, match=r"test_entity_operator\.py:\d+: n is of item, not of user"):
        EntityOperator(user, [feature], world())
