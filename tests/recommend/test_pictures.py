"""Which picture is shown: what is tried, what is learned, and for whom."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from feature_repo import builders, views
from operators.attribution import Attribution
from operators.contract import Record, Row
from recommend.filters import Available
from recommend.pictures import MOST, SEGMENT_LENGTH, images_of, pictures, segment_of, with_pictures
from recommend.pipeline import Answer, Pipeline
from recommend.rankers import InOrder
from recommend.retrievers.given import Given
from recommend.slots import seed_of
from recommend.surface import Surface
from schemas.events import Impression, Interaction, Item
from tests.serving.made import NOW, catalogue, person, pipeline
from training.replay import KnownItems, Replay

RED, BLUE, GREEN = "red.jpg", "blue.jpg", "green.jpg"
ITEMS = [Item("a", attributes={"images": [RED, BLUE, GREEN]}), Item("b"), Item("c", attributes={"images": [RED]})]


@pytest.fixture
def made() -> Pipeline:
    return pipeline(catalogue(ITEMS))


def liking(*names: str) -> dict[str, Any]:
    return person(category_affinity=list(names), category_affinity_scores=[0.9 / len(names)] * len(names))


def chosen(made: Pipeline, seed: int | None, user: dict[str, Any] | None = None, at: int = NOW) -> str | None:
    query = made.query(at=at, user=user or person())
    return pictures(query, made.columns.rows(["b", "a"]), seed).images[1]


@pytest.mark.parametrize(
    ("images", "found"),
    [
        ([RED, BLUE], [RED, BLUE]),
        ([RED, BLUE, RED, ""], [RED, BLUE]),
        ([RED, RED], []),
        ([RED], []),
        (RED, []),
        ([f"{k}" for k in range(20)], [f"{k}" for k in range(MOST)]),
    ],
)
def test_an_item_has_a_choice_of_two_different_pictures_at_least(images: Any, found: list[str]) -> None:
    assert images_of(Item("a", attributes={"images": images})) == found


def test_items_without_a_choice_have_no_picture_and_log_none(made: Pipeline) -> None:
    query = made.query(at=NOW)
    found = pictures(query, made.columns.rows(["b", "c"]), 1)
    assert (found.images, found.logged()) == ([None, None], {})
    assert images_of(None) == []


def test_the_same_seed_chooses_the_same_and_others_try_all(made: Pipeline) -> None:
    assert chosen(made, 7) == chosen(made, 7)
    tried = Counter(chosen(made, seed) for seed in range(600))
    assert set(tried) == {RED, BLUE, GREEN}
    assert min(tried.values()) > 120, "nothing is known of any"
    assert chosen(made, None) == RED


def test_the_segment_is_the_category_that_is_liked_best(made: Pipeline) -> None:
    def of(**fields: Any) -> str:
        return segment_of(made.query(at=NOW, user=person(**fields)))

    assert of(category_affinity=["Drama", "War"], category_affinity_scores=[0.6, 0.4]) == "drama"
    assert of(category_affinity=["Drama"], category_affinity_scores=[-0.6]) == ""
    assert of(category_affinity=["x" * 200], category_affinity_scores=[1.0]) == "x" * SEGMENT_LENGTH
    assert of(interests=["War"]) == "war"
    assert of() == ""


def test_what_other_segments_prefer_is_where_a_segment_starts_from(made: Pipeline) -> None:
    names, rates = [RED, BLUE, GREEN], np.repeat([0.05, 0.3, 0.05], 2).tolist()
    since = (NOW - 1_577_836_800_000) / views.EXPLORED.half_life
    values = (-1e9, -1e9, np.log2(1000) + since, names, ["drama"], [1.0] * 6, rates)
    made.columns.put_features(Row(views.item_exploration.name, ("a",), values))
    shares = {
        name: Counter(chosen(made, seed, liking(name)) for seed in range(300))[BLUE] / 300 for name in ("drama", "war")
    }
    assert shares["drama"] > 0.99
    assert 0.8 < shares["war"] < shares["drama"]
    assert chosen(made, None, liking("war")) == BLUE


def test_what_was_taken_more_often_than_shown_is_no_failure(made: Pipeline) -> None:
    """As where a segment's own counts begin anew between the two."""
    since = (NOW - 1_577_836_800_000) / views.EXPLORED.half_life
    values = (-1e9, -1e9, np.log2(10) + since, [RED, BLUE], ["drama"], [1.0, 0.8, 1.0, 0.8], [1.0, 0.0, 1.0, 0.9])
    made.columns.put_features(Row(views.item_exploration.name, ("a",), values))
    for name in ("drama", "war"):
        assert {chosen(made, seed, liking(name)) for seed in range(50)} <= {RED, BLUE, GREEN}


