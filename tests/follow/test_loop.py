"""A loop goes on after any error, says how it is, and ends when it is asked to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from follow import loop as module
from follow.loop import Loop
from schemas.errors import InvalidEvent


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_S", 0.001)


def wait(until: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    "error", [OSError("gone"), ValueError("bad"), KeyError("k"), MemoryError(), InvalidEvent("no")]
)
def test_it_goes_on_after_any_error_and_says_so(error: Exception) -> None:
    steps: list[str] = []

    def step() -> None:
        steps.append("")
        if 3 <= len(steps) <= 5:
            raise type(error)(*error.args)

    loop = Loop("test", step, every_s=0.001).start()
    wait(lambda: loop.health.errors == 3 and loop.health.up)
    loop.stop()
    assert not loop.alive
    assert len(steps) > 5
    assert loop.health.last_error == f"{type(error).__name__}: {error}"


def test_it_is_not_up_while_its_steps_fail() -> None:
    broken = threading.Event()
    broken.set()

    def step() -> None:
        if broken.is_set():
            raise OSError("gone")

    loop = Loop("test", step, every_s=0.001).start()
    wait(lambda: loop.health.errors > 3)
    assert not loop.health.up
    broken.clear()
    wait(lambda: loop.health.up)
    loop.stop()
    assert loop.health.up


def test_a_pause_after_an_error_grows_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_S", 1.0)
    pauses: list[float] = []

    def step() -> None:
        if len(pauses) < 6:
            raise OSError("gone")

    loop = Loop("test", step, every_s=7, longest_s=10)

    def waited(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 8:
            loop._stopping.set()
        return False

    monkeypatch.setattr(loop._stopping, "wait", waited)
    loop.start()
    wait(lambda: not loop.alive)
    assert pauses == [1, 2, 4, 8, 10, 10, 7, 7]


def test_an_error_of_a_record_counts_and_leaves_it_up() -> None:
    loop = Loop("test", lambda: None)
    loop.note(ValueError("no number"), "items, offset 3")
    assert (loop.health.up, loop.health.errors) == (True, 1)
    assert loop.health.last_error == "items, offset 3: ValueError: no number"


def test_one_error_that_lasts_is_counted_once_and_one_that_repeats_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, same = Loop("test", lambda: None), OSError("gone")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            loop.note(same)
        assert loop.health.errors == 1
        for _ in range(3):
            loop.note(OSError("gone"))
    assert loop.health.errors == 4
    assert len(caplog.records) == 1


def test_what_fails_while_it_cleans_up_does_not_end_it_either() -> None:
    def clean() -> None:
        raise RuntimeError("nor this")

    def step() -> None:
        raise OSError("gone")

    loop = Loop("test", step, on_error=clean, longest_s=0.001).start()
    wait(lambda: loop.health.errors > 6)
    assert loop.alive
    loop.stop()


def test_a_last_step_is_taken_when_it_is_stopped() -> None:
    steps: list[str] = []
    loop = Loop("test", lambda: steps.append(""), every_s=60, finishes=True).start()
    wait(lambda: len(steps) == 1)
    loop.stop()
    assert len(steps) == 2


def test_stopping_what_was_never_started_does_nothing() -> None:
    Loop("test", lambda: None).stop()


def test_a_loop_that_has_not_ended_yet_is_not_started_again() -> None:
    go_on, steps = threading.Event(), []

    def step() -> None:
        steps.append(threading.current_thread())
        go_on.wait(20)

    loop = Loop("slow", step, every_s=0.001).start()
    wait(lambda: steps)
    loop.stop(patience_s=0.01)
    with pytest.raises(RuntimeError, match="slow"):
        loop.start()
    go_on.set()
    wait(lambda: not loop.alive)
    loop.start()
    wait(lambda: len(set(steps)) == 2)
    loop.stop()


def test_a_loop_that_was_stopped_starts_again() -> None:
    steps: list[int] = []
    loop = Loop("again", lambda: steps.append(1), every_s=0.001)
    for _ in range(3):
        steps.clear()
        loop.start()
        deadline = time.monotonic() + 10
        while not steps and time.monotonic() < deadline:
            time.sleep(0.001)
        loop.stop()
        assert steps
        assert not loop.alive
