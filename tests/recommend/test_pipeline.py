"""What holds for every answer, whatever the catalogue, the person and the stages that fail."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.crosses import Affinity, Device, UserFeature, Weekday
from feature_repo.inputs import NAMES, matrix
from operators.features import Count, user, user_category
from recommend import steps
from recommend.candidate_set import CandidateSet
from recommend.catalogue import Catalogue
from recommend.filters import Available, Unseen
from recommend.model import Parts
from recommend.pipeline import Answer, Pipeline
from recommend.query import Query
from recommend.rankers import ByPopularity, Onnx
from recommend.rerankers import Diverse
from recommend.retrievers import Nearest
from recommend.stage import Mask, Scores, Stage
from recommend.surface import Surface
from recommend.surfaces import home
from recommend.trace import STEPS
from schemas.events import Item
from tests.serving.made import NOW, Ranker, catalogue, met, person, pipeline, popular

KINDS = ("view", "click", "like", "dislike", "purchase", "rating")


class World(NamedTuple):
    catalogue: Catalogue
    query: Query
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
    known = set(rng.sample([i.item_id for i in items], draw(st.integers(0, n)))) if items else set()
    space = made.space.id
    row = person(
        recent,
        **met(sorted(known)),
        vector=[0.5, 0.5, 0.5, 0.5] if recent and draw(st.booleans()) else [],
        vector_space=draw(st.sampled_from([space, "another"])),
        interests=draw(st.sampled_from([[], ["A", "unheard of"]])),
        category_affinity=["a", "b"],
        category_affinity_scores=[0.7, 0.01],
    )
    region, shown = draw(st.sampled_from(["", "DE", "XX"])), draw(st.integers(1, 30))
    query = pipeline(made).query(at=NOW, user=row, region=region, n=shown)
    available = {i.item_id for i in items if i.available}
    return World(made, query, available, known, {i for kind, i in recent if kind == "dislike"})


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (*home.retrievers, *home.filters, home.ranker, *home.rerankers, home.explainer, home.fallback)
    if stage is not None
}
STEP_OF = (
    dict.fromkeys([r.name for r in home.retrievers], "retrieve")
    | dict.fromkeys([f.name for f in home.filters], "filter")
    | dict.fromkeys([r.name for r in home.rerankers], "rerank")
    | {home.ranker.name: "rank", "reasons": "explain", "any_available": "retrieve"}
)


def broken(names: set[str], wrong: bool = False) -> Surface:
    """The home feed with these stages broken: they raise, or give a result that cannot be used."""

    def made(stage: Any) -> Any:
        fallback = getattr(stage, "fallback", None)
        if fallback is not None:
            stage = replace(stage, fallback=made(fallback))
        return _breaking(stage, wrong) if stage.name in names else stage

    return replace(
        home,
        retrievers=tuple(made(r) for r in home.retrievers),
        filters=tuple(made(f) for f in home.filters),
        ranker=made(home.ranker),
        rerankers=tuple(made(r) for r in home.rerankers),
        explainer=made(home.explainer),
        fallback=made(home.fallback),
    )


def _breaking(stage: Any, wrong: bool) -> Any:
    """A copy of the stage whose one method fails."""
    method = next(m for m in ("find", "keep", "score", "order", "explain") if hasattr(type(stage), m))

    def fail(self: Any, *given: Any) -> Any:
        if not wrong:
            raise RuntimeError("secret")
        return {
            "find": lambda query: np.array([0, 10**9]),
            "keep": lambda query, rows: np.ones(len(rows) + 1, bool),
            "score": lambda query, rows: Scores(np.full((len(rows), 1), np.nan, np.float32)),
            "order": lambda query, candidates: np.zeros(len(candidates) + 2, np.int64),
            "explain": lambda query, candidates: [None] * (len(candidates) + 1),
        }[method](*given)

    kind = type(f"Broken{type(stage).__name__}", (type(stage),), {method: fail, "applies": lambda self, query: True})
    return kind(**{f.name: getattr(stage, f.name) for f in fields(stage)})


def check(answer: Answer, world: World) -> None:
    """What holds of every answer of the home feed."""
    shown = answer.item_ids
    assert len(set(shown)) == len(shown) <= world.query.n
    assert set(shown) <= world.available
    assert bool(shown) == bool(world.available)
    assert len(answer.scores) == len(answer.reasons) == len(shown)
    assert np.isfinite(answer.scores).all()


@given(worlds())
def test_no_feed_has_a_duplicate_or_an_unavailable_item_or_is_empty_without_need(world: World) -> None:
    answer = pipeline(world.catalogue).recommend(home, world.query)
    check(answer, world)
    fresh = world.available - world.met - world.disliked
    if fresh:
        assert set(answer.item_ids) <= fresh
        assert len(answer.item_ids) == min(world.query.n, len(fresh))
    assert all(reason and reason.text for reason in answer.reasons)


@given(worlds())
def test_no_category_comes_three_times_in_a_row_while_anything_else_is_there(world: World) -> None:
    candidates: list[str] = []

    class Spy(Diverse):
        def order(self, query: Query, given: CandidateSet) -> Any:
            candidates[:] = [query.columns.ids[row] for row in given.rows.tolist()]
            return super().order(query, given)

    answer = pipeline(world.catalogue).recommend(replace(home, rerankers=(Spy(),)), world.query)

    def categories(item_id: str) -> set[str]:
        item = world.catalogue.item(item_id)
        return set(item.categories) if item else set()

    shown = answer.item_ids
    for k in range(2, len(shown)):
        run = categories(shown[k - 2]) & categories(shown[k - 1])
        if run & categories(shown[k]):
            others = [i for i in candidates if i not in shown[:k] and not run & categories(i)]
            assert others == [], f"at {k}"


@given(worlds())
def test_what_the_ranker_saw_stays_with_its_item(world: World) -> None:
    made = pipeline(world.catalogue)
    answer = made.recommend(home, world.query)
    if answer.degraded or not answer.item_ids:
        assert answer.features is None
        return
    rows = made.columns.rows(answer.item_ids)
    assert np.allclose(answer.features, matrix(world.query.ranking, rows), atol=1e-6), "rounding apart"
    shown = answer.detail(0)
    assert list(shown.features) == list(NAMES)
    assert shown.scores == {"score": round(answer.scores[0], 5)}
    assert shown.sources


@given(worlds(), st.sets(st.sampled_from(sorted(STAGES))), st.booleans())
def test_degraded_names_the_steps_of_stages_that_fail_and_no_other(world: World, names: set[str], wrong: bool) -> None:
    has_model = world.catalogue.model is not None
    answer = pipeline(world.catalogue).recommend(broken(names, wrong), world.query)
    check(answer, world)
    failed = {stage.stage for stage in answer.trace if stage.failed is not None}
    assert names - failed <= {"any_available", "model"}, "which have nothing to do, or no candidates"
    assert failed - names <= (set() if has_model else {"nearest", "new", "model"})
    assert answer.degraded == [step for step in STEPS if step in {STEP_OF[name] for name in failed}]
    assert list(answer.timings_ms) == list(STEPS)
    assert all(stage.fell_back for stage in answer.trace if stage.failed and stage.step not in ("retrieve", "explain"))
    assert "secret" not in str(answer.trace), "what an exception says may be anything"


@given(worlds())
def test_whatever_else_fails_an_available_item_is_shown(world: World) -> None:
    """Every stage and every fallback."""
    surface = broken({*STAGES, "by_popularity"})
    check(pipeline(world.catalogue).recommend(surface, world.query), world)


@given(worlds())
def test_a_fault_of_the_pipeline_itself_is_not_an_exception_either(world: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "filter", None)
        answer = pipeline(world.catalogue).recommend(home, world.query)
    check(answer, world)
    assert "filter" in answer.degraded


@given(worlds())
def test_the_same_question_has_the_same_answer(world: World) -> None:
    made = pipeline(world.catalogue)
    first, second = made.recommend(home, world.query), made.recommend(home, world.query)
    assert (first.item_ids, first.scores, first.reasons) == (second.item_ids, second.scores, second.reasons)


# -- single failures -------------------------------------------------------------------------------

ITEMS = [Item(f"i{k}", f"Title {k}", [f"c{k % 5}"]) for k in range(10)]
VECTORS = {f"i{k}": [1.0, k / 10, 0, 0] for k in range(10)}


def asked(score: Any, surface: Surface = home, **others: Any) -> Answer:
    made = catalogue(ITEMS, VECTORS, score=score)
    popular(made, {f"i{k}": float(k) for k in range(10)})
    found = pipeline(made)
    return found.recommend(surface, found.query(at=NOW, user=person(), n=5, **others))


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
    answer = asked(score)
    assert answer.degraded == ["rank"]
    assert answer.item_ids[0] == "i9", "the most popular"
    (failed,) = [stage for stage in answer.trace if stage.failed]
    assert (failed.stage, failed.fell_back) == ("model", "by_popularity")


def test_without_a_model_what_is_popular_is_shown() -> None:
    made = catalogue(ITEMS)
    popular(made, {f"i{k}": float(k) for k in range(10)})
    found = pipeline(made)
    answer = found.recommend(home, found.query(at=NOW, user=person(), n=3))
    assert answer.degraded == ["retrieve", "rank"]
    assert answer.item_ids[0] == "i9"
    assert [s.failed for s in answer.trace if s.failed] == ["there is no model"] * 3


def test_without_explanations_there_is_nothing_to_explain() -> None:
    answer = asked(lambda x: x[:, 0], broken({"reasons"}), explain="none")
    assert answer.degraded == []
    assert answer.reasons == [None] * 5


def test_the_best_score_comes_first() -> None:
    answer = asked(lambda x: np.arange(len(x), dtype=np.float32) ** 3)
    assert answer.scores[0] == max(answer.scores) == 9.0**3


def test_a_filter_that_fails_open_lets_all_pass_and_one_that_fails_closed_none() -> None:
    for name, closed in (("seen", False), ("unavailable", True)):
        answer = asked(lambda x: x[:, 0], broken({name}))
        (failed,) = [stage for stage in answer.trace if stage.failed]
        assert (failed.stage, failed.candidates_out) == (name, 0 if closed else 10)
        assert len(answer.item_ids) == 5


def test_a_stage_over_its_budget_is_marked() -> None:
    class Slow(Unseen):
        def applies(self, query: Query) -> bool:
            return True

        def keep(self, query: Query, rows: Any) -> Mask:
            time.sleep(0.003)
            return np.ones(len(rows), bool)

    slow = replace(home, filters=(Available(budget_ms=1000), Slow(budget_ms=2)))
    stages = {stage.stage: stage.over_budget for stage in asked(lambda x: x[:, 0], slow).trace}
    assert stages["seen"]
    assert not stages["unavailable"]


def test_the_trace_says_what_every_stage_did() -> None:
    answer = asked(lambda x: np.arange(len(x), dtype=np.float32))
    assert [(s.step, s.stage, s.candidates_in, s.candidates_out) for s in answer.trace] == [
        ("retrieve", "nearest", 0, 0), ("retrieve", "similar", 0, 0), ("retrieve", "new", 0, 0),
        ("retrieve", "popular", 0, 10), ("retrieve", "popular_at_time", 0, 0),
        ("filter", "unavailable", 10, 10), ("rank", "model", 10, 10), ("rerank", "diverse", 10, 5),
        ("explain", "reasons", 5, 5),
    ]  # fmt: skip
    assert all(stage.ms >= 0 for stage in answer.trace)


# -- surfaces as values ----------------------------------------------------------------------------


class TwoHeads(Onnx):
    def heads(self, parts: Parts) -> tuple[str, ...]:
        return "clicks", "hides"

    def score(self, query: Query, rows: Any) -> Scores:
        first = np.arange(len(rows), dtype=np.float32)
        return Scores(np.stack([first, -first], axis=1), ("clicks", "hides"), {"clicks": 1.0, "hides": 0.5})


@pytest.mark.parametrize(
    ("weights", "best"),
    [
        ({"clicks": 1.0}, 9.0),
        ({"clicks": 1.0, "hides": 2.0}, 0.0),
        (None, 4.5),
        ({"clicks": 1.0, "buys": 9.0}, 9.0),
        ({"buys": 9.0}, 4.5),
    ],
)
def test_the_objective_weighs_the_heads(weights: dict[str, float] | None, best: float) -> None:
    surface = replace(home, ranker=TwoHeads(fallback=ByPopularity()), objective=weights, rerankers=())
    answer = asked(None, surface)
    assert answer.degraded == []
    assert answer.scores[0] == best
    assert set(answer.detail(0).scores) == {"clicks", "hides"}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"clicks": 1.0, "buys": 9.0}, "the objective without buys, which the ranker does not score"),
        ({"buys": 9.0, "watches": 1.0}, "the ranker's own objective: it does not score buys, watches"),
        ({"clicks": 1.0}, None),
    ],
)
def test_heads_of_an_objective_that_the_bundle_lacks_are_left_out_and_named(
    weights: dict[str, float], said: str | None
) -> None:
    answer = asked(None, replace(home, ranker=TwoHeads(), objective=weights, rerankers=()))
    assert answer.degraded == []
    assert [stage.fell_back for stage in answer.trace if stage.step == "rank"] == [said]


def test_an_objective_of_a_request_with_unknown_heads_is_a_failure_to_rank() -> None:
    answer = asked(lambda x: x[:, 0], objective={"clicks": 1.0})
    assert answer.degraded == ["rank"]
    assert "the objective weighs clicks; the heads are score" in [stage.failed for stage in answer.trace]


def test_a_surface_whose_stages_do_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="home: retrievers need different names"):
        replace(home, retrievers=(Nearest(), Nearest(quota=3)))


def test_a_variant_is_a_surface_with_some_fields_replaced() -> None:
    plain = asked(lambda x: np.arange(len(x), dtype=np.float32), replace(home, rerankers=(), explainer=None))
    assert plain.scores == sorted(plain.scores, reverse=True)
    assert plain.reasons == [None] * 5


# -- crosses ---------------------------------------------------------------------------------------


def reading(of: Catalogue, ranker: Any) -> Pipeline:
    """The catalogue's model with another ranker."""
    assert of.model is not None
    parts = replace(of.model.parts("home"), ranker=ranker)
    return Pipeline(of.columns, replace(of.model, surfaces={"home": parts}))


def test_the_ranker_is_given_the_crosses_that_its_model_reads() -> None:
    views, met = Count("views", entity=user), Count("met", entity=user_category)
    crosses = (Affinity("habit", of=met), UserFeature("views", of=views), Device("phone", among=("ios",)))
    given: list[Any] = []

    def score(inputs: Any) -> Any:
        given.append(inputs)
        return inputs[:, len(NAMES)]

    items = [Item(f"i{k}", categories=["ab"[k % 2]]) for k in range(6)]
    of = catalogue(items, {i.item_id: [1, k, 0, 0] for k, i in enumerate(items)}, score=score)
    serving = reading(of, Ranker(score, crosses))

    def pairs(view: str, names: Sequence[str]) -> dict[str, dict[str, int]]:
        assert (view, sorted(names)) == ("user_category_features", ["a", "b"])
        return {"b": {"met": 5}}

    known = person() | {"user_features:views": 9}
    feed = serving.recommend(home, serving.query(at=NOW, user=known, n=3, device="ios", pairs=pairs))
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
    serving = reading(of, Ranker(crosses=(Broken("day"),)))
    feed = serving.recommend(home, serving.query(at=NOW, user=person()))
    assert (feed.item_ids, feed.degraded) == (["i1"], ["rank"])