# -- as a stage of an answer ---------------------------------------------------------------------------

SURFACE = Surface(name="tried", retrievers=(Given(),), filters=(Available(),), ranker=InOrder())


def answered(made: Pipeline, ids: list[str]) -> Answer:
    return made.recommend(SURFACE, made.query(at=NOW, n=3, given=made.columns.rows(ids), user=person()))


def test_the_choice_is_a_stage_of_the_answer_within_its_timings(made: Pipeline) -> None:
    before = answered(made, ["a", "b"])
    after, found = with_pictures(before, 1)
    assert found == pictures(before.query, before.candidates.rows, 1)
    (record,) = [stage for stage in after.trace if stage.stage == "pictures"]
    assert (record.candidates_in, record.candidates_out, record.failed) == (2, 1, None)
    assert after.timings_ms["explain"] >= before.timings_ms["explain"] + record.ms - 0.01
    assert list(after.timings_ms) == list(before.timings_ms)
    assert (after.item_ids, after.degraded) == (before.item_ids, [])


def test_an_answer_without_a_choice_stays_as_it_is(made: Pipeline) -> None:
    before = answered(made, ["b", "c"])
    after, found = with_pictures(before, 1)
    assert after is before
    assert (found.images, found.logged(), found.failed) == ([None, None], {}, None)


def test_where_the_choice_fails_no_picture_is_shown(made: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made.columns.arms, "pictures", None)
    after, found = with_pictures(answered(made, ["a", "b"]), 1)
    assert (found.images, found.logged(), bool(found.failed)) == ([None, None], {}, True)
    assert after.item_ids == ["a", "b"]
    assert after.degraded == ["explain"]
    assert after.trace[-1].fell_back == "no picture is chosen"


def test_each_segment_comes_to_be_shown_the_picture_that_it_takes(made: Pipeline) -> None:
    """Through the operators of the job: `war` takes the red picture, `drama` the blue one."""
    rates = {("war", RED): 0.3, ("drama", BLUE): 0.3}
    world = KnownItems(ITEMS)

    def emit(row: Row, at: int) -> None:
        if row.view == views.item_exploration.name:
            made.columns.put_features(row)

    replay = Replay(builders.user_operator(world, attribution=Attribution()), builders.item_operator(world), emit)
    generator, shown = np.random.default_rng(1), {"war": [], "drama": []}  # type: ignore[var-annotated]
    rows = made.columns.rows(["b", "a"])
    for n in range(2400):
        segment = ("war", "drama")[n % 2]
        at, request = NOW + n * 1000, f"r{n}"
        found = pictures(made.query(at=at, user=liking(segment)), rows, seed_of(request))
        image = found.images[1]
        shown[segment].append(image)
        replay.feed(Record(Impression(request, f"u{n}", at, ["b", "a"], **found.logged())))
        if generator.random() < rates.get((segment, image), 0.05):
            replay.feed(Record(Interaction(f"e{n}", "click", f"u{n}", at + 1, "a", request_id=request)))
    late = {segment: Counter(each[-300:]) for segment, each in shown.items()}
    assert late["war"][RED] > 240
    assert late["drama"][BLUE] > 240
