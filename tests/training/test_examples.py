"""Examples hold what was known at the moment, and nothing later."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from feature_repo.ranking import NAMES, matrix
from schemas.events import Impression, Interaction
from training import examples, factors
from training.examples import Log, Moment
from training.factors import Space

Array = npt.NDArray[np.floating[Any]]
T = 1_767_225_600_000


@pytest.fixture(scope="module")
def space(log: Log) -> Space:
    return factors.fit(log.interactions[: log.cut(0.8)], log.items, 16)


def features_at(log: Log, space: Space, number: int) -> tuple[Array, dict[str, object]]:
    found: list[tuple[Array, dict[str, object]]] = []

    def look(moment: Moment) -> None:
        rows = np.arange(moment.request.items.n)
        found.append((matrix(moment.request, rows), dict(moment.request.user)))

    examples.replay(log, *examples.world_of(log, space), [number], look)
    return found[0]


@pytest.mark.parametrize("number", [0, 400, 901, 999])
def test_features_equal_those_of_a_log_that_ends_there(log: Log, space: Space, number: int) -> None:
    """What follows may be anything: the features of the moment do not move."""
    cut = Log(log.interactions[: number + 1], log.items)
    whole, user = features_at(log, space, number)
    short, same_user = features_at(cut, space, number)
    np.testing.assert_array_equal(whole, short)
    assert user == same_user


def test_columns_read_lazily_equal_those_written_at_each_event(log: Log, space: Space) -> None:
    moments = random.Random(0).sample(range(len(log.interactions)), 20)
    lazy: dict[int, Array] = {}
    eager: dict[int, Array] = {}

    def look_into(found: dict[int, Array]) -> None:
        def look(moment: Moment) -> None:
            if moment.number in moments:
                items = moment.request.items
                found[moment.number] = np.stack([items.popularity, items.events_7d, items.ctr_7d])

        every = range(len(log.interactions)) if found is eager else moments
        examples.replay(log, *examples.world_of(log, space), every, look)

    look_into(lazy)
    look_into(eager)
    assert lazy.keys() == eager.keys() == set(moments)
    for number in moments:
        np.testing.assert_array_equal(lazy[number], eager[number])


def test_a_week_later_the_counts_of_the_week_are_zero(log: Log, space: Space) -> None:
    _, live = examples.replay(log, *examples.world_of(log, space))
    end = log.interactions[-1].timestamp
    assert live.at(end).events_7d.sum() > 0
    assert live.at(end + 8 * 86_400_000).events_7d.sum() == 0


def test_impressions_are_applied_in_their_place(log: Log, space: Space) -> None:
    end = log.interactions[-1].timestamp
    middle = log.interactions[500].timestamp
    shown = [Impression(f"r{at}", "viewer", at, ["i0"]) for at in (end + 1, middle - 1)]
    whole = Log.of(log.interactions, log.items, shown)
    row = space.item_ids.index("i0")
    counts: list[float] = []
    _, live = examples.replay(
        whole,
        *examples.world_of(whole, space),
        [499, 501],
        lambda moment: counts.append(moment.request.items.ctr_7d[row]),
    )
    prior, once = 1 / 20, 1 / 21
    assert counts == pytest.approx([prior, once])
    assert live.at(end + 1).ctr_7d[row] < prior


def test_groups(log: Log, space: Space) -> None:
    groups = examples.examples(log, space, log.cut(0.8), 50, seed=0)
    assert groups
    for group in groups:
        assert group.features.shape == (len(group.labels), len(NAMES))
        assert np.isfinite(group.features).all()
        assert group.labels.any()
        assert not group.labels.all()
    again = examples.examples(log, space, log.cut(0.8), 50, seed=0)
    np.testing.assert_array_equal(groups[-1].features, again[-1].features)


def test_similarity_knows_the_genre(log: Log, space: Space) -> None:
    groups = examples.examples(log, space, log.cut(0.8), 100, seed=0)
    similarity = NAMES.index("similarity")
    loved = np.concatenate([g.features[g.labels == 3, similarity] for g in groups])
    others = np.concatenate([g.features[g.labels == 0, similarity] for g in groups])
    assert loved.mean() > others.mean() + 0.1


@pytest.mark.parametrize(("stars", "grade"), [(1, 0), (3, 1), (4, 2), (5, 3)])
def test_grades(stars: float, grade: int) -> None:
    assert examples.grade(Interaction("e", "rating", "u", T, "i", properties={"rating": stars})) == grade


def test_wanted_starts_at_the_moment_and_looks_ahead_only(log: Log) -> None:
    grades = examples.wanted(log)
    own = [k for k, e in enumerate(log.interactions) if e.user_id == "u0"]
    items = [log.interactions[k].item_id for k in own]
    assert set(grades(own[22])) == set(items[22:])
    assert set(grades(own[0])) <= set(items[: examples.AHEAD])


def test_each_visit_gives_its_beginning_and_one_moment_within(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "FEW", 0)
    begin = [next(k for k, e in enumerate(log.interactions) if e.user_id == f"u{p}") for p in range(40)]
    moments = examples.sample(log, 0, 1000, seed=0)
    assert set(begin) <= set(moments)
    people = [log.interactions[k].user_id for k in moments]
    assert all(people.count(f"u{p}") == 2 for p in range(40))
    assert len(examples.sample(log, 0, 20, seed=0)) == 20


def test_a_log_of_few_visits_gives_more_moments_of_each(log: Log) -> None:
    moments = examples.sample(log, 600, 300, seed=0)
    assert len(set(moments)) == 300
    assert all(k >= 600 for k in moments)
    assert len(examples.sample(log, 990, 300, seed=0)) == 10
