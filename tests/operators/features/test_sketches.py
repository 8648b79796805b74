"""Beyond their exact beginnings: sketches within their stated error, the same however state is saved and replayed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from operators.contract import Signal
from operators.features import (
    DistinctCount,
    Entropy,
    Feature,
    Quantiles,
    TopK,
    distinct,
    event,
    frequent,
    quantiles,
    sketches,
    user,
)
from operators.time import DAY, HOUR
from tests.operators.features.made import SCOPES, world
from tests.operators.signals import T0

EVENTS = 6000


def signals(name: Callable[[random.Random], str], spread_ms: int = 6 * HOUR) -> list[Signal]:
    rng = random.Random(5)
    return [
        Signal("click", T0 + n * spread_ms // EVENTS, name(rng), properties={"price": rng.lognormvariate(2, 1)})
        for n in range(EVENTS)
    ]


def run(feature: Feature, found: list[Signal], save: int) -> Any:
    encode = msgspec.msgpack.Encoder(enc_hook=sketches.encode).encode
    decoder = msgspec.msgpack.Decoder(feature.state, dec_hook=sketches.decode)
    state, known = feature.new(), world()
    for n, signal in enumerate(found):
        feature.update(state, signal, known)
        if n % save == save - 1:
            state = decoder.decode(encode(state))
    assert len(encode(state)) <= feature.state_bytes()
    return state


SPREAD = pytest.mark.parametrize("scope", ["lifetime", "24h", "tumbling_week"])
ID = event.item_id


@SPREAD
def test_distinct_counts_are_within_three_standard_errors(scope: str) -> None:
    found = signals(lambda rng: f"i{rng.randrange(4000)}")
    feature = DistinctCount("n", entity=user, of=ID, window=SCOPES[scope])
    truth = len({s.item_id for s in found})
    values = {feature.values(run(feature, found, save), found[-1].timestamp) for save in (7, 1000, EVENTS + 1)}
    assert len(values) == 1
    assert values.pop()[0] == pytest.approx(truth, rel=3 * distinct.STANDARD_ERROR)


@SPREAD
def test_counts_of_frequent_names_are_within_the_stated_share_of_all(scope: str) -> None:
    found = signals(lambda rng: f"i{int(rng.paretovariate(0.6)) % 5000}")
    feature = TopK("n", entity=user, of=ID, k=10, window=SCOPES[scope])
    truth = Counter(s.item_id for s in found)
    values = [feature.values(run(feature, found, save), found[-1].timestamp) for save in (7, 1000, EVENTS + 1)]
    assert values[0] == values[1] == values[2]
    names, shares = values[0]
    for name, share in zip(names, shares, strict=True):
        assert share == pytest.approx(truth[name] / EVENTS, abs=frequent.ERROR)
    tenth = truth.most_common(10)[-1][1]
    assert all(truth[name] >= tenth - 2 * frequent.ERROR * EVENTS for name in names)


@SPREAD
def test_quantiles_are_within_the_stated_rank(scope: str) -> None:
    qs = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
    found = signals(lambda rng: "i")
    feature = Quantiles("n", entity=user, of=event.properties.price, qs=qs, window=SCOPES[scope])
    prices = np.array([s.properties["price"] for s in found])
    values = {feature.values(run(feature, found, save), found[-1].timestamp) for save in (7, 1000, EVENTS + 1)}
    assert len(values) == 1
    for q, value in zip(qs, values.pop(), strict=True):
        assert (prices < value).mean() == pytest.approx(q, abs=quantiles.RANK_ERROR)


def test_few_values_in_each_tile_stay_exact_however_many_there_are() -> None:
    """6,000 events in 48 tiles."""
    found = signals(lambda rng: f"i{rng.randrange(100)}", DAY - HOUR)
    at = found[-1].timestamp
    prices = [s.properties["price"] for s in found]
    truth = Counter(s.item_id for s in found)
    window = SCOPES["24h"]
    median = Quantiles("n", entity=user, of=event.properties.price, window=window)
    assert median.values(run(median, found, 50), at) == (pytest.approx(float(np.median(prices))),)
    count = DistinctCount("n", entity=user, of=ID, window=window)
    assert count.values(run(count, found, 50), at) == (100,)
    top = TopK("n", entity=user, of=ID, k=5, window=window)
    expected = sorted(truth.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
    assert top.values(run(top, found, 50), at)[0] == [name for name, _ in expected]


def test_reading_a_sketch_changes_nothing() -> None:
    found = signals(lambda rng: f"i{rng.randrange(4000)}")
    at = found[-1].timestamp
    for feature in (
        DistinctCount("n", entity=user, of=ID),
        TopK("n", entity=user, of=ID, k=5),
        Quantiles("n", entity=user, of=event.properties.price),
    ):
        state = run(feature, found[:-1], 1000)
        first = feature.values(state, at)
        assert all(feature.values(state, at) == first for _ in range(5))


def test_entropy_of_many_names_is_no_more_than_the_truth() -> None:
    found = signals(lambda rng: f"i{rng.randrange(1000)}")
    feature = Entropy("n", entity=user, of=ID)
    shares = np.array(list(Counter(s.item_id for s in found).values())) / EVENTS
    truth = float(-(shares * np.log2(shares)).sum())
    (value,) = feature.values(run(feature, found, 1000), T0)
    assert truth - 0.5 < value <= truth


def test_a_weighted_or_decaying_top_forgets_the_least() -> None:
    found = [Signal("click", T0 + n, f"i{n % 2 * n}") for n in range(1000)]
    feature = TopK("n", entity=user, of=ID, k=1, window=SCOPES["decay_7d"])
    state = run(feature, found, 100)
    assert feature.values(state, T0 + 1000)[0] == ["i0"]
    assert len(state.whole.counts) == frequent.EXACT
