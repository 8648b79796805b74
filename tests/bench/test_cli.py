"""`freshet bench`: what it can be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import feed, freshness, throughput
from bench.errors import Unsound
from bench.report import Report
from freshet.cli import main

COMMANDS = {"freshness": freshness, "throughput": throughput, "feed": feed}


def test_help_lists_the_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f" {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("freshness", ("--seconds", "--features")),
        ("throughput", ("--rounds", "--features")),
        ("feed", ("--items", "--users", "--seconds")),
    ],
)
def test_help_of_each_names_its_options(
    name: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in (*options, "--json", "--out"))


@pytest.mark.parametrize("words", [["nonsense"], ["feed", "--itmes", "5"], ["freshness", "--seconds", "soon"]])
def test_a_wrong_command_line_has_status_2(words: list[str]) -> None:
    assert main(["bench", *words]) == 2


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["freshness", "--seconds", "5"], (5.0, 0)),
        (["freshness", "--features", "8"], (90.0, 8)),
        (["throughput", "--rounds", "2"], (2, 0)),
        (["feed", "--items", "50", "--users", "3", "--seconds", "1"], (50, 3, 1.0)),
    ],
)
def test_options_reach_the_benchmark(
    words: list[str], asked: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []

    def run(*given: Any) -> Report:
        heard.append(given[:-1])
        return Report(words[0], {"some_ms": np.array([1.0])}, {"missed": 0.0})

    monkeypatch.setattr(COMMANDS[words[0]], "run", run)
    assert main(["bench", *words, "--json", "--out", str(tmp_path)]) == 0
    assert heard == [asked]


def test_a_measurement_that_is_not_sound_has_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*given: Any) -> Report:
        raise Unsound("events are missing")

    monkeypatch.setattr(feed, "run", run)
    assert main(["bench", "feed"]) == 1
    assert "events are missing" in capsys.readouterr().err
