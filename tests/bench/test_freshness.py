"""A freshness run that goes wrong ends with its figures."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from bench.freshness import RATE, Measured, order, report


def measured(scale: float = 1.0) -> Measured:
    return Measured([1.0 * scale] * 99 + [10.0 * scale], [5.0] * 50, rates=[RATE])


@pytest.mark.parametrize(("features", "stacks"), [([0], [0]), ([0, 8], [0, 8, 8, 0])])
def test_several_numbers_of_features_are_measured_forth_and_back(features: list[int], stacks: list[int]) -> None:
    assert order(features) == stacks


def test_ratios() -> None:
    document = report({0: measured(), 8: measured(1.2)}, None).document()
    assert document["features_ratio"] == 1.2
    assert document["p99_to_p50"] == pytest.approx(1.09)
    assert document["produce_to_feast_ms"]["p50"] == 1.0
    assert document["produce_to_feast_ms_8_features"]["p50"] == 1.2
    assert document["declared_features"] == 0


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Measured([1.0, 60_000.0], [5.0], Counter({"lost": 1}), rates=[RATE]), "lost"),
        (Measured([1.0], [5.0], wrong_clicks=Counter({"does not reflect the click": 1}), rates=[RATE]), "reflect"),
        (Measured([1.0], [5.0] * 50, wrong_clicks=Counter({"fell back": 2}), rates=[RATE]), "fell back"),
        (Measured([], [5.0], rates=[RATE]), "0 events and 1 feeds"),
        (Measured([1.0], [5.0], rates=[RATE], undelivered=3), "3 events of the load"),
        (Measured([1.0], [5.0], rates=[RATE, 100.0]), "100 events/s instead of 300"),
    ],
)
def test_a_failed_run_shows_its_figures_and_has_status_1(
    found: Measured, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report({0: found}, None).show(tmp_path, json_only=True) == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert said in document["failures"][0]
    assert document["click_to_feed_ms"]["n"] == len(found.clicks)
    assert "not sound" in printed.err


def test_a_few_feeds_that_fell_back_are_no_failure() -> None:
    found = measured()
    found.clicks = [5.0] * 500
    found.wrong_clicks["fell back"] = 2
    assert report({0: found}, None).failures == []
