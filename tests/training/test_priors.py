"""The table of priors, fitted to a made log."""

from __future__ import annotations

import numpy as np

from recommend.priors import POPULARITY, TOKENS, VECTORS
from schemas.events import Interaction, Item, User
from training import factors, priors
from training.accepted import Log


def made() -> Log:
    """Fifty people: the young meet the first ten of twenty items, the others the rest; all meet item 0."""
    events, users = [], []
    for p in range(50):
        young = p < 25
        users.append(User(f"u{p}", {"age": 20 if young else 50, "name": f"n{p}"}))
        wanted = {0, *(k for k in range(20) if (k < 10) == young and (k + p) % 3)}
        events += [
            Interaction(f"e{p}-{k}", "like", f"u{p}", 1_767_225_600_000 + 1000 * (p * 20 + k), f"i{k}")
            for k in sorted(wanted)
        ]
    return Log.of(events, [Item(f"i{k}") for k in range(20)], users=users)


def test_what_people_alike_like_and_how_many_have_met_each_item() -> None:
    log = made()
    space = factors.fit(log.interactions, log.items, 8, 0)
    found = priors.fit(log, space)
    assert found[TOKENS].tolist() == ["age=1", "age=4"], "a name is that of one person"
    lift = space.vectors @ found[VECTORS].T
    young = np.array([int(item_id[1:]) < 10 for item_id in space.item_ids])
    assert lift[young, 0].mean() > 0 > lift[~young, 0].mean()
    assert lift[~young, 1].mean() > 0 > lift[young, 1].mean()
    assert space.item_ids[int(found[POPULARITY].argmax())] == "i0"
    assert found[POPULARITY].max() == 0


def test_without_profiles_there_is_popularity_alone() -> None:
    log = made()
    log = Log.of(log.interactions, log.items)
    found = priors.fit(log, factors.fit(log.interactions, log.items, 8, 0))
    assert found[TOKENS].shape == (0,)
    assert found[VECTORS].shape == (0, 8)
    assert len(found[POPULARITY]) == 20
