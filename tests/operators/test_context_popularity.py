"""Popularity by context against sums over the raw list."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.context_popularity import NEVER_THERE, ContextPopularity
from operators.contexts import CONTEXTS
from operators.contract import Signal
from operators.decay import POPULARITY_ORIGIN
from operators.time import DAY
from tests.operators.signals import T0, run

WEIGHTS = {"view": 0.5, "click": 1.0, "purchase": 3.0}
DECLARED = ContextPopularity("by_context", 28 * DAY, WEIGHTS)
signals = st.lists(
    st.builds(
        lambda kind, at, contexts: Signal(kind, at, contexts=contexts),
        st.sampled_from(["view", "click", "purchase", "impression"]),
        st.integers(T0 - 400 * DAY, T0),
        st.sampled_from([(), (0,), (1,), (1, 8), (5, 11), [2, 9]]),
    ),
    max_size=30,
)


@given(signals, st.randoms(use_true_random=False))
def test_each_context_has_the_decayed_count_of_its_events_in_any_order(log: list[Signal], rng: object) -> None:
    shuffled = list(log)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    for order in (log, shuffled):
        (found,) = DECLARED.values(run(DECLARED, order, save=3), T0)
        for place in range(len(CONTEXTS)):
            gains = [
                WEIGHTS[s.event_type] * 2.0 ** ((s.timestamp - T0) / DECLARED.half_life)
                for s in log
                if place in s.contexts and s.event_type in WEIGHTS
            ]
            if not gains:
                assert found[place] == NEVER_THERE
            else:
                expected = math.log2(sum(gains)) + (T0 - POPULARITY_ORIGIN) / DECLARED.half_life
                assert found[place] == pytest.approx(expected, abs=1e-9)


def test_a_row_is_not_changed_by_later_events() -> None:
    state = run(DECLARED, [Signal("click", T0, contexts=(1,))])
    (before,) = DECLARED.values(state, T0)
    kept = list(before)
    DECLARED.update(state, Signal("click", T0, contexts=(1,)), None)  # type: ignore[arg-type]
    assert before == kept
