"""The evaluation of bought together: the split, the questions, both kinds of lists, and the intervals."""

from __future__ import annotations

import numpy as np
import pytest
from implicit.nearest_neighbours import CosineRecommender

from operators.time import DAY
from schemas.events import Item
from training import baskets
from training.basket_baselines import ItemToItem, Question
from training.baskets import HeldOutDays, Stream, interval, measure, questions, table
from training.complete_journey import Purchase

T0 = 20_000 * DAY


def year(days: int = 100, pairs: int = 12) -> list[Purchase]:
    """Each day one basket of each pair of products, and of one that everybody buys."""
    return [
        Purchase(f"b{day}-{k}", f"h{k % 3}", T0 + day * DAY + k, [f"a{k}", f"b{k}", "milk"])
        for day in range(days)
        for k in range(pairs)
    ]


def items(pairs: int = 12) -> list[Item]:
    return [Item("milk", "Milk"), *(Item(f"{x}{k}", f"title{x}{k}") for x in "ab" for k in range(pairs))]


def test_the_test_is_the_last_tenth_of_the_days() -> None:
    past, test = HeldOutDays.last(year())
    assert (len(past), len(test)) == (90 * 12, 10 * 12)
    assert max(basket.at for basket in past) < T0 + 90 * DAY <= min(basket.at for basket in test)


def test_one_product_of_each_basket_is_hidden() -> None:
    made = questions([*year(2), Purchase("alone", "h", T0 + 3 * DAY, ["a1"])], seed=3)
    assert len(made) == 24
    for basket, cart, hidden in made:
        assert sorted([*cart, hidden]) == sorted(basket.products)
    assert len({question.hidden for question in made}) > 5
    assert made == questions(year(2), seed=3)


def test_a_frozen_stream_learns_nothing_of_the_test_and_a_live_one_does() -> None:
    new = Purchase("n1", "h9", T0 + DAY, ["x", "y"])
    again = Purchase("n2", "h8", T0 + 2 * DAY, ["x", "y"])
    asked_for = [Question(again, ["x"], "y")]
    catalogue = [Item("x", "one"), Item("y", "two"), *(Item(f"z{n}", f"other {n}") for n in range(30))]
    for live in (False, True):
        stream = Stream.over(catalogue, [])
        surfaces = {"cart": (baskets.cart, False)}
        found = baskets.asked(stream, surfaces, [new, again], asked_for, live)
        scores = stream.catalogue.columns.partners.of([stream.catalogue.columns.row_of["x"]])
        assert (len(scores.partners) > 0) == live
        assert found["cart"].shape == (1,)


def test_baselines_hit_what_is_always_together() -> None:
    past, test = HeldOutDays.last(year(30))
    made = [q for q in questions(test) if q.hidden != "milk"]
    against = ItemToItem(past, made)
    assert against.counts().all()
    neighbours, hits = against.implicit(CosineRecommender)
    assert neighbours in (200, 1000)
    assert hits.all()
    assert against.popularity().mean() < 1


def test_the_whole_measurement_and_its_table() -> None:
    found = measure(year(40), items(), most=30, live=True)
    assert {len(hits) for hits in found.values()} == {30}
    assert found["cart, anonymous"].all()
    made, figures = table(found, "a year")
    assert made.row_count == len(found) == len(figures)
    mean, low, high, *_ = figures["cart, anonymous"]
    assert low <= mean <= high == 1.0


def test_intervals_hold_the_mean_and_a_ratio_is_paired() -> None:
    rng = np.random.default_rng(0)
    one = rng.random(2000) < 0.2
    mean, low, high = interval(one)
    assert mean == one.mean()
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 * (0.2 * 0.8 / 2000) ** 0.5, rel=0.2)
    assert interval(one, one) == (1.0, 1.0, 1.0)
