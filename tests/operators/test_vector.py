"""The user vector against a sum over the raw list, through changes of the embedding space."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.contract import Signal, Space
from operators.space import EmptySpace
from operators.time import DAY, HOUR, MINUTE
from operators.vector import UserVector
from tests.operators import oracles
from tests.operators.signals import ITEMS, T0, Anywhere, MadeSpace, latest, logs, run, saved

WEIGHTS = {"view": 0.5, "click": 1.0, "purchase": 3.0, "rating": 3.0, "dislike": -3.0}
SPACES: list[Space] = [MadeSpace("one"), MadeSpace("two", dim=3, seed=1), EmptySpace()]


def check(declared: UserVector, signals: list[Signal], spaces: list[Space]) -> None:
    """`spaces[n]` is in force when signal n arrives."""
    world, state = Anywhere(spaces[0] if spaces else None), declared.new()
    for n, signal in enumerate(signals):
        world.space = spaces[n]
        declared.update(state, signal, world)
        if n % 5 == 0:
            state = saved(declared, state)
    at = latest(signals)
    assert declared.values(state, at + DAY) == declared.values(state, at)
    assert declared.due(state, at) is None
    assert len(state.recent) <= declared.k
    found, space = declared.values(state, at)
    total, mass = oracles.vector(declared, signals, lambda n: spaces[n])
    if total is None:
        assert (found, space) == ([], "")
        return
    length = np.linalg.norm(total)
    if length < 1e-4 * mass:
        return  # what cancels out has a direction of rounding errors alone
    assert space == spaces[max(n for n, s in enumerate(signals) if s.item_id and oracles.weight(WEIGHTS, s))].id
    np.testing.assert_allclose(found, total / length, atol=1e-4)


@pytest.mark.parametrize("half_life", [MINUTE, HOUR, 7 * DAY])
@given(signals=logs())
def test_vector_is_the_decayed_sum_of_all_events(half_life: int, signals: list[Signal]) -> None:
    """Of all of them, not of the last k alone."""
    check(UserVector(half_life, WEIGHTS, k=3), signals, [SPACES[0]] * len(signals))


@given(logs(), st.lists(st.sampled_from([0, 1]), min_size=30, max_size=30))
def test_a_new_space_starts_from_the_last_k(signals: list[Signal], which: list[int]) -> None:
    check(UserVector(7 * DAY, WEIGHTS, k=4), signals, [SPACES[w] for w in which[: len(signals)]])


@given(logs(), st.integers(0, 30))
def test_the_first_bundle_finds_what_was_done_before_it(signals: list[Signal], n: int) -> None:
    spaces = [SPACES[2] if k < n else SPACES[0] for k in range(len(signals))]
    check(UserVector(7 * DAY, WEIGHTS, k=50), signals, spaces)


@given(logs())
def test_the_order_of_arrival_does_not_matter(signals: list[Signal]) -> None:
    declared = UserVector(HOUR, WEIGHTS)
    total, mass = oracles.vector(declared, signals, lambda n: SPACES[0])
    if total is None or np.linalg.norm(total) < 1e-4 * mass:
        return
    forth, back = (declared.values(run(declared, s, Anywhere(SPACES[0])), T0)[0] for s in (signals, signals[::-1]))
    np.testing.assert_allclose(forth, back, atol=1e-4)


def test_the_vector_has_length_one_and_a_dislike_pushes_away() -> None:
    declared = UserVector(7 * DAY, WEIGHTS)
    liked = [Signal("click", T0, "i0")]
    space = SPACES[0]
    near, far = space.vector("i0"), space.vector("i1")
    assert near is not None
    assert far is not None
    before, _ = declared.values(run(declared, liked, Anywhere(space)), T0)
    after, _ = declared.values(run(declared, [*liked, Signal("dislike", T0, "i1")], Anywhere(space)), T0)
    assert np.linalg.norm(before) == pytest.approx(1)
    np.testing.assert_allclose(before, near, atol=1e-6)
    assert np.dot(after, far) < np.dot(before, far)


def test_what_says_nothing_or_is_unknown_moves_nothing() -> None:
    declared = UserVector(7 * DAY, WEIGHTS)
    nothing = [Signal("search", T0, ""), Signal("share", T0, "i0"), Signal("click", T0, ITEMS[-1])]
    nothing.append(Signal("rating", T0, "i0", rating=2.5))
    assert declared.values(run(declared, nothing, Anywhere(SPACES[0])), T0) == ([], "")


def test_a_click_taken_back_exactly_leaves_no_direction() -> None:
    declared = UserVector(7 * DAY, WEIGHTS)
    signals = [Signal("purchase", T0, "i0"), Signal("dislike", T0, "i0")]
    assert declared.values(run(declared, signals, Anywhere(SPACES[0])), T0) == ([], "")


class TwoSpaces:
    """A world in which another space is put in force at each look."""

    def __init__(self) -> None:
        self._looks = 0

    @property
    def space(self) -> Any:
        self._looks += 1
        return _Space("A", [1.0, 0.0]) if self._looks % 2 else _Space("B", [0.0, 1.0, 0.0])

    def item(self, item_id: str) -> None:
        return None


class _Space(NamedTuple):
    id: str
    of_all: list[float]

    @property
    def dim(self) -> int:
        return len(self.of_all)

    def vector(self, item_id: str) -> Any:
        return np.array(self.of_all, np.float32)


def test_a_vector_is_of_one_space_whatever_is_put_in_force_meanwhile() -> None:
    vector, world = UserVector(half_life=1000, weights={"click": 1.0}), TwoSpaces()
    state = vector.new()
    for n in range(5):
        vector.update(state, Signal("click", n, f"i{n}"), world)  # type: ignore[arg-type]
        found, space = vector.values(state, n)
        assert len(found) == {"A": 2, "B": 3}[space]
