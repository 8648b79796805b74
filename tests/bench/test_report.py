"""The JSON line has what was promised, and a target is met or missed as its sign says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import feed, freshness, throughput
from bench.report import Report, Target, summary

SAMPLES = {
    "freshness": ("produce_to_feast_ms", "click_to_feed_ms"),
    "feed": ("feed_ms", "feed_at_8_ms", "parts_ms"),
    "throughput": (),
}
FIGURES = {
    "freshness": ("load_events_per_s",),
    "feed": ("feeds_per_s", "feed_to_parts"),
    "throughput": ("events_per_s",),
}
TARGETS = {"freshness": freshness.TARGETS, "feed": feed.TARGETS, "throughput": throughput.TARGETS}


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
