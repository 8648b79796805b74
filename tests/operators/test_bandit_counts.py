"""What bandit policies learn from, compared with plain sums."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import builders, views
from feature_repo.repository import Repository
from operators.attribution import Attribution
from operators.bandit_counts import (
    LIVES,
    SHOWN,
    SHOWN_IN,
    TAKEN,
    TAKEN_IN,
    UNKNOWN,
    Explored,
    LinearModel,
    policy_key,
    policy_name,
    signals_of,
)
from operators.contract import Record, Signal
from operators.decay import POPULARITY_ORIGIN
from operators.features import Count
from operators.features import item as item_entity
from operators.picture_counts import PICTURE_SHOWN, PICTURE_TAKEN
from operators.time import DAY, MINUTE
from schemas.events import Impression, Interaction, User
from tests.operators.records import World
from tests.operators.signals import T0
from training.replay import KnownItems, Replay

HALF_LIFE = 10 * DAY
X = [1.0, -0.5]


def shown(request: str = "r1", at: int = T0, **fields: Any) -> Impression:
    given: dict[str, Any] = {"explored": [1], "contexts": struct.pack("<2f", *X), "context_id": "c"} | fields
    return Impression(request, "u1", at, ["a", "b", "c"], **given)


def did(item: str, kind: str = "click", at: int = T0 + MINUTE, request: str | None = "r1", n: int = 0) -> Interaction:
    return Interaction(f"{item}-{kind}-{at}-{n}", kind, "u1", at, item, request_id=request)


def rows_of(log: list[Any], declared: Repository | None = None) -> dict[str, dict[str, tuple[Any, ...]]]:
    """View → key → values of the last rows, by the operators of the job."""
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    world, more = KnownItems(), {"declared": declared} if declared else {}
    replay = Replay(
        builders.user_operator(world, attribution=Attribution(), **more), builders.item_operator(world, **more),
        lambda row, at: found.setdefault(row.view, {}).__setitem__(row.key[0], row.values),
    )  # fmt: skip
    for event in log:
        replay.feed(Record(event))
    return found


def counts(log: list[Any], item: str = "b", at: int = T0) -> tuple[float, float]:
    """Shown and taken of an item in slots, as of `at`."""
    values = rows_of(log).get(views.item_exploration.name, {}).get(item, (UNKNOWN, UNKNOWN))
    age = (at - POPULARITY_ORIGIN) / views.EXPLORED.half_life
    return round(2.0 ** (values[0] - age), 6), round(2.0 ** (values[1] - age), 6)


# -- the signals of an impression ------------------------------------------------------------------


def test_a_place_that_nothing_was_drawn_for_has_no_signals() -> None:
    assert list(signals_of(shown(), 0, taken=False)) == []
    assert list(signals_of(Impression("r", "u", T0, ["a"]), 0, taken=True)) == []


def test_a_picture_has_signals_of_its_own() -> None:
    pictures: dict[str, Any] = {"images": [None, "x.jpg", "y.jpg"], "segment": "drama"}
    of_picture, of_item, _ = signals_of(shown(**pictures), 1, taken=False)
    assert of_picture == Signal(PICTURE_SHOWN, T0, "b", partners=("drama", "x.jpg"))
    assert of_item == Signal(SHOWN, T0, "b")
    assert [s.event_type for s in signals_of(shown(**pictures), 2, taken=True)] == [PICTURE_TAKEN]
    assert list(signals_of(shown(**pictures), 0, taken=True)) == []


def test_a_drawn_place_is_one_of_the_item_and_of_the_policy() -> None:
    of_item, of_policy = signals_of(shown(), 1, taken=False)
    assert (of_item.event_type, of_item.item_id, of_policy.event_type) == (SHOWN, "b", SHOWN_IN)
    assert (of_policy.item_id, list(of_policy.context)) == (policy_key("home/c/2"), X)
    assert [s.event_type for s in signals_of(shown(), 1, taken=True)] == [TAKEN, TAKEN_IN]
    assert [s.event_type for s in signals_of(shown(contexts=None), 1, taken=False)] == [SHOWN]


# -- the counts, through the operators of the job ---------------------------------------------------


def test_what_is_shown_counts_at_once_and_what_is_taken_once() -> None:
    assert counts([shown()]) == (1, 0)
    assert counts([shown(), did("b")]) == (1, 1)
    assert counts([shown(), did("b"), did("b", "like"), did("b", n=1)]) == (1, 1)
    assert counts([shown(), shown("r2"), did("b", request="r2")]) == (2, 1)


@pytest.mark.parametrize(
    "log",
    [
        [shown(), did("b", "view")],
        [shown(), did("b", "dislike")],
        [shown(), did("b", at=T0 + 31 * MINUTE)],
        [shown(), did("b", request="r9")],
        [shown(), did("a")],
    ],
)
def test_nothing_else_is_taken(log: list[Any]) -> None:
    assert counts(log) == (1, 0)


def test_a_repeated_message_changes_nothing() -> None:
    assert counts([shown(), shown(), did("b"), did("b")]) == (1, 1)


def test_a_click_that_comes_before_its_impression_counts() -> None:
    assert counts([did("b"), shown()]) == (1, 1)


def test_items_at_other_places_have_no_row() -> None:
    assert list(rows_of([shown(), did("a")])[views.item_exploration.name]) == ["b"]


def test_people_without_consent_teach_nothing() -> None:
    assert counts([User("u1", consent=False), shown(), did("b")]) == (0, 0)


def test_these_signals_are_no_interactions_of_an_item() -> None:
    repository = Repository({item_entity: (Count("n", entity=item_entity, window=7 * DAY),)})
    found = rows_of([shown(), did("b")], repository)
    alone = rows_of([Impression("r1", "u1", T0, ["a", "b", "c"]), did("b")], repository)
    for view in (item_entity.view, views.item.name):
        assert found[view] == alone[view]


def test_the_model_of_a_surface_is_the_sums_of_what_was_shown_and_taken() -> None:
    found = rows_of([shown(), shown("r2", T0 + 1), did("b")])
    as_of, n, gram, response = found[views.policy_model.name]["home/c/2"]
    assert (as_of, n) == (T0 + 1, pytest.approx(2))
    assert gram == pytest.approx((2 * np.outer(X, X)).ravel())
    assert response == pytest.approx(X)


# -- the aggregations, against plain sums -----------------------------------------------------------

times = st.lists(st.tuples(st.integers(0, 2000), st.booleans()), min_size=1, max_size=30)


@given(times, st.randoms())
def test_decayed_counts_are_plain_sums_in_any_order(events: list[tuple[int, bool]], rng: Any) -> None:
    declared = Explored(half_life=HALF_LIFE)
    signals = [Signal(TAKEN if taken else SHOWN, T0 + day * DAY, "a") for day, taken in events]
    rng.shuffle(signals)
    state = declared.new()
    for signal in signals:
        declared.update(state, signal, World())
    values = declared.values(state, 0)
    for value, kind in zip(values[:2], (SHOWN, TAKEN), strict=True):
        logs = [(s.timestamp - POPULARITY_ORIGIN) / HALF_LIFE for s in signals if s.event_type == kind]
        if not logs:
            assert value == UNKNOWN
            continue
        top = max(logs)
        true = top + math.log2(math.fsum(2.0 ** (each - top) for each in logs))
        assert value == pytest.approx(true, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 99), st.booleans(), st.integers(0, 2)), min_size=1, max_size=30))
def test_the_sums_of_a_model_are_plain_sums(events: list[tuple[int, bool, int]]) -> None:
    declared, contexts = LinearModel(half_life=HALF_LIFE), np.array([[1, 0.5, 0], [1, -1, 2], [1, 0, 0.25]])
    state = declared.new()
    events = [(0, False, 0), *events]
    for day, taken, which in events:
        x = tuple(contexts[which].tolist())
        declared.update(state, Signal(TAKEN_IN if taken else SHOWN_IN, T0 + day * DAY, "p", context=x), World())
    as_of, n, gram, response = declared.values(state, 0)
    weights = [2.0 ** ((T0 + day * DAY - as_of) / HALF_LIFE) for day, _, _ in events]
    of = list(zip(weights, events, strict=True))
    true = sum(w * np.outer(contexts[k], contexts[k]) for w, (_, taken, k) in of if not taken)
    assert np.array(gram) == pytest.approx(np.asarray(true).ravel(), rel=1e-6, abs=1e-12)
    assert np.array(response) == pytest.approx(sum((w * contexts[k] for w, (_, t, k) in of if t), np.zeros(3)))
    assert n == pytest.approx(sum(w for w, (_, taken, _) in of if not taken))


LIFE = LIVES * views.LINEAR.half_life


def test_a_model_that_nothing_is_shown_by_any_more_ends() -> None:
    rows: list[tuple[str, int, tuple[Any, ...]]] = []
    world = KnownItems()
    replay = Replay(
        builders.user_operator(world, attribution=Attribution()), builders.item_operator(world),
        lambda row, at: rows.append((row.key[0], at, row.values)) if row.view == views.policy_model.name else None,
    )  # fmt: skip
    key = policy_key("home/c/2"), "\x01linear"
    replay.feed(Record(shown()))
    replay.forget(T0 + LIFE - 1)
    assert key in replay._items.states
    replay.forget(T0 + LIFE)
    assert key not in replay._items.states
    assert ("b", "\x01explored") in replay._items.states, "what is known of the item stays"
    assert rows[-1] == ("home/c/2", T0 + LIFE, (0, 0.0, [], []))
    assert [values[1] for _, _, values in rows[:-1]] == [1]


def test_what_is_shown_after_the_end_is_of_a_new_model_whether_the_old_one_was_dropped_or_not() -> None:
    later = T0 + LIFE
    found = rows_of([shown(), shown("r2", later), did("b", at=later + 1, request="r2")])
    fresh = rows_of([shown("r2", later), did("b", at=later + 1, request="r2")])
    assert found[views.policy_model.name] == fresh[views.policy_model.name]
    kept = rows_of([shown(), shown("r2", later - 1)])[views.policy_model.name]["home/c/2"]
    assert kept[1] == pytest.approx(1 + 2.0**-LIVES, rel=1e-6)


def test_models_of_other_columns_are_other_models() -> None:
    """Whatever others log under the same names, a model is the sums of its own contexts."""
    narrow = {"contexts": struct.pack("<f", 1), "context_id": "c"}
    log = [shown(f"r{n}", T0 + n) for n in range(50)] + [shown("narrow", T0 + 50, **narrow), shown("r51", T0 + 51)]
    found = rows_of(log)[views.policy_model.name]
    assert {policy: (round(values[1], 3), len(values[3])) for policy, values in found.items()} == {
        "home/c/2": (51, 2), "home/c/1": (1, 1),
    }  # fmt: skip


def test_no_two_models_share_a_name() -> None:
    log = [
        shown("r1", surface="a", context_id="b/c"), shown("r2", surface="a/b", context_id="c"),
        shown("r3", surface="a", context_id="b%2Fc"),
    ]  # fmt: skip
    found = rows_of(log)[views.policy_model.name]
    assert [values[1] for values in found.values()] == [1, 1, 1]
    assert list(found) == [policy_name("a", "b/c", 2), policy_name("a/b", "c", 2), policy_name("a", "b%2Fc", 2)]


def test_a_context_of_another_length_changes_no_model() -> None:
    declared = LinearModel(half_life=HALF_LIFE)
    state = declared.new()
    declared.update(state, Signal(SHOWN_IN, T0, "p", context=(1.0, 2.0)), World())
    before = declared.values(state, 0)
    for kind in (SHOWN_IN, TAKEN_IN):
        declared.update(state, Signal(kind, T0, "p", context=(3.0,)), World())
    assert declared.values(state, 0) == before == (T0, 1, [1.0, 2.0, 2.0, 4.0], [0.0, 0.0])
