"""explain=events: the score of an item without an event is that of a person who never had it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from operators.time import MINUTE
from recommend.explain_events import DECLARED, LATEST, MOST, OLDER
from recommend.pipeline import Answer, Pipeline
from recommend.surfaces import home
from recommend.surfaces.friends import friends
from tests.operators.test_leave_out import ITEMS, VECTORS, event, row_of
from tests.serving.made import catalogue, pipeline, popular


def world(**model: Any) -> Pipeline:
    made = catalogue(ITEMS.values(), {k: v.tolist() for k, v in VECTORS.items()}, dim=8, version="1", **model)
    made.model.user_space.id = "space"  # type: ignore[union-attr]
    popular(made, {f"i{k}": float(k) for k in range(60)})
    return pipeline(made)


def ask(of: Pipeline, row: dict[str, Any], at: int, explain: Any = "events", **others: Any) -> Answer:
    answer = of.recommend(home, of.query(at=at, user=row, explain=explain, **others))
    assert answer.degraded == []
    return answer


def scores(inputs: Any) -> Any:
    """A known model: it reads what an event changes."""
    return inputs[:, 0] + 0.5 * inputs[:, 1] + inputs[:, 3] + inputs[:, 4] + 0.2 * inputs[:, 5] + 0.1 * inputs[:, 12]


@pytest.mark.parametrize("n", [3, 12, 30])
def test_a_delta_is_the_difference_from_a_person_without_the_event(n: int) -> None:
    events = [event(k) for k in range(n)]
    at, of = events[-1].timestamp + MINUTE, world(score=scores)
    answer = ask(of, row_of(events, at), at)
    assert answer.moved is not None
    assert answer.moved.left_out.events == min(n, LATEST)
    assert answer.moved.left_out.inexact == []
    shown = answer.candidates.rows
    query = of.query(at=at, user=row_of(events, at))
    query.surface = "home"
    with_all = home.ranker.score(query, shown).values[:, 0]
    named = 0
    for place in range(min(n, LATEST)):
        kept = [each for k, each in enumerate(events) if k != n - 1 - place]
        never = replace(query, user=row_of(kept, at))
        deltas = with_all - home.ranker.score(never, shown).values[:, 0]
        gone = events[n - 1 - place]
        for rank, effects in enumerate(answer.moved.effects):
            for each in effects:
                if (each.item_id, each.age_s) == (gone.item_id, (at - gone.timestamp) // 1000):
                    assert each.event_type == gone.event_type
                    assert each.delta == pytest.approx(float(deltas[rank]), abs=3e-5)
                    named += 1
    assert named == sum(len(effects) for effects in answer.moved.effects) > 20


def test_the_events_of_the_largest_effect_are_named_largest_first() -> None:
    events = [event(k) for k in range(12)]
    answer = ask(world(score=scores), row_of(events, events[-1].timestamp), events[-1].timestamp)
    assert answer.moved
    for effects in answer.moved.effects:
        sizes = [abs(each.delta) for each in effects]
        assert len(sizes) <= MOST
        assert sizes == sorted(sizes, reverse=True)
    found = [each.delta for effects in answer.moved.effects for each in effects]
    assert min(found) < 0 < max(found), "events lower scores, too"


def test_it_changes_neither_items_nor_scores_and_is_there_only_where_asked_for() -> None:
    events = [event(k) for k in range(12)]
    of, row, at = world(score=scores), row_of(events, events[-1].timestamp), events[-1].timestamp
    plain, asked = ask(of, row, at, "full"), ask(of, row, at)
    assert plain.moved is None
    assert plain.item_ids == asked.item_ids
    assert plain.scores == asked.scores
    assert [stage.stage for stage in asked.trace] == [*(stage.stage for stage in plain.trace), "events"]


def test_a_person_without_events_is_moved_by_none() -> None:
    answer = ask(world(score=scores), row_of([], 0), event(0).timestamp)
    assert answer.moved is not None
    assert answer.moved.left_out.events == 0
    assert not any(answer.moved.effects)


def test_where_the_ranker_does_not_apply_no_event_moves_anything() -> None:
    """Nobody's favourites are known, so that friends' favourites are popular items."""
    events = [event(0), event(1)]
    at, of = events[-1].timestamp + MINUTE, world(score=scores)
    answer = of.recommend(friends, of.query(at=at, user=row_of(events, at), explain="events"))
    assert answer.item_ids
    assert answer.moved is not None
    assert (list(answer.moved.effects), answer.degraded) == ([[]] * len(answer.item_ids), [])


def test_what_is_not_exact_is_named() -> None:
    events = [event(k) for k in range(55)]
    of, at = world(score=scores), events[-1].timestamp
    of.model.parts("home").ranker.reads_declared = True  # type: ignore[union-attr, misc]
    answer = ask(of, row_of(events, at), at)
    assert answer.moved
    assert answer.moved.left_out.inexact == [OLDER, DECLARED]


def test_a_row_of_another_declaration_is_a_failure_with_its_reason() -> None:
    of, at = world(score=scores), event(3).timestamp
    row = row_of([event(k) for k in range(3)], at) | {"state": b"\x00"}
    answer = of.recommend(home, of.query(at=at, user=row, explain="events"))
    assert answer.moved is None
    assert answer.degraded == ["explain"]
    assert len(answer.item_ids) == 20
    (failed,) = [stage for stage in answer.trace if stage.failed]
    assert failed.stage == "events"
    assert "events cannot be left out" in str(failed.failed)


def test_the_model_runs_once_for_all_events() -> None:
    events, runs = [event(k) for k in range(12)], []

    def counted(inputs: Any) -> Any:
        runs.append(len(inputs))
        return np.asarray(scores(inputs))

    ask(world(score=counted), row_of(events, events[-1].timestamp), events[-1].timestamp)
    assert runs[1:] == [13 * 20]
