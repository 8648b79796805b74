"""The ranker's inputs, one candidate at a time, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from feature_repo import inputs
from feature_repo.candidates import Candidates, Request
from feature_repo.columns import ItemColumns
from feature_repo.inputs import INPUTS, NAMES, matrix
from feature_repo.item_vectors import HeldVectors
from feature_repo.vocabulary import Vocabulary
from schemas.events import Item
from tests.feature_repo import made
from tests.feature_repo.made import T0

TASTE_SIGN = {
    "view": 1, "click": 1, "play": 1, "share": 1, "add_to_cart": 1, "purchase": 1, "like": 1, "rating": 1,
    "dislike": -1, "search": 0,
}  # fmt: skip


class Plain:
    """What is known of one request, in dictionaries."""

    def __init__(self, seed: int, region: str = "DE", space: str = "s1") -> None:
        self.columns, self.items, self.rows = made.columns(seed)
        self.user = made.person(seed)
        self.region, self.space = region, space
        self.held = HeldVectors(space, made.vectors(seed).vectors_of(np.arange(38)))
        self.names = self.columns.ids

    @property
    def request(self) -> Request:
        return Request(self.user, self.columns, T0, self.region, self.held)

    def vector(self, id: str) -> list[float]:
        return self.held.vectors_of(np.array([self.columns.row_of[id]]))[0].tolist()

    def feature(self, name: str, id: str, region: str = "") -> Any:
        row = self.rows.get((id, region) if region else (id,))
        names = [f.name for f in (made.views.item_region if region else made.views.item).fields]
        return None if row is None else row.values[names.index(name)]

    def item(self, id: str) -> Item:
        return self.items.get(id, Item(id))


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def similarity(p: Plain, id: str) -> float:
    usable = p.user["vector"] and p.user["vector_space"] == p.space
    return dot(p.user["vector"], p.vector(id)) if usable else 0


def signed(p: Plain, id: str) -> list[float]:
    last = list(zip(p.user["recent_items"], p.user["recent_types"], strict=True))[:20]
    return [TASTE_SIGN[kind] * dot(p.vector(name), p.vector(id)) for name, kind in last if name in p.names]


def recent_mean(p: Plain, id: str) -> float:
    found = signed(p, id)
    return sum(found) / len(found) if found else 0


def recent_max(p: Plain, id: str) -> float:
    return max(signed(p, id), default=0)


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0


def category_affinity(p: Plain, id: str) -> float:
    loved = dict(zip(p.user["category_affinity"], p.user["category_affinity_scores"], strict=True))
    return mean([loved.get(c, 0) for c in p.item(id).categories])


def brand_affinity(p: Plain, id: str) -> float:
    loved = dict(zip(p.user["brand_affinity"], p.user["brand_affinity_scores"], strict=True))
    return loved.get(p.item(id).brand or "", 0)


def session_overlap(p: Plain, id: str) -> float:
    return mean([c in p.user["session_categories"] for c in p.item(id).categories])


def below_the_top(p: Plain, id: str, region: str) -> float:
    found = {name: p.feature("popularity", name, region) for name in p.names}
    top = max((v for v in found.values() if v is not None), default=-1e9)
    return -20 if found[id] is None else max(found[id] - top, -20)


def popularity(p: Plain, id: str) -> float:
    return below_the_top(p, id, "")


def region_popularity(p: Plain, id: str) -> float:
    return below_the_top(p, id, p.region) if p.region in ("DE", "FR") else -20


def trend(p: Plain, id: str) -> float:
    return math.log(1 + sum((p.feature("events_7d", id) or [0])[:-1]))


def ctr(p: Plain, id: str) -> float:
    return p.feature("ctr_7d", id) if (id,) in p.rows else 1 / 20


def age(p: Plain, id: str) -> float:
    created = p.item(id).created_at
    if created is None or created > T0 + 300_000:  # more than a clock may be ahead: its time is still to come
        return -1
    return math.log(1 + max(T0 - created, 0) / 86_400_000)


def history(p: Plain, id: str) -> float:
    return math.log(1 + len(p.user["recent_items"]))


def session_depth(p: Plain, id: str) -> float:
    return math.log(1 + p.user["session_items"])


PLAIN: tuple[Callable[[Plain, str], float], ...] = (
    similarity, recent_mean, recent_max, category_affinity, brand_affinity, session_overlap, popularity,
    region_popularity, trend, ctr, age, history, session_depth,
)  # fmt: skip


def test_every_input_is_checked() -> None:
    assert tuple(f.__name__ for f in PLAIN) == NAMES


@pytest.mark.parametrize(("name", "plain"), [(f.__name__, f) for f in PLAIN])
@pytest.mark.parametrize("seed", range(6))
def test_an_input_equals_a_loop(seed: int, name: str, plain: Callable[[Plain, str], float]) -> None:
    known = Plain(seed, region=("DE", "FR", "", "IT")[seed % 4], space="s1" if seed != 3 else "another")
    rows = np.arange(known.columns.n)[::-3].copy()
    found = getattr(inputs, name)(Candidates(known.request, rows))
    assert found.shape == (len(rows),)
    expected = [plain(known, known.columns.ids[row]) for row in rows]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_matrix_stacks_the_inputs_in_order(seed: int) -> None:
    known = Plain(seed)
    rows = np.array([5, 3, 3, 17])
    found = matrix(known.request, rows)
    assert (found.dtype, found.shape) == (np.float32, (4, len(INPUTS)))
    assert np.isfinite(found).all()
    for column, name in enumerate(NAMES):
        np.testing.assert_array_equal(
            found[:, column], getattr(inputs, name)(Candidates(known.request, rows)).astype(np.float32)
        )
    np.testing.assert_allclose(matrix(known.request, rows[:1]), found[:1], atol=1e-6)


def test_a_stranger_and_an_empty_catalogue_have_inputs_too() -> None:
    stranger = {f.name: f.default for f in made.views.user.fields}
    found = matrix(Request(stranger, made.columns(0)[0], T0), np.arange(10))
    assert np.isfinite(found).all()
    assert matrix(Request(stranger, ItemColumns(), T0), np.array([], np.int64)).shape == (0, len(INPUTS))
    fresh = ItemColumns()
    fresh.put_item(Item("i1"))
    assert np.isfinite(matrix(Request(stranger, fresh, T0), np.array([0]))).all()


def test_codes_that_a_catalogue_gives_out_meanwhile_do_not_disturb_a_ranking() -> None:
    class Outdated(Vocabulary):
        """Its length is that of a moment before, as a request may read it while another thread takes items in."""

        def __len__(self) -> int:
            return 0

    plain = Plain(1)
    rows = np.arange(plain.columns.n)
    expected = matrix(plain.request, rows)
    for name in ("category_codes", "brand_codes"):
        outdated = Outdated()
        for each in getattr(plain.columns, name).names[1:]:
            dict.__setitem__(outdated, each, len(outdated.names))
            outdated.names.append(each)
        setattr(plain.columns, name, outdated)
    assert np.array_equal(matrix(plain.request, rows), expected)
