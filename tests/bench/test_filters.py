"""The figures of the filter benchmark, and what makes it unsound."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from bench import catalogues, filters
from bench.filters import Case, FilteredCatalogue
from feature_repo.inputs import INPUTS
from recommend.pipeline import Pipeline
from recommend.priors import LASTING, POPULARITY, PRIORS, TOKENS, VECTORS, difference
from recommend.rankers.cautious import HEAD
from recommend.surfaces import home
from schemas.clock import now_ms
from schemas.events import Item
from tests.bundles import sum_of_inputs
from tests.serving.made import catalogue, met, person


def case(name: str, ms: float, recall: float, allowed: int = 10) -> Case:
    return Case(name, ms=[ms] * 100, recalls=[recall] * 3, allowed=allowed)


def test_the_worst_case_counts_and_recall_is_that_of_strict_ones() -> None:
    cases = [case("unfiltered", 2, 0.8, 1000), case("pass_100", 3, 0.8, 1000), case("pass_1", 5, 0.97)]
    found = filters.report([*cases, case("sold_out", 1, 0.99)], 1000)
    assert found.document()["p99_ratio"] == 2.5
    assert found.document()["recall"] == 0.97
    assert found.document()["recall_of_the_graph"] == 0.8
    assert found.document()["p99_ratios"] == {"pass_100": 1.5, "pass_1": 2.5, "sold_out": 0.5}
    assert found.status == 0


@pytest.mark.parametrize("fault", ["short", "degraded"])
def test_short_and_degraded_answers_are_unsound(fault: str) -> None:
    cases = [case("unfiltered", 2, 1.0), case("pass_1", 2, 1.0)]
    setattr(cases[1], fault, 3)
    found = filters.report(cases, 1000)
    assert found.status == 1
    assert found.failures[0].startswith("pass_1: 3 answers")


def test_the_made_world_has_priors_so_that_they_are_part_of_what_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker = sum_of_inputs(len(INPUTS))
    monkeypatch.setattr(catalogues, "ranker", lambda: ranker)
    world = filters.made_world(300, tmp_path)
    query = filters._query(Case("a"), world, world.people[0], now_ms())
    answer = world.pipeline.recommend(home, query)
    assert HEAD in home.ranker.heads(query.parts)
    assert answer.degraded == []
    found = query.parts.tables[PRIORS]
    assert len(found[POPULARITY]) == 300
    assert difference(found, {"country": "DE"}) is not None
    assert found.keys() == {POPULARITY, TOKENS, VECTORS, LASTING}, "as training/priors.py makes it"


def test_every_case_is_asked_and_compared_with_the_exact_product() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(500, 4))
    items = [Item(f"i{k}", attributes={"chance": k / 500}) for k in range(500)]
    made = catalogue(items, {f"i{k}": vectors[k].tolist() for k in range(500)})
    row = person(vector=vectors[0] / np.linalg.norm(vectors[0]), vector_space=made.space.id, **met(["i0"]))
    world = FilteredCatalogue(made, Pipeline(made.columns, made.model), [row], np.arange(500) % 10 == 0)
    for each, allowed in ((Case("a", "item.chance < 0.1"), 50), (Case("b", sold_out=True), 50), (Case("c"), 500)):
        assert len(filters._ask(each, world, random.Random(1), now_ms(), 3)) == 3
        filters._recall(each, world, now_ms())
        assert (each.allowed, each.short, each.degraded) == (allowed, 0, 0)
        assert np.mean(each.recalls) > 0.9
    assert made.columns.available.all()
    query = filters._query(Case("a", "item.chance < 0.1"), world, row, now_ms())
    assert filters._unmet(query) == 49
