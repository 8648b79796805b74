"""Lists that several requests show: what is put on them, and what is taken off them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recommend.pipeline import Answer, Pipeline
from recommend.query import Listed
from recommend.retrievers import AnyAvailable, PopularEverywhere
from recommend.surface import Surface
from recommend.surfaces import home, rank, trending
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, pipeline, popular

ITEMS = [Item(f"i{k:03}", f"Title {k}", [f"c{k % 5}"]) for k in range(60)]
VECTORS = {item.item_id: [1.0, k / 10, 0, 0] for k, item in enumerate(ITEMS)}


@pytest.fixture
def made() -> Pipeline:
    of = catalogue(ITEMS, VECTORS)
    popular(of, {item.item_id: float(k) for k, item in enumerate(ITEMS)})
    return pipeline(of)


def asked(made: Pipeline, surface: Surface = home, **others: Any) -> Answer:
    return made.recommend(surface, made.query(**({"at": NOW, "user": person(), "n": 5, "depth": 20} | others)))


def rest(answer: Answer) -> set[str]:
    return {answer.query.columns.ids[row] for row in answer.rest.rows.tolist()}


def test_the_first_page_leaves_the_rest_of_the_best_on_the_list(made: Pipeline) -> None:
    first, whole = asked(made), asked(made, n=20)
    assert set(first.item_ids) | rest(first) == set(whole.item_ids)
    assert not set(first.item_ids) & rest(first)
    assert first.has_more
    assert (asked(made, depth=0).has_more, len(asked(made, depth=0).rest)) == (False, 0)


def test_a_later_page_takes_from_the_list_and_looks_for_nothing_else(made: Pipeline) -> None:
    first = asked(made)
    second = asked(made, listed=Listed(first.rest.rows, first.rest.sources))
    assert set(second.item_ids) <= rest(first)
    assert len(second.item_ids) == 5
    assert [stage.step for stage in second.trace if stage.step == "retrieve"] == []


def test_what_is_left_of_a_list_comes_before_what_is_found_anew(made: Pipeline) -> None:
    worst = made.columns.rows(["i000", "i001"])
    answer = asked(made, listed=Listed(worst, np.ones(2, np.uint32)), excluded=made.columns.rows(["i059", "i058"]))
    assert set(answer.item_ids[:2]) == {"i000", "i001"}
    assert len(set(answer.item_ids)) == 5
    assert not {"i058", "i059"} & {*answer.item_ids, *rest(answer)}


def test_filters_that_were_relaxed_stay_so_and_no_others_can_be(made: Pipeline) -> None:
    gone = made.columns.row_of["i003"]
    made.columns.available[gone] = False
    listed = Listed(np.array([gone]), np.ones(1, np.uint32), relaxed=9)
    assert "i003" not in asked(made, listed=listed).item_ids


def test_with_a_least_score_the_fallback_fills_nothing_up(made: Pipeline) -> None:
    few = replace(
        trending, retrievers=(PopularEverywhere(quota=3),), fallback=AnyAvailable(), ranker=home.ranker.fallback
    )  # fmt: skip
    assert len(asked(made, few, n=10).item_ids) == 10
    answer = asked(made, few, n=10, min_score=0.0)
    assert len(answer.item_ids) == 3
    assert asked(made, few, n=10, min_score=0.4).scores == [1.0, 0.5]
    (record,) = [stage for stage in asked(made, few, n=10, min_score=0.4).trace if stage.stage == "min_score"]
    assert (record.step, record.removed) == ("rank", 1)


def test_a_list_of_the_callers_is_marked_and_complete(made: Pipeline) -> None:
    made.columns.available[3] = False
    given = np.array([3, 8, 5])
    answer = asked(made, rank, given=given, n=3, depth=0, user=person([("dislike", "i005")]))
    assert set(answer.candidates.rows.tolist()) == {3, 5, 8}
    assert answer.marks == {3: ["unavailable"], 5: ["disliked"]}
    assert not answer.has_more
