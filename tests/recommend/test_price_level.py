"""A surface's price level prefers cheaper or dearer items a little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recommend.pipeline import Answer
from recommend.price_level import PRICE, places
from recommend.surfaces import home
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, pipeline, popular

N = 8
PRICES = [None, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 1e6]


def answer(level: float, score: object = None, prices: list[float | None] = PRICES) -> Answer:
    items = [Item(f"i{k}", price=price) for k, price in enumerate(prices)]
    made = catalogue(items, {f"i{k}": [1, 0, 0, k / 100] for k in range(N)}, score=score or (lambda x: x[:, 0] * 0))
    popular(made, {f"i{k}": float(-k) for k in range(N)})
    of = pipeline(made)
    surface = replace(home, price_level=level, rerankers=())
    return of.recommend(surface, of.query(at=NOW, user=person(), n=N))


def by_row(x: np.ndarray) -> np.ndarray:
    return np.arange(len(x), dtype=np.float32)[::-1]


def test_the_level_moves_scores_by_a_share_of_their_spread_and_no_further() -> None:
    plain, cheap, dear = (answer(level, by_row) for level in (0.0, -1.0, 1.0))
    of = dict(zip(plain.item_ids, plain.scores, strict=True))
    for found, sign in ((cheap, -1), (dear, 1)):
        for item_id, score in zip(found.item_ids, found.scores, strict=True):
            k = int(item_id[1:])
            place = 0.0 if k == 0 else (k - 4) / 3
            assert score == pytest.approx(of[item_id] + sign * (N - 1) * PRICE * place, abs=1e-4)
    assert answer(0.5, by_row).scores != plain.scores


def test_of_items_that_are_as_relevant_the_cheaper_or_the_dearer_come_first() -> None:
    def nearly(x: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(x)) == 0, 1, 0).astype(np.float32)

    for level, expected in ((-1.0, "i1"), (1.0, "i7")):
        found = [item_id for item_id in answer(level, nearly).item_ids if item_id != "i0"]
        assert found[0] == expected
    stages = {stage.stage: stage for stage in answer(1.0, nearly).trace}
    assert (stages["price_level"].step, stages["price_level"].failed) == ("rank", None)
    assert "price_level" not in {stage.stage for stage in answer(0.0, nearly).trace}


def test_one_very_dear_item_weighs_no_more_than_another() -> None:
    assert places(np.array([1.0, 2.0, 1e9])).tolist() == [-1, 0, 1]
    assert places(np.array([3.0, np.nan, 3.0, 4.0])).tolist() == [-0.5, 0, -0.5, 1]
    assert places(np.array([np.nan, 5.0])).tolist() == [0, 0]
    assert places(np.zeros(0)).tolist() == []


def test_without_prices_nothing_changes() -> None:
    plain, dear = (answer(level, by_row, [None] * N) for level in (0.0, 1.0))
    assert (plain.item_ids, plain.scores) == (dear.item_ids, dear.scores)


@pytest.mark.parametrize("level", [-1.5, 2.0, float("nan")])
def test_a_level_out_of_range_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="home: price_level is"):
        replace(home, price_level=level)


def test_weights_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="home: the objective weighs buy by inf"):
        replace(home, objective={"buy": float("inf")})
