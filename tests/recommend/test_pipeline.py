"""What holds for every feed, whatever the catalogue, the person and the stages that fail."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.crosses import Affinity, Device, UserFeature, Weekday
from feature_repo.inputs import NAMES, matrix
from operators.features import Count, user, user_category
from operators.history import hash64
from recommend.catalogue import Catalogue
from recommend.pipeline import STAGES, Feed, Pipeline, Stage
from recommend.query import FeedRequest, Query
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, pipeline, popular

KINDS = ("view", "click", "like", "dislike", "purchase", "rating")


class World(NamedTuple):
    catalogue: Catalogue
    request: FeedRequest
    available: set[str]
    met: set[str]
    disliked: set[str]


@st.composite
def worlds(draw: st.DrawFn, most: int = 45) -> World:
    """At most `most` items, so that all of them may be candidates and re-ranking sees every candidate."""
    n = draw(st.integers(0, most))
    share, breadth = draw(st.sampled_from([0.0, 0.1, 0.6, 1.0])), draw(st.integers(1, 4))
    rng = random.Random(draw(st.integers(0, 2**32)))
    items = [
        Item(
            f"i{k}", f"Title {k}", rng.sample(["a", "b", "c", "d"][:breadth], rng.randrange(breadth + 1)),
            created_at=rng.choice([None, NOW, NOW - 10**10]), available=rng.random() < share,
        )
        for k in range(n)
    ]  # fmt: skip
    vectors = {i.item_id: [rng.gauss(0, 1) for _ in range(4)] for i in items if rng.random() < 0.9}
    has_model = draw(st.booleans())
    salt = rng.randrange(100)
    made = catalogue(items, vectors, score=lambda x: np.sin(salt + np.arange(len(x), dtype=np.float32))) if (
        has_model and vectors
    ) else catalogue(items)  # fmt: skip
    popular(made, {i.item_id: rng.uniform(-5, 5) for i in items if rng.random() < 0.5})
    popular(made, {i.item_id: rng.uniform(-5, 5) for i in items if rng.random() < 0.2}, "DE")
    recent = [(rng.choice(KINDS), f"i{rng.randrange(n + 3)}") for _ in range(draw(st.sampled_from([0, 3, 50])))]
    met = set(rng.sample([i.item_id for i in items], draw(st.integers(0, n)))) if items else set()
    space = made.space.id
    row = person(
        recent,
        seen=np.array([hash64(i) for i in sorted(met)], "<u8").tobytes(),
        vector=[0.5, 0.5, 0.5, 0.5] if recent and draw(st.booleans()) else [],
        vector_space=draw(st.sampled_from([space, "another"])),
        interests=draw(st.sampled_from([[], ["A", "unheard of"]])),
        category_affinity=["a", "b"],
        category_affinity_scores=[0.7, 0.01],
    )
    request = FeedRequest(row, NOW, draw(st.sampled_from(["", "DE", "XX"])), draw(st.integers(1, 30)))
    available = {i.item_id for i in items if i.available}
    return World(made, request, available, met, {i for kind, i in recent if kind == "dislike"})


def failing(name: str) -> Stage:
    stage = next(s for s in STAGES if s.name == name)

    def fail(query: Query) -> None:
        raise RuntimeError(f"{name} is broken")

    return Stage(name, fail, stage.otherwise)


def check(feed: Feed, world: World) -> None:
    """What holds of every feed."""
    shown = feed.item_ids
    assert len(set(shown)) == len(shown) <= world.request.n
    assert set(shown) <= world.available
    assert bool(shown) == bool(world.available)
    assert all(np.isfinite(entry.score) for entry in feed.entries)


@given(worlds())
def test_no_feed_has_a_duplicate_or_an_unavailable_item_or_is_empty_without_need(world: World) -> None:
    feed = pipeline(world.catalogue).recommend(world.request)
    check(feed, world)
    fresh = world.available - world.met - world.disliked
    if fresh:
        assert set(feed.item_ids) <= fresh
        assert len(feed.entries) == min(world.request.n, len(fresh))
    assert all(entry.reason and entry.reason.text for entry in feed.entries)


@given(worlds())
def test_no_category_comes_three_times_in_a_row_while_anything_else_is_there(world: World) -> None:
    candidates: list[str] = []

    def spy(query: Query) -> None:
        candidates[:] = [query.columns.ids[row] for row in query.rows.tolist()]

    made = pipeline(world.catalogue, stages=[*STAGES[:3], Stage("spy", spy, spy), *STAGES[3:]])
    feed = made.recommend(world.request)

    def categories(item_id: str) -> set[str]:
        item = world.catalogue.item(item_id)
        return set(item.categories) if item else set()

    shown = feed.item_ids
    for k in range(2, len(shown)):
        run = categories(shown[k - 2]) & categories(shown[k - 1])
        if run & categories(shown[k]):
            others = [i for i in candidates if i not in shown[:k] and not run & categories(i)]
            assert others == [], f"at {k}"


@given(worlds())
def test_what_the_ranker_saw_stays_with_its_item(world: World) -> None:
    made = pipeline(world.catalogue)
    feed = made.recommend(world.request)
    if feed.degraded or not feed.entries:
        assert feed.inputs is None
        return
    ranking = Query(world.request, made.columns, made.model, made.popular).ranking
    assert np.array_equal(feed.inputs, matrix(ranking, made.columns.rows(feed.item_ids)))


@given(worlds(), st.sets(st.sampled_from([s.name for s in STAGES])))
def test_degraded_names_the_stages_that_fail_and_no_other(world: World, broken: set[str]) -> None:
    has_model = world.catalogue.generation.model is not None
    stages = [failing(s.name) if s.name in broken else s for s in STAGES]
    feed = pipeline(world.catalogue, stages=stages).recommend(world.request)
    expected = broken | (set() if has_model else {"retrieve", "rank"})
    assert feed.degraded == [s.name for s in STAGES if s.name in expected]
    assert list(feed.timings_ms) == [s.name for s in STAGES]
    check(feed, world)


@given(worlds())
def test_the_same_question_has_the_same_answer(world: World) -> None:
    made = pipeline(world.catalogue)
    assert made.recommend(world.request).entries == made.recommend(world.request).entries


# -- single failures -------------------------------------------------------------------------------

ITEMS = [Item(f"i{k}", f"Title {k}", [f"c{k % 5}"]) for k in range(10)]
VECTORS = {f"i{k}": [1.0, k / 10, 0, 0] for k in range(10)}


def asked(score: Any, **others: Any) -> Feed:
    made = catalogue(ITEMS, VECTORS, score=score)
    popular(made, {f"i{k}": float(k) for k in range(10)})
    return pipeline(made).recommend(FeedRequest(person(), NOW, n=5, **others))


@pytest.mark.parametrize(
    "score",
    [
        lambda x: np.full(len(x), np.nan, np.float32),
        lambda x: np.full(len(x), np.inf, np.float32),
        lambda x: np.zeros(len(x) - 1, np.float32),
    ],
    ids=["nan", "infinite", "too few"],
)
def test_scores_that_cannot_be_used_are_a_failure_to_rank(score: Any) -> None:
    feed = asked(score)
    assert feed.degraded == ["rank"]
    assert feed.item_ids[0] == "i9", "the most popular"


def test_a_broken_model_is_a_failure_to_retrieve_and_to_rank_and_what_is_popular_is_shown() -> None:
    made = catalogue(ITEMS)
    popular(made, {f"i{k}": float(k) for k in range(10)})
    feed = pipeline(made).recommend(FeedRequest(person(), NOW, n=3))
    assert feed.degraded == ["retrieve", "rank"]
    assert set(feed.item_ids) <= {f"i{k}" for k in range(10)}
    assert feed.item_ids[0] == "i9"


def test_without_reasons_there_is_nothing_to_explain() -> None:
    made = catalogue(ITEMS, VECTORS)
    stages = [failing("explain") if s.name == "explain" else s for s in STAGES]
    quiet = Pipeline(made.generation.columns, made.generation.model, stages=stages)
    feed = quiet.recommend(FeedRequest(person(), NOW, n=5, explain=False))
    assert feed.degraded == []
    assert "explain" not in feed.timings_ms
    assert [entry.reason for entry in feed.entries] == [None] * 5


def test_the_best_score_comes_first() -> None:
    feed = asked(lambda x: np.arange(len(x), dtype=np.float32) ** 3)
    assert feed.entries[0].score == max(entry.score for entry in feed.entries) == 9.0**3


# -- crosses ---------------------------------------------------------------------------------------


def test_the_ranker_is_given_the_crosses_that_its_model_reads() -> None:
    views, met = Count("views", entity=user), Count("met", entity=user_category)
    crosses = (Affinity("habit", of=met), UserFeature("views", of=views), Device("phone", among=("ios",)))
    given: list[Any] = []

    def score(inputs: Any) -> Any:
        given.append(inputs)
        return inputs[:, len(NAMES)]

    items = [Item(f"i{k}", categories=["ab"[k % 2]]) for k in range(6)]
    of = catalogue(items, {i.item_id: [1, k, 0, 0] for k, i in enumerate(items)}, score=score)
    made = of.generation.model
    assert made is not None
    serving = Pipeline(of.generation.columns, replace(made, crosses=crosses))

    def pairs(view: str, names: Sequence[str]) -> dict[str, dict[str, int]]:
        assert (view, sorted(names)) == ("user_category_features", ["a", "b"])
        return {"b": {"met": 5}}

    asked = FeedRequest(person() | {"user_features:views": 9}, NOW, n=3, device="ios", pairs=pairs)
    feed = serving.recommend(asked)
    assert feed.degraded == []
    assert feed.item_ids[0] in ("i1", "i3", "i5")
    assert given[0].shape == (6, len(NAMES) + 3)
    assert sorted(given[0][:, len(NAMES)]) == [0.0] * 3 + [5.0] * 3
    assert set(given[0][:, len(NAMES) + 1]) == {9.0}
    assert set(given[0][:, len(NAMES) + 2]) == {1.0}


def test_a_cross_that_fails_costs_the_ranking_and_says_so() -> None:
    class Broken(Weekday):
        def __call__(self, of: Any) -> Any:
            raise ValueError("no")

    of = catalogue([Item("i1")], {"i1": [1, 0, 0, 0]})
    made = of.generation.model
    assert made is not None
    feed = Pipeline(of.generation.columns, replace(made, crosses=(Broken("day"),))).recommend(
        FeedRequest(person(), NOW)
    )
    assert (feed.item_ids, feed.degraded) == (["i1"], ["rank"])
