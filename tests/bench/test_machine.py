"""Which rounds count as disturbed, how often they are repeated, and which attempt counts."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import pytest

from bench import machine
from bench.machine import BOUNDS, Conditions, OwnProcesses, Rounds, Sampler, Times, loop_ms, shares

QUIET = Conditions(1.0, 1.1, 1.0, 0.01, 0.02, 5.0)


def conditions(**changes: float) -> Conditions:
    return replace(QUIET, **changes)


@pytest.mark.parametrize(
    ("changes", "disturbed"),
    [
        ({}, []),
        ({"steal": BOUNDS["steal"] + 0.001}, ["steal"]),
        ({"steal": BOUNDS["steal"]}, []),
        ({"others": 0.3}, ["others"]),
        ({"loop_after_ms": 1.4}, ["loop_after_to_before"]),
        ({"loop_before_ms": 1.4}, ["loop_after_to_before"]),
        ({"loop_during_ms": 1.9}, ["loop_during_to_idle"]),
        ({"loop_during_ms": 1.9, "loop_before_ms": 1.2, "loop_after_ms": 1.2}, []),
        ({"steal": 0.4, "others": 0.3}, ["steal", "others"]),
    ],
)
def test_a_round_is_disturbed_beyond_a_bound(changes: dict[str, float], disturbed: list[str]) -> None:
    assert conditions(**changes).disturbed_by == disturbed


@pytest.mark.parametrize(("own_s", "steal", "others"), [(0.0, 0.05, 0.5), (6.0, 0.05, 0.2), (11.0, 0.05, 0.0)])
def test_shares_of_the_processors(own_s: float, steal: float, others: float) -> None:
    first, last = Times(100.0, 50.0, 3.0), Times(120.0, 60.0, 4.0)
    assert shares(first, last, own_s) == (pytest.approx(steal), pytest.approx(others))


def test_no_time_at_all_has_no_shares() -> None:
    at = Times(1.0, 1.0, 1.0)
    assert shares(at, at, 0.0) == (0.0, 0.0)


class FakeSampler(Sampler):
    """Gives the conditions of a list, one a round."""

    script: list[Conditions]

    def __init__(self) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> Conditions:
        return self.script.pop(0)


def measured(script: list[Conditions], attempts: int) -> tuple[Rounds, int, list[str]]:
    said: list[str] = []
    FakeSampler.script = list(script)
    rounds = Rounds(said.append, attempts, FakeSampler)
    calls = iter(range(1, 100))
    return rounds, rounds.measure("feeds", lambda: next(calls)), said


def test_an_undisturbed_round_is_measured_once() -> None:
    rounds, result, said = measured([QUIET, QUIET], 3)
    assert result == 1
    assert not said
    assert rounds.document() == {
        "loop_ms": {"before": 1.0, "during": 1.1, "after": 1.0},
        "steal": 0.01,
        "others": 0.02,
        "disturbed": 0,
        "repeated": 0,
        "attempts": 3,
        "bounds": BOUNDS,
        "rounds": [
            {
                "name": "feeds", "attempt": 1, "kept": True, "loop_before_ms": 1.0, "loop_during_ms": 1.1,
                "loop_after_ms": 1.0, "steal": 0.01, "others": 0.02, "seconds": 5.0, "disturbed_by": [],
            }
        ],
    }  # fmt: skip


def test_a_disturbed_round_is_repeated_until_one_is_not() -> None:
    rounds, result, said = measured([conditions(steal=0.2), conditions(others=0.2), QUIET], 5)
    assert result == 3
    assert said == ["feeds: disturbed by steal; measured again", "feeds: disturbed by others; measured again"]
    document = rounds.document()
    assert (document["disturbed"], document["repeated"], document["steal"]) == (0, 2, 0.01)
    assert [each["kept"] for each in document["rounds"]] == [False, False, True]


def test_after_the_last_attempt_the_least_disturbed_one_counts_and_that_is_said() -> None:
    rounds, result, said = measured([conditions(steal=0.3), conditions(steal=0.1), conditions(steal=0.2)], 3)
    assert result == 2
    assert said[-1] == "feeds: disturbed by steal; no attempt is left"
    document = rounds.document()
    assert (document["disturbed"], document["repeated"], document["steal"]) == (1, 2, 0.1)
    assert [each["kept"] for each in document["rounds"]] == [False, True, False]


def test_a_round_that_raises_ends_its_sampler() -> None:
    FakeSampler.script = [QUIET]
    rounds = Rounds(print, 3, FakeSampler)
    with pytest.raises(ZeroDivisionError):
        rounds.measure("x", lambda: 1 / 0)
    assert not FakeSampler.script


def test_nothing_measured_has_no_conditions() -> None:
    assert Rounds(print).document() == {}


def test_the_loop_takes_processor_time_and_leaves_sleep_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.05 < loop_ms() < 100
    clock = iter([1.0, 1.002])
    monkeypatch.setattr(machine.time, "thread_time", lambda: next(clock))
    assert loop_ms() == pytest.approx(2.0)


def test_the_time_of_a_child_that_has_ended_stays_ours() -> None:
    own = OwnProcesses()
    before = own.seconds()
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        alive = own.seconds()
        child.communicate(b"\n")
    assert alive - before >= 0.25
    assert own.seconds() >= alive


def test_the_sampler_observes_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SAMPLE_S", 0.02)
    sampler = Sampler()
    sampler.start()
    time.sleep(0.3)
    found = sampler.stop()
    assert 0.3 <= found.seconds < 5
    assert found.loop_before_ms > 0
    assert found.loop_during_ms > 0
    assert 0 <= found.steal <= 1
    assert 0 <= found.others <= 1
