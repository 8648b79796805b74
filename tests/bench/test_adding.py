"""The figures of the adding benchmark, what makes it unsound, and its comparisons with the exact product."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import adding, additions, catalogues
from bench.adding import MeasuredAdditions, Turn
from bench.additions import Added, AddingAnswers
from bench.searching_server import ComparedSearches, compare, recalls
from feature_repo.inputs import INPUTS
from schemas.events import Item
from tests.bundles import sum_of_inputs
from tests.serving.made import catalogue

ITEMS = [Item(f"i{k}") for k in range(400)]
VECTORS = np.random.default_rng(4).normal(size=(400, 4))


def turn(ms: float, sent: int = 0, recall: float = 1.0, **others: Any) -> Turn:
    compared = ComparedSearches(0.0, 100 + sent, [recall] * 4, [recall] * 4 if sent else [])
    answers = AddingAnswers({"feed": [ms] * 50, "similar": [2 * ms] * 50})
    added = Added(sent, per_s=500.0 if sent else 0.0, searchable_ms=[30.0] if sent else [])
    made = Turn(answers, added, [compared], sent, 10.0)
    for name, value in others.items():
        owner, _, field = name.rpartition("__")
        setattr(getattr(made, owner) if owner else made, field, value)
    return made


def measured(**others: Any) -> MeasuredAdditions:
    return MeasuredAdditions(
        [turn(2, recall=0.99)], [turn(4, 5000, 0.96), turn(4, 5000, 0.98, **others)], [90.0, 110.0], [50.0]
    )


def test_turns_with_additions_are_compared_with_those_without() -> None:
    found = adding.report(measured(), 100, 500)
    document = found.document()
    assert found.status == 0
    assert (document["feed_p50_ratio"], document["similar_p99_ratio"]) == (2.0, 2.0)
    assert (document["recall"], document["recall_least"], document["recall_without"]) == (0.97, 0.96, 0.99)
    assert (document["taken_per_s"], document["taking_ratio"], document["added"]) == (500.0, 2.0, 10_000)
    assert document["items_at_the_end"] == 5100
    assert document["searchable_ms"]["n"] == 2


@pytest.mark.parametrize(
    ("fault", "value", "says"),
    [
        ("answers__failed", Counter({"feed: status 503": 3}), "feed: status 503: 3 requests"),
        (
            "compared",
            [ComparedSearches(0.0, 9, error="RuntimeError: no")],
            "1 searches failed, such as RuntimeError: no",
        ),
        ("added__undelivered", 2, "2 items were not acknowledged"),
        ("added__unseen", 1, "1 items were not searchable"),
        ("taken", 4990, "10 of 10000 items were not taken"),
        ("added__per_s", 100.0, "less than 90% of 500 items a second were sent"),
    ],
)
def test_what_makes_it_unsound(fault: str, value: Any, says: str) -> None:
    found = adding.report(measured(**{fault: value}), 100, 500)
    assert found.status == 1
    assert any(failure.startswith(says) for failure in found.failures)


def test_degraded_answers_are_counted() -> None:
    found = adding.report(measured(answers__degraded=Counter({"feed: rank": 3})), 100, 500)
    assert found.document()["degraded_answers"] == 3
    assert found.status == 0


def test_recall_is_that_of_what_is_available_with_a_vector() -> None:
    made = catalogue(ITEMS, {f"i{k}": VECTORS[k].tolist() for k in range(300)})
    assert made.model
    made.columns.available[:100] = False
    found = compare(made.model.user_space, made.columns, random.Random(1), k=20)
    assert (found.items, len(found.bundled), found.added, found.error) == (200, 4, [], "")
    assert np.mean(found.bundled) > 0.9


def test_recall_counts_what_is_missing_and_takes_equal_items_for_one_another() -> None:
    made = catalogue(ITEMS, {f"i{k}": [1.0, k % 10, 0, 0] for k in range(400)})
    assert made.model
    space, rows = made.model.user_space, np.arange(400)
    vector = space.vectors_of(rows[:1])
    best = np.flatnonzero(rows % 10 == 0)
    assert len(best) == 40
    assert recalls(space, vector, best[None, :20], rows, 20) == [1.0]
    assert recalls(space, vector, best[None, 20:40], rows, 20) == [1.0]
    assert recalls(space, vector, np.array([[*best[:15], 1, 2, 3, 4, 5]]), rows, 20) == [0.75]
    assert recalls(space, vector, np.repeat(best[None, :1], 20, axis=1), rows, 20) == [0.05], "each counts once"


def test_a_search_that_raises_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = catalogue(ITEMS, {"i1": [1.0, 0, 0, 0]})
    assert made.model

    def fails(*given: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr(made.model.user_space, "nearest", fails)
    assert compare(made.model.user_space, made.columns, random.Random(1)).error == "RuntimeError: no"


def test_the_cost_of_an_item_is_measured_on_one_index_and_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker = sum_of_inputs(len(INPUTS))
    monkeypatch.setattr(catalogues, "ranker", lambda: ranker)
    catalogues.publish(300, tmp_path)
    whole, bare = additions.taking(tmp_path, 50, 2)
    assert len(whole) == len(bare) == 2
    assert min(whole) > min(bare) > 0
