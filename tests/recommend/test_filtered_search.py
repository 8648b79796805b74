"""Strict filters and nearly empty stocks still fill the list, with what an exhaustive search would find."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from recommend.catalogue import Catalogue
from recommend.pipeline import Pipeline
from recommend.query import Query
from recommend.retrievers import NEAREST, Nearest, Neighbours, PopularEverywhere, PopularInRegion, Trending
from recommend.surfaces import home, similar, trending
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, popular

N, DIM = 20_000, 16
SHARES = [0.3, 0.1, 0.01, 0.001, 0.0001]


@cache
def world(sold_out: float = 0.0) -> tuple[Catalogue, np.ndarray]:
    """20,000 items in clusters, each with a number of its own from 0 to 1; what is sold out is so at random."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(100, DIM))
    vectors = centres[rng.integers(100, size=N)] + 0.7 * rng.normal(size=(N, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chance = rng.permutation(N) / N
    in_stock = rng.random(N) >= sold_out
    items = [Item(f"i{k}", available=bool(in_stock[k]), attributes={"chance": float(chance[k])}) for k in range(N)]
    made = catalogue(items, {f"i{k}": vectors[k].tolist() for k in range(N)}, dim=DIM)
    for row in range(N):
        made.columns.popularity[row] = float(chance[(row * 7919) % N])
    popular(made, {f"i{k}": float(k) for k in range(0, N, 3)}, "DE")
    return made, vectors.astype(np.float32)


def asked(made: Catalogue, share: float, **others: Any) -> Query:
    pipeline = Pipeline(made.columns, made.model)
    chosen = pipeline.filters.compile(f"item.chance < {share}")
    return pipeline.query(at=NOW, filter=chosen, **others)


def recall(found: np.ndarray, scores: np.ndarray, allowed: np.ndarray, k: int) -> float:
    """Share of the k best allowed rows by an exhaustive search that were found."""
    rows = np.flatnonzero(allowed)
    best = rows[np.argsort(-scores[rows], kind="stable")][:k]
    return len(np.intersect1d(found[:k], best)) / len(best) if len(best) else 1.0


@pytest.mark.parametrize("sold_out", [0.0, 0.9])
@pytest.mark.parametrize("share", [1.0, *SHARES])
def test_nearest_finds_what_an_exhaustive_search_does(share: float, sold_out: float) -> None:
    made, vectors = world(sold_out)
    recalls = []
    for seed in range(20):
        vector = vectors[np.random.default_rng(seed).integers(N)]
        query = asked(made, share, user=person(vector=vector, vector_space=made.space.id))
        found = Nearest().find(query)
        allowed = query.allowed
        assert allowed[found].all()
        wanted = min(NEAREST, int(allowed.sum()))
        assert len(found) >= min(wanted, round(0.75 * NEAREST))
        recalls.append(recall(found, vectors @ vector, allowed, min(len(found), wanted)))
    assert np.mean(recalls) >= 0.95


def test_lists_of_neighbours_are_full_where_few_are_sold_out() -> None:
    for sold_out in (0.05, 0.15, 0.25):
        made, _ = world(sold_out)
        queries = [asked(made, 1.0, item=row) for row in range(40)]
        assert {len(Neighbours().find(query)) for query in queries} == {queries[0].n + 1}


@pytest.mark.parametrize("share", [1.0, *SHARES])
def test_neighbours_of_an_item_as_well(share: float) -> None:
    made, vectors = world(0.9)
    query = asked(made, share, item=5)
    found = Neighbours().find(query)
    assert len(found) == min(query.n + 1, int(query.allowed.sum()))
    assert recall(found, vectors @ vectors[5], query.allowed, query.n) >= 0.95


@pytest.mark.parametrize("share", SHARES)
def test_popular_ones_are_the_most_popular_of_those_that_pass(share: float) -> None:
    made, _ = world()
    columns = made.columns
    for retriever, region, values in (
        (PopularEverywhere(), "", columns.popularity),
        (PopularInRegion(), "DE", columns.popular_in("DE")),
        (Trending(), "", columns.popularity),
        (Trending(), "DE", columns.popular_in("DE")),
    ):
        assert values is not None
        query = asked(made, share, region=region)
        found = retriever.find(query)
        rows = np.flatnonzero(query.allowed & (values > -1e9))
        best = rows[np.lexsort((rows, -values[rows]))]
        k = retriever.quota + (query.n if isinstance(retriever, Trending) else 0)
        assert found.tolist() == best[:k].tolist()


@pytest.mark.parametrize("sold_out", [0.0, 0.9])
@pytest.mark.parametrize("share", [1.0, *SHARES])
@pytest.mark.parametrize("surface", [home, similar, trending], ids=lambda surface: surface.name)
def test_lists_are_full_or_have_all_that_there_is(surface: Any, share: float, sold_out: float) -> None:
    made, vectors = world(sold_out)
    pipeline = Pipeline(made.columns, made.model)
    user = person(recent=[("click", f"i{k}") for k in (4, 70, 900)], vector=vectors[4], vector_space=made.space.id)
    query = replace(asked(made, share, n=30), user=user, item=5 if surface is similar else -1)
    answer = pipeline.recommend(surface, query)
    allowed = query.allowed.copy()
    if surface is similar:
        allowed[5] = False
    assert answer.degraded == []
    assert len(answer.item_ids) == len(set(answer.item_ids)) == min(30, int(allowed.sum()))
    assert allowed[made.columns.rows(answer.item_ids)].all()


def test_what_passes_far_from_the_person_is_found_too() -> None:
    """The share of items that pass says nothing of how near they are: none of the nearest thousands does here."""
    made, vectors = world()
    order = np.argsort(-(vectors @ vectors[0]))
    far = set(order[-6000:].tolist())
    for row in range(N):
        made.put_item(Item(f"i{row}", attributes={"chance": 0.0, "far": row in far}))
    try:
        pipeline = Pipeline(made.columns, made.model)
        user = person(vector=vectors[0], vector_space=made.space.id)
        query = pipeline.query(at=NOW, filter=pipeline.filters.compile("item.far"), user=user)
        found = Nearest().find(query)
        assert recall(found, vectors @ vectors[0], query.allowed, NEAREST) >= 0.95
    finally:
        world.cache_clear()
