"""The vector feature against the sum over the list."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from operators.contract import Record
from operators.features import EVERYTHING, Decay, EntityOperator, Vector, event, user
from operators.keyed import STATE
from operators.time import DAY
from operators.vector import UserVector
from schemas.events import Impression
from tests.operators import oracles, records
from tests.operators.features.made import WEIGHTS, signals_of
from tests.operators.records import World
from tests.operators.signals import ITEMS, T0, MadeSpace

SPACE = MadeSpace("one")


def test_what_was_shown_counts_where_it_is_asked_for() -> None:
    feature = Vector("shown", entity=user, events=EVERYTHING, window=Decay(DAY), weights={"impression": 1.0})
    operator = EntityOperator(user, [feature], World(SPACE))
    state = operator.new()
    for signal in signals_of([Record(Impression("r1", "u1", T0, ITEMS[:1]))]):
        operator.on_event("", state, Record(signal))
    assert operator.row("u1", "", state, T0).values[1] == "one"


@settings(max_examples=30)
@given(records.logs(most=25))
def test_a_vector_is_the_decayed_sum_of_those_of_the_items(log: list[Record]) -> None:
    feature = Vector("taste", entity=user, events=event.properties.price.exists(), window=Decay(DAY), weights=WEIGHTS)
    operator = EntityOperator(user, [feature], World(SPACE))
    state = operator.new()
    signals = signals_of(log)
    for signal in signals:
        operator.on_event("", state, Record(signal))
        state = operator.decode("", operator.encode("", state))
    taken = [s for s in signals if "price" in s.properties]
    total, mass = oracles.vector(UserVector(DAY, WEIGHTS), taken, lambda _: SPACE)
    row = operator.row("u1", "", state, T0)
    assert [f.name for f in feature.fields] == ["taste", "taste_space"]
    if total is None:
        assert row.values == ([], "")
    elif np.linalg.norm(total) > 1e-4 * mass:
        np.testing.assert_allclose(row.values[0], total / np.linalg.norm(total), atol=1e-4)
        assert row.values[1] == "one"
    assert operator.due("", state, T0) is None
    assert len(operator.encode("", state)[STATE]) <= operator.state_bytes() + 16
