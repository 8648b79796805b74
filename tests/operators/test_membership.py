"""Sessions against the oracle over the list of all signals, for both states that have one."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given

from operators.contract import Signal
from operators.features import Count, Session, event, user
from operators.history import CurrentSession
from operators.membership import assign
from operators.time import MINUTE
from schemas.events import EVENT_TYPES
from tests.operators.signals import T0, Anywhere, logs

GAP = 30 * MINUTE


class Made:
    """A span before any event."""

    def __init__(self) -> None:
        self.id, self.start, self.last = "", 0, 0


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(0, "")], "NEW"),
        ([(0, ""), (GAP, "")], "NEW CURRENT"),
        ([(0, ""), (GAP + 1, "")], "NEW NEW"),
        ([(0, ""), (-1, "")], "NEW ENDED"),
        ([(0, "a"), (10 * GAP, "a")], "NEW CURRENT"),
        ([(0, "a"), (1, "b"), (2, "a")], "NEW NEW NEW"),
        ([(0, "a"), (5, "b"), (2, "a")], "NEW NEW ENDED"),
        ([(5, "a"), (2, "a"), (3, "")], "NEW CURRENT CURRENT"),
    ],
)
def test_the_session_of_each_event(events: list[tuple[int, str]], expected: str) -> None:
    span = Made()
    assert " ".join(assign(span, T0 + at, id, GAP).name for at, id in events) == expected


def test_a_span_is_from_the_first_to_the_last_event() -> None:
    span = Made()
    for at in (5, 9, 2):
        assign(span, T0 + at, "a", GAP)
    assert (span.id, span.start, span.last) == ("a", T0 + 2, T0 + 9)
    assign(span, T0 + 10 * GAP, "", GAP)
    assert (span.id, span.start, span.last) == (f"s-{T0 + 10 * GAP}", T0 + 10 * GAP, T0 + 10 * GAP)


@given(logs(EVENT_TYPES))
def test_the_main_path_and_a_declared_feature_agree(signals: list[Signal]) -> None:
    main = CurrentSession(GAP, EVENT_TYPES)
    count = Count("n", entity=user, events=event.event_type.exists(), window=Session(GAP))
    own, declared, world = main.new(), count.new(), Anywhere()
    states: list[Any] = []
    for signal in signals:
        main.update(own, signal, world)
        count.update(declared, signal, world)
        states.append((own.head.id, own.head.start, own.head.last))
        assert (declared.id, declared.start, declared.last) == states[-1]
        assert sum(own.head.counts) == declared.whole
    assert all(before[2] <= after[2] for before, after in pairwise(states))
