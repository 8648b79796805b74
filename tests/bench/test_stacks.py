"""The data of the benchmarks, and that their stack is stopped whatever ends them."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import stacks
from bench.pace import paced
from bench.stacks import own_stack, retimed, shuffled
from schemas.events import Interaction

EVENTS = [Interaction(f"e{n}", "click", f"u{n % 3}", 1_767_225_600_000 + n, f"i{n}") for n in range(30)]


@given(st.integers(0, 30), st.integers(1, 3), st.integers(1, 10**9))
def test_retimed_events_are_new_ones_evenly_over_the_time(n: int, rounds: int, length: int) -> None:
    start = 1_767_225_600_000
    found = list(retimed(EVENTS[:n], start, start + length, rounds))
    assert len({event.event_id for event in found}) == len(found) == n * rounds
    times = [event.timestamp for event in found]
    assert times == sorted(times)
    assert all(start <= at < start + length for at in times)
    gaps = [b - a for a, b in pairwise(times)]
    assert not gaps or max(gaps) - min(gaps) <= 1
    what = [(event.user_id, event.item_id) for event in found]
    assert Counter(what) == Counter((e.user_id, e.item_id) for e in EVENTS[:n] * rounds)


def test_an_id_of_the_greatest_length_keeps_it() -> None:
    (found,) = retimed([Interaction("x" * 256, "click", "u1", 1_767_225_600_000, "i1")], 0, 10)
    assert len(found.event_id) == 256


def test_shuffled_events_are_the_same_in_the_same_order_for_a_seed() -> None:
    found = shuffled(EVENTS)
    assert found != EVENTS
    assert sorted(e.event_id for e in found) == sorted(e.event_id for e in EVENTS)
    assert shuffled(EVENTS) == found != shuffled(EVENTS, seed=1)


def test_a_steady_rate_is_kept_on_average() -> None:
    began = time.monotonic()
    assert [number for number, _ in paced(200, 0.25)] == list(range(50))
    assert 0.2 < time.monotonic() - began < 2


def test_the_delay_of_a_late_number_counts_from_when_it_was_due() -> None:
    moments = []
    for number, moment in paced(20, 0.5):
        moments.append((moment, time.monotonic()))
        time.sleep(0.22 if number == 2 else 0)
    waits = [now - moment for moment, now in moments]
    assert waits[3] >= 0.16
    assert waits[4] >= 0.11
    assert all(later[0] > sooner[0] for sooner, later in pairwise(moments))


class FakeStack:
    """A stack that records what was done to it."""

    def __init__(self, settings: Any, report: Any) -> None:
        self.settings, self.done = settings, []

    def __enter__(self) -> FakeStack:
        return self

    def __exit__(self, *error: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # a second one
        self.done.append("down")

    def up(self, names: list[str]) -> None:
        self.done.append("up")


def test_an_endless_rate_goes_on() -> None:
    found = []
    for number, _ in paced(1000, math.inf):
        found.append(number)
        if number == 20:
            break
    assert found == list(range(21))


def test_an_environment_variable_is_set_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_X", "before")
    with stacks.environment("BENCH_X", "inside"):
        assert os.environ["BENCH_X"] == "inside"
    assert os.environ["BENCH_X"] == "before"
    monkeypatch.delenv("BENCH_X")
    with stacks.environment("BENCH_X", "inside"):
        pass
    assert "BENCH_X" not in os.environ


def test_a_sigterm_stops_the_stack_and_the_processes_that_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "Stack", FakeStack)
    before = signal.getsignal(signal.SIGTERM)
    measuring = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    measuring.start()
    found: list[Any] = []

    def measure() -> None:
        with own_stack(print) as stack:
            found.append(stack)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    with pytest.raises(SystemExit) as left:
        measure()
    assert left.value.code == 128 + signal.SIGTERM
    assert found[0].done == ["up", "down"]
    measuring.join(timeout=10)
    assert measuring.exitcode == -signal.SIGTERM
    assert not found[0].settings.home.exists()
    assert signal.getsignal(signal.SIGTERM) == before
