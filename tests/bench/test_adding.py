"""The figures of the adding benchmark, what makes it unsound, and its comparisons with the exact product."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from bench import adding, additions, catalogues, searching_server
from bench.adding import MeasuredAdditions, Turn
from bench.additions import Added, AddingAnswers
from bench.errors import Unsound
from bench.searching_server import ComparedSearches, compare, recalls
from feature_repo.inputs import INPUTS
from schemas.events import Item
from tests.bundles import sum_of_inputs
from tests.serving.made import catalogue

ITEMS = [Item(f"i{k}") for k in range(400)]
VECTORS = np.random.default_rng(4).normal(size=(400, 4))


METRICS = """\
# HELP freshet_items_total Items
# TYPE freshet_items_total counter
freshet_items_total 3.0
# HELP freshet_items Items in the columns
# TYPE freshet_items gauge
"""


@pytest.mark.parametrize(
    ("samples", "items"),
    [
        ("freshet_items 1.00002e+06\n", 1_000_020),
        ('freshet_items{process="1"} 7.0\nfreshet_items{process="2"} 5.0\n', 5),
    ],
    ids=["one process", "several"],
)
def test_the_items_of_a_server_are_read_from_its_metrics(samples: str, items: int) -> None:
    assert adding.items_of(METRICS + samples) == items


def test_metrics_without_items_make_no_figure() -> None:
    with pytest.raises(Unsound, match="no freshet_items"):
        adding.items_of(METRICS)


def turn(ms: float, sent: int = 0, recall: float = 1.0, **others: Any) -> Turn:
    compared = ComparedSearches(
        0.0, 100 + sent, [recall] * 4, [recall] * 4 if sent else [], [recall] * 2 if sent else []
    )
    answers = AddingAnswers({"feed": [ms] * 50, "similar": [2 * ms] * 50})
    added = Added(sent, per_s=500.0 if sent else 0.0, answered_ms=[30.0] if sent else [])
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
    assert document["recall_newest"] == 0.97
    assert (document["taken_per_s"], document["taking_ratio"], document["added"]) == (500.0, 2.0, 10_000)
    assert document["items_at_the_end"] == 5100
    assert document["answered_ms"]["n"] == 2


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
        ("added__unseen", 1, "1 items had no answer within"),
        ("taken", 4990, "10 of 10000 items were not taken"),
        ("added__per_s", 100.0, "less than 90% of 500 items a second were sent"),
    ],
)
def test_what_makes_it_unsound(fault: str, value: Any, says: str) -> None:
    found = adding.report(measured(**{fault: value}), 100, 500)
    assert found.status == 1
    assert any(failure.startswith(says) for failure in found.failures)


def test_a_turn_without_comparisons_is_unsound() -> None:
    for others, says in (
        ({"compared": []}, "no search was compared in turn 2 with additions"),
        ({"compared": [ComparedSearches(0.0, 9, [1.0])]}, "no search for an added item was compared in a turn"),
    ):
        failures = adding.report(measured(**others), 100, 500).failures
        assert any(failure.startswith(says) for failure in failures), failures
    silent = measured()
    silent.without[0].compared.clear()
    assert adding.report(silent, 100, 500).failures == ["no search was compared in turn 1 without additions"]


def test_failed_requests_are_a_failure_alone() -> None:
    found = adding.report(measured(answers__failed=Counter({"feed: status 503": 3})), 100, 500)
    assert "failed_requests" not in {target.name for target in found.targets}
    assert found.document()["failed_requests"] == 3


def test_whatever_a_comparison_raises_is_noted_and_the_next_one_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = catalogue(ITEMS, {f"i{k}": VECTORS[k].tolist() for k in range(300)})
    services = SimpleNamespace(
        pipeline=SimpleNamespace(model=made.model), catalogue=SimpleNamespace(complete=True, columns=made.columns)
    )
    compare, turns = searching_server.compare, iter([True, False])

    def fails_once(*given: Any) -> ComparedSearches:
        if next(turns):
            raise ValueError("no rows")
        return compare(*given)

    monkeypatch.setattr(searching_server, "compare", fails_once)
    monkeypatch.setattr(searching_server, "paced", lambda rate, seconds: [(0, 0.0), (1, 0.0)])
    searching_server._compare_forever(services, tmp_path / "compared")  # type: ignore[arg-type]
    lines = (tmp_path / "compared").read_bytes().splitlines()
    first, second = (msgspec.json.decode(line, type=ComparedSearches) for line in lines)
    assert (first.error, first.bundled) == ("ValueError: no rows", [])
    assert len(second.bundled) == 4


def test_the_newest_items_are_compared_by_themselves() -> None:
    made = catalogue(ITEMS[:300], {f"i{k}": VECTORS[k].tolist() for k in range(300)})
    assert made.model
    space = made.model.user_space
    assert not compare(space, made.columns, random.Random(1), k=20).newest
    for k in range(300, 310):
        made.put_item(ITEMS[k])
        space.set(made.columns.row_of[f"i{k}"], VECTORS[k].astype(np.float32))
    searched: list[np.ndarray] = []
    nearest = space.nearest
    space.nearest = lambda vectors, *given: searched.append(vectors) or nearest(vectors, *given)  # type: ignore
    assert len(compare(space, made.columns, random.Random(1), k=20).newest) == 4
    last = space.vectors_of(np.array([made.columns.row_of[f"i{k}"] for k in range(306, 310)]))
    assert all((last == vector).all(axis=1).any() for vector in searched[-1])


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
