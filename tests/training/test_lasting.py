"""How much of popularity lasts, of logs in which one kind alone decides."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.optimize import check_grad

from operators.time import DAY
from recommend.priors import EVEN
from schemas.events import Interaction, Item
from training import lasting
from training.accepted import Log

T = 1_767_225_600_000
PEOPLE, EACH = 400, 8


def made(rotates: bool) -> Log:
    """New people all the time, who meet items with the same few favourites throughout, or with those of the week."""
    chance = random.Random(1)
    events = []
    for p in range(PEOPLE):
        at = T + p * DAY // 2
        first = 10 * (p // 14) if rotates else 0
        wanted = chance.sample(range(300), EACH // 4) + [(first + chance.randrange(10)) % 300 for _ in range(EACH)]
        events += [
            Interaction(f"e{p}-{k}", "like", f"u{p}", at + k * 1000, f"i{item}")
            for k, item in enumerate(dict.fromkeys(wanted))
        ]
    return Log.of(events, [Item(f"i{k}") for k in range(300)])


def test_favourites_that_stay_last_and_those_of_the_week_do_not() -> None:
    assert lasting.share(made(rotates=False)) > 0.7
    assert lasting.share(made(rotates=True)) < 0.3


def test_a_log_that_says_too_little_leaves_it_even() -> None:
    log = made(rotates=False)
    assert lasting.share(Log(log.interactions[:300], log.items)) == EVEN
    assert lasting.share(Log([], [])) == EVEN


@pytest.mark.parametrize("weights", [(0.1, 0.9), (1.0, 0.0)])
def test_the_gradient_is_that_of_the_loss(weights: tuple[float, float]) -> None:
    met = lasting._Events.of(made(rotates=True))
    drawn = lasting._drawn(met, len(met.item) // 2, len(met.item))
    error = check_grad(
        lambda w: lasting._loss(w, [drawn])[0] / 100, lambda w: lasting._loss(w, [drawn])[1] / 100, np.array(weights)
    )
    assert error < 1e-3


def test_ratings_count_as_the_server_counts_them() -> None:
    """Stars below 3 make nothing popular, and 5 more than 4: as `POPULARITY` in the stream."""
    stars = (1, 3, 4, 5)
    ratings = [Interaction(f"e{n}", "rating", "u", T + n, f"i{n}", properties={"rating": n}) for n in stars]
    shared = Interaction("s", "share", "u", T + 9, "i9")
    found = lasting._Events.of(Log([*ratings, shared], []))
    assert found.weight.tolist() == pytest.approx([0, 0.2, 0.6, 1, 2])
    assert found.meets.tolist() == [1, 1, 1, 1, 0]
