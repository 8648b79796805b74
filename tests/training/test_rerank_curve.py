"""The curve of re-rankers, on a small made log."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from recommend.surfaces import home
from training.accepted import Log
from training.datasets import Dataset
from training.rerank_curve import COLUMNS, DEFAULT, RELEVANCE, measure, table, variants


@pytest.fixture(scope="module")
def measured(log: Log) -> dict[str, Any]:
    return measure(Dataset([*log.items], [], [*log.interactions]), cuts=(0.7,), strengths=(0.05, 1.0))


def test_variants_differ_in_the_re_ranker_alone() -> None:
    found = variants((0.5,))
    assert list(found) == [
        RELEVANCE, DEFAULT, "mmr 0.5", "diverse 0.5", "determinantal 0.5", "calibrated 0.5", "serendipity 0.5"
    ]  # fmt: skip
    assert found[RELEVANCE].rerankers == ()
    assert found[DEFAULT] is home
    assert {(s.retrievers, s.filters, s.ranker) for s in found.values()} == {
        (home.retrievers, home.filters, home.ranker)
    }


def test_every_variant_has_every_column_with_its_interval(measured: dict[str, Any]) -> None:
    assert measured["n"]["cuts"] == 1
    assert measured["n"]["people"] <= measured["n"]["lists"]
    for name, figures in measured["variants"].items():
        assert list(figures) == [*COLUMNS, "d ndcg@20", "coverage"]
        for column, (value, low, high) in figures.items():
            assert low <= value <= high, (name, column)


def test_the_criterion_of_a_re_ranker_rises_with_its_strength(measured: dict[str, Any]) -> None:
    found = measured["variants"]
    assert found[RELEVANCE]["d ndcg@20"] == [0, 0, 0]
    assert found["mmr 1"]["ild"][0] > found["mmr 0.05"]["ild"][0]
    assert found["determinantal 1"]["ild"][0] > found["determinantal 0.05"]["ild"][0]
    assert found["calibrated 1"]["kl"][0] <= found["calibrated 0.05"]["kl"][0]
    assert found["mmr 1"]["ndcg@20"][0] <= found[RELEVANCE]["ndcg@20"][0]


def test_the_table_has_a_line_a_variant(measured: dict[str, Any]) -> None:
    console = Console(file=StringIO(), width=200)
    made = table(measured)
    console.print(made)
    assert made.row_count == len(measured["variants"])
