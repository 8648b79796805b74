"""What holds for every re-ranker that trades relevance for a criterion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recommend.candidate_set import CandidateSet
from recommend.rerankers import Calibrated, Determinantal, Diverse, Mmr, Serendipity, Tradeoff
from recommend.rerankers.tradeoff import compared_vectors, relevance
from recommend.steps import rerank
from recommend.surfaces import SURFACES, home
from recommend.trace import Trace
from tests.recommend.rerankers.made import random_candidates
from tests.serving.made import person

ALL: list[Tradeoff] = [
    Mmr(diversity=0.5), Diverse(), Determinantal(diversity=0.5), Calibrated(diversity=0.5), Serendipity(diversity=0.5),
]  # fmt: skip
KNOWN = person(
    [("click", "i1"), ("click", "i2")], category_affinity=["a", "b"], category_affinity_scores=[0.5, 0.5]
)  # fmt: skip
every = pytest.mark.parametrize("reranker", ALL, ids=lambda each: each.name)


@every
@pytest.mark.parametrize("d", [None, 0.3, 1.0])
@pytest.mark.parametrize(("m", "n"), [(0, 5), (1, 5), (3, 5), (80, 1), (80, 20), (80, 80)])
def test_n_positions_each_once(reranker: Tradeoff, d: float | None, m: int, n: int) -> None:
    query, candidates = random_candidates(m, user=KNOWN, n=n, diversity=d)
    order = reranker.order(query, candidates)
    assert len(order) == len(set(order.tolist())) == min(m, n)


@every
def test_a_query_of_0_is_relevance_alone(reranker: Tradeoff) -> None:
    query, candidates = random_candidates(40, user=KNOWN, n=10, diversity=0.0)
    trace = Trace()
    shown = rerank(replace(home, rerankers=(reranker,)), query, candidates, trace)
    assert shown.rows.tolist() == candidates.rows[:10].tolist()
    assert trace.stages == []
    query.diversity = 1.0
    assert rerank(replace(home, rerankers=(reranker,)), query, candidates, trace).rows.tolist() != shown.rows.tolist()
    assert [stage.stage for stage in trace.stages] == [reranker.name]


@every
def test_the_query_comes_before_the_surface(reranker: Tradeoff) -> None:
    query, candidates = random_candidates(60, user=KNOWN, n=10)
    given = replace(reranker, diversity=0.8).order(query, candidates).tolist()
    assert reranker.order(query, candidates).tolist() != given
    query.diversity = 0.8
    assert reranker.order(query, candidates).tolist() == given


@every
def test_relevance_falls_as_diversity_rises(reranker: Tradeoff) -> None:
    total = []
    for d in (0.01, 0.5, 0.99):
        query, candidates = random_candidates(200, user=KNOWN, n=20, diversity=d)
        assert candidates.scores is not None
        total.append(candidates.scores[replace(reranker, pool=10).order(query, candidates)].sum())
    assert total[0] > total[1] > total[2]


@every
def test_only_the_pool_is_considered(reranker: Tradeoff) -> None:
    query, candidates = random_candidates(400, user=KNOWN, n=15, diversity=1.0)
    assert reranker.order(query, candidates).max() < 75
    query.n = 3
    assert reranker.order(query, candidates).max() < 50


@every
def test_an_item_that_is_broken_breaks_no_answer(reranker: Tradeoff, monkeypatch: pytest.MonkeyPatch) -> None:
    query, candidates = random_candidates(60, user=KNOWN, n=20, diversity=0.5)
    plain, broken = query.vectors, int(candidates.rows[3])

    def vectors(rows: np.ndarray) -> np.ndarray:
        found = plain(rows).copy()
        found[rows == broken] = np.nan
        return found

    monkeypatch.setattr(query, "vectors", vectors)
    order = reranker.order(query, candidates)
    assert len(set(order.tolist())) == 20
    assert order.tolist() != list(range(20))


@every
def test_equal_scores_are_no_failure(reranker: Tradeoff) -> None:
    query, candidates = random_candidates(30, user=KNOWN, n=10, diversity=0.5)
    assert candidates.scores is not None
    candidates.scores[:] = 1.0
    assert len(set(reranker.order(query, candidates).tolist())) == 10


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_a_surface_s_diversity_is_from_0_to_1(diversity: float) -> None:
    with pytest.raises(ValueError, match=r"mmr: diversity is .*; it is from 0 to 1"):
        Mmr(diversity=diversity)
    with pytest.raises(ValueError, match="pool is 0"):
        Mmr(diversity=0.5, pool=0)


def test_every_surface_has_a_re_ranker_that_reads_the_query() -> None:
    for surface in SURFACES:
        assert any(isinstance(each, Tradeoff) for each in surface.rerankers), surface.name


def test_relevance_is_0_to_1() -> None:
    assert relevance(np.array([3, 1, 2], np.float32)).tolist() == [1, 0, 0.5]
    assert relevance(np.array([7, 7], np.float32)).tolist() == [0, 0]
    assert relevance(np.zeros(0, np.float32)).tolist() == []


def test_vectors_that_are_not_finite_are_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    query, candidates = random_candidates(3)
    found = np.array([[1, 0], [np.inf, -np.inf], [0, 1]], np.float32)
    monkeypatch.setattr(query, "vectors", lambda rows: found[rows])
    assert compared_vectors(query, np.array([0, 1, 2])).tolist() == [[1, 0], [0, 0], [0, 1]]
    assert isinstance(candidates, CandidateSet)
