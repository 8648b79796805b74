"""The JSON line has what was promised, and a target is met or missed as its sign says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import feed, freshness, history, ingest, throughput
from bench.machine import Rounds, Sampler
from bench.report import Report, Target, percentile, ratio, summary

SAMPLES = {
    "freshness": ("produce_to_feast_ms", "click_to_feed_ms"),
    "ingest": ("post_ms",),
    "feed": ("feed_ms", "feed_at_8_ms", "parts_ms"),
    "history": ("feed_ms_50",),
    "throughput": (),
}
FIGURES = {
    "freshness": ("load_events_per_s", "p99_to_p50", "features_ratio"),
    "ingest": ("post_ratio", "connection_ratio"),
    "feed": ("feeds_per_s", "feed_to_parts", "size_ratio", "memory_ratio", "processes_ratio"),
    "history": ("cost_ratio", "bytes_per_event", "feed_ratio"),
    "throughput": ("events_per_s", "bare_ratio", "features_ratio"),
}
TARGETS = {
    "freshness": freshness.TARGETS,
    "ingest": ingest.TARGETS,
    "feed": feed.TARGETS,
    "history": history.TARGETS,
    "throughput": throughput.TARGETS,
}


def made(name: str) -> Report:
    """A report as the benchmark makes it, of made measurements."""
    return Report(
        name,
        {sample: np.arange(1.0, 101.0) for sample in SAMPLES[name]},
        dict.fromkeys(FIGURES[name], 123.4),
        series=[(0.5, 100.0), (1.0, 200.0)],
        targets=TARGETS[name],
        notes={"people": 7},
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_the_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(name).show(tmp_path, json_only=True)
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    found = json.loads(line)
    assert found["benchmark"] == name
    for sample in SAMPLES[name]:
        assert found[sample] == {"p50": 50.5, "p99": 99.01, "n": 100}
    for figure in FIGURES[name]:
        assert found[figure] == 123.4
    assert found["people"] == 7
    assert "figure" in printed.err, "the table is for people"
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", SAMPLES)
def test_every_target_is_of_a_figure_that_is_reported(name: str) -> None:
    report = made(name)
    assert TARGETS[name]
    for target in TARGETS[name]:
        assert report.value(target.name) > 0


@pytest.mark.parametrize(
    ("sign", "bound", "verdict"), [("≤", 5, "met"), ("≤", 4.9, "missed"), ("≥", 5, "met"), ("≥", 5.1, "missed")]
)
def test_a_target_is_met_or_missed(
    sign: str, bound: float, verdict: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Report("x", figures={"f": 5.0}, targets=(Target("f", sign, bound),)).show(tmp_path, json_only=False)
    assert f"{sign} {bound:g} {verdict}" in capsys.readouterr().out


def test_percentiles() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1001.0))
    assert summary(values) == {"p50": 500.0, "p99": 990.0, "n": 1001}


def test_a_figure_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        made("feed").value("feed_ms.p42")


def test_without_samples_a_target_is_missed_and_the_line_is_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("x", {"s_ms": np.array([])}, {"r": None}, targets=(Target("s_ms.p50", "≤", 5), Target("r", "≥", 1)))
    assert report.show(tmp_path, json_only=True) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["s_ms"] == {"p50": None, "p99": None, "n": 0}
    assert printed.err.count("missed") == 2


@pytest.mark.parametrize(
    ("above", "below", "found"),
    [(3.0, 2.0, 1.5), (1.0, 3.0, 0.33), (1.0, 0.0, None), (None, 1.0, None), (1.0, None, None)],
)
def test_ratio(above: float | None, below: float | None, found: float | None) -> None:
    assert ratio(above, below) == found


def test_percentile() -> None:
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([], 50) is None


def test_the_line_and_the_table_say_how_the_machine_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Sampler, "_sample", lambda self: None)
    rounds = Rounds(print, 1)
    rounds.measure("a round", lambda: None)
    Report("x", figures={"f": 1.0}, rounds=rounds).show(tmp_path, json_only=True)
    printed = capsys.readouterr()
    found = json.loads(printed.out.splitlines()[-1])
    assert set(found["loop_ms"]) == {"before", "during", "after"}
    assert {"steal", "others", "disturbed", "repeated", "bounds"} <= found.keys()
    assert "a round, attempt 1" in printed.err
