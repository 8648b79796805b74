"""The commands of `freshet bench` and their options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import adding, bundles, digests, feed, filters, freshness, history, ingest, throughput
from bench.errors import Unsound
from bench.report import Report
from freshet.cli import main

COMMANDS = {
    "freshness": freshness, "ingest": ingest, "throughput": throughput, "history": history, "feed": feed,
    "filters": filters, "adding": adding,
    "bundles": bundles,
    "digests": digests,
}  # fmt: skip


def test_help_lists_the_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f" {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("freshness", ("--seconds", "--features")),
        ("throughput", ("--rounds", "--features")),
        ("feed", ("--items", "--users", "--seconds", "--processes", "--attempts")),
        ("history", ("--rounds", "--events", "--met")),
        ("ingest", ("--seconds", "--connections")),
        ("filters", ("--items", "--requests", "--attempts")),
        ("adding", ("--items", "--users", "--rate", "--seconds", "--attempts")),
        ("digests", ("--items", "--people", "--attempts")),
        ("bundles", ("--items", "--users", "--rate", "--seconds", "--attempts")),
    ],
)
def test_help_of_each_names_its_options(
    name: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in (*options, "--json", "--out"))


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["feed", "--itmes", "5"],
        ["freshness", "--seconds", "soon"],
        ["feed", "--items", "many"],
        ["feed", "--items", "10,,20"],
        ["throughput", "--features=-1"],
        ["feed", "--items", "0"],
        ["feed", "--processes", "0,1"],
        ["bundles", "--items", "1,2"],
    ],
)
def test_a_wrong_command_line_has_status_2(words: list[str]) -> None:
    assert main(["bench", *words]) == 2


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["freshness", "--seconds", "5"], (5.0, (0,), 2)),
        (["freshness", "--features", "0,8", "--attempts", "1"], (90.0, (0, 8), 1)),
        (["throughput", "--rounds", "2"], (2, (0,), 2)),
        (["feed", "--items", "50", "--users", "3", "--seconds", "1"], ((50,), 3, 1.0, (1,), 2)),
        (["feed", "--items", "10000,100,10000", "--processes", "1,2"], ((10000, 100), 2000, 20.0, (1, 2), 2)),
        (["history", "--met", "500,50"], (3, 1200, [50, 500], 2)),
        (["bundles", "--items", "5000", "--rate", "50", "--users", "9"], (5000, 9, 50.0, 30.0, 2)),
        (["adding", "--items", "5000", "--rate", "50", "--seconds", "9"], (5000, 500, 50.0, 9.0, 2)),
        (["ingest", "--seconds", "3", "--connections", "9"], (3.0, 9, 2)),
        (["filters", "--items", "500", "--requests", "9"], (500, 9, 2)),
    ],
)
def test_options_reach_the_benchmark(
    words: list[str], asked: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def run(*given: Any) -> Report:
        found.append(given[:-1])
        return Report(words[0], {"some_ms": np.array([1.0])}, {"missed": 0.0})

    monkeypatch.setattr(COMMANDS[words[0]], "run", run)
    assert main(["bench", *words, "--json", "--out", str(tmp_path)]) == 0
    assert found == [asked]


def test_a_measurement_that_is_not_sound_has_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*given: Any) -> Report:
        raise Unsound("events are missing")

    monkeypatch.setattr(feed, "run", run)
    assert main(["bench", "feed"]) == 1
    assert "events are missing" in capsys.readouterr().err


def test_a_failed_measurement_prints_its_figures_and_has_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("feed", {"feed_ms": np.array([1.0])}, {"feeds_per_s": 2.0}, failures=["feeds fell back"])
    monkeypatch.setattr(feed, "run", lambda *given: report)
    assert main(["bench", "feed", "--json", "--out", str(tmp_path)]) == 1
    assert json.loads(capsys.readouterr().out)["failures"] == ["feeds fell back"]


@pytest.mark.parametrize("name", ["freshness", "throughput"])
def test_an_unknown_number_of_features_is_refused_before_anything_starts(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(COMMANDS[name], "own_stack")
    assert main(["bench", name, "--features", "0,7"]) == 1
    assert "--features 7: there are repositories of 0, 8, 10, 40" in capsys.readouterr().err
