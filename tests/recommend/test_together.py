"""What is bought together: scores, candidates, filters, reasons, and the two surfaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from feature_repo import views
from operators.contract import Row
from operators.decay import POPULARITY_ORIGIN
from operators.time import DAY
from recommend import together
from recommend.catalogue import Catalogue
from recommend.filters import Available, Complements, NotInCart
from recommend.pipeline import Answer, Pipeline
from recommend.popular import Popular
from recommend.query import Listed, Query
from recommend.rerankers import Diverse
from recommend.surfaces import bought_together, cart
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, pipeline, popular

ITEMS = [
    Item("pasta", "Pasta", ["dry food"], "Barilla"),
    Item("spaghetti", "Pasta", ["dry food"], "Barilla"),
    Item("sauce", "Tomato sauce", ["sauces"], "Mutti"),
    Item("cheese", "Parmesan", ["dairy"]),
    Item("milk", "Milk", ["dairy"]),
    Item("gone", "Basil", ["herbs"], available=False),
    Item("lamp", "Lamp", ["home"]),
]
SHARES = {
    "pasta": (40.0, {"spaghetti": 0.05, "sauce": 0.5, "milk": 0.5, "gone": 0.5, "cheese": 0.2}),
    "sauce": (30.0, {"pasta": 0.7, "cheese": 0.6}),
    "cheese": (20.0, {"sauce": 0.9, "pasta": 0.4}),
    "milk": (500.0, {"pasta": 0.04}),
    "spaghetti": (30.0, {"pasta": 0.07}),
}


def log2_of(baskets: float) -> float:
    """The column's value for so many baskets as of NOW."""
    return float(np.log2(baskets)) + (NOW - POPULARITY_ORIGIN) / together.HALF_LIFE


def bought(of: Catalogue, shares: Mapping[str, tuple[float, Mapping[str, float]]]) -> Catalogue:
    """Puts rows of `item_cooccurrence`."""
    for item, (baskets, partners) in shares.items():
        values = log2_of(baskets), list(partners), list(partners.values())
        of.columns.put_features(Row(views.item_cooccurrence.name, (item,), values))
    return of


def world(vectors: Mapping[str, Any] | None = None, shares: Any = SHARES) -> Catalogue:
    made = bought(catalogue(ITEMS, vectors), shares)
    popular(made, {"lamp": 9.0, "milk": 8.0, "pasta": 7.0})
    return made


def query(of: Catalogue, *items: str, n: int = 3, explain: Any = "reason", **user: Any) -> Query:
    return pipeline(of).query(
        at=NOW, n=n, explain=explain, user=person(**user), cart=of.columns.rows(items)
    )  # fmt: skip


def ids(of: Catalogue, rows: np.ndarray) -> list[str]:
    return [of.columns.ids[row] for row in rows.tolist()]


def answered(of: Catalogue, *items: str, **more: Any) -> Answer:
    return pipeline(of).recommend(cart, query(of, *items, **more))


def purchases(*items: str, ago: int = DAY) -> dict[str, Any]:
    return {
        "recent_items": list(items), "recent_types": ["purchase"] * len(items),
        "recent_times": [NOW - ago] * len(items), "recent_tastes": [3.0] * len(items),
    }  # fmt: skip


# -- scores ----------------------------------------------------------------------------------------


def test_scores_are_those_of_the_formula() -> None:
    of = world()
    found = query(of, "pasta", "sauce", **purchases("milk", ago=30 * DAY)).together
    baskets = {item: own for item, (own, _) in SHARES.items()}
    lines = sum(baskets.values())
    expected: dict[str, float] = {}
    for a in ("pasta", "sauce"):
        for b, share in SHARES[a][1].items():
            if b not in ("pasta", "sauce"):
                confidence = share * baskets[a] / (baskets[a] + 5)
                rarity = lines / (baskets.get(b, 0) + 3)
                expected[b] = expected.get(b, 0) + confidence**1.4 * rarity**0.25
    expected["milk"] += 0.6 / 2
    assert dict(zip(ids(of, found.rows), found.scores.tolist(), strict=True)) == pytest.approx(expected, rel=1e-5)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_a_score_is_because_of_the_item_with_the_largest_term() -> None:
    of = world()
    found = query(of, "pasta", "sauce").together
    because = dict(zip(ids(of, found.rows), ids(of, found.because), strict=True))
    assert because["cheese"] == "sauce"
    assert because["milk"] == "pasta"


def test_what_is_popular_with_everything_ranks_below_what_belongs_together() -> None:
    """Sauce and milk are in half of the baskets with pasta each, and milk is in most of the others too."""
    of = world()
    found = ids(of, query(of, "pasta").together.rows)
    assert found.index("sauce") < found.index("milk")


def test_few_baskets_say_little() -> None:
    once = {"lamp": (1.0, {"milk": 1.0, "cheese": 1.0}), "pasta": (100.0, {"sauce": 0.6})}
    of = world(shares={**once, "milk": (100.0, {}), "cheese": (100.0, {}), "sauce": (100.0, {})})
    assert ids(of, query(of, "lamp", "pasta").together.rows)[0] == "sauce"


def test_nothing_of_an_empty_cart_and_of_items_without_baskets() -> None:
    of = world()
    assert len(query(of).together.rows) == 0
    assert len(query(of, "lamp").together.rows) == 0


def test_the_sum_of_all_lines_follows_every_row() -> None:
    of = world()
    bought(of, {"pasta": (10.0, {}), "lamp": (4.0, {"pasta": 1.0})})
    assert of.columns.basket_lines == pytest.approx(float(np.exp2(of.columns.baskets).sum()))
    assert len(of.columns.partners) == 5
    assert len(query(of, "pasta").together.rows) == 0


# -- the surfaces ----------------------------------------------------------------------------------


def test_complements_and_no_near_duplicates() -> None:
    of = world()
    found = answered(of, "pasta", n=3)
    assert found.item_ids == ["sauce", "milk", "cheese"]
    assert found.degraded == []
    removed = {stage.stage: stage.removed for stage in found.trace if stage.removed}
    assert removed == {"unavailable": 1, "near_duplicate": 1}


@pytest.mark.parametrize(
    ("both", "of_spaghetti", "stays"),
    [
        (24, 30, True),  # 5.4 times as often as by chance
        (24, 300, False),  # spaghetti are in so many baskets that it is chance
        (2, 30, False),  # two baskets say little
    ],
)
def test_near_duplicates_that_are_bought_together_on_purpose_stay(both: int, of_spaghetti: int, stays: bool) -> None:
    of_pasta = {"spaghetti": both / 40, "sauce": 0.5, "milk": 0.5, "cheese": 0.7}
    of = world(shares={**SHARES, "pasta": (40.0, of_pasta), "spaghetti": (float(of_spaghetti), {})})
    assert ("spaghetti" in answered(of, "pasta", n=4).item_ids) is stays


def test_nothing_of_the_cart_is_in_the_answer_and_each_reason_names_an_item_of_it() -> None:
    of = world()
    found = answered(of, "pasta", "sauce", n=2)
    assert found.item_ids == ["cheese", "milk"]
    assert [(r.code, r.text, r.item_id) for r in found.reasons if r] == [
        ("bought_with", "Often bought with Tomato sauce", "sauce"),
        ("bought_with", "Often bought with Pasta", "pasta"),
    ]


def test_what_a_person_bought_before_is_offered_again() -> None:
    of = world()
    found = answered(of, "cheese", n=3, **purchases("lamp"))
    assert "lamp" in found.item_ids
    reason = found.reasons[found.item_ids.index("lamp")]
    assert reason is not None
    assert reason.code == "bought_before"
    assert "lamp" not in answered(of, "cheese", n=2).item_ids


def test_a_person_whose_cart_is_in_no_basket_has_what_they_buy() -> None:
    of = world()
    found = answered(of, "lamp", n=1, **purchases("cheese"))
    assert (found.item_ids, found.degraded) == (["cheese"], [])
    assert found.scores == pytest.approx([0.6 * 2 ** (-1 / 30)])


def test_without_baskets_similar_items_stand_in_and_the_trace_says_so() -> None:
    vectors = {"lamp": [1, 0, 0, 0], "milk": [1, 0.1, 0, 0], "cheese": [0, 1, 0, 0], "pasta": [0, 0, 1, 0]}
    of = world(vectors)
    of.model.surfaces["cart"] = of.model.surfaces["similar"]  # type: ignore[index, union-attr]
    found = answered(of, "lamp", n=1)
    assert (found.item_ids, found.scores) == (["milk"], [0.0])
    assert found.degraded == ["retrieve"]
    failed = next(stage for stage in found.trace if stage.failed)
    assert (failed.stage, failed.fell_back) == ("together", "near_cart")
    assert failed.failed == "nothing was bought together with any of these items yet"
    assert found.reasons[0] is not None
    assert (found.reasons[0].code, found.reasons[0].item_id) == ("similar_item", "lamp")


def test_without_baskets_and_a_model_popular_items_stand_in() -> None:
    of = world()
    found = pipeline(of).recommend(bought_together, query(of, "lamp", n=2))
    assert found.item_ids == ["milk", "pasta"]
    assert [reason.code for reason in found.reasons if reason] == ["popular", "popular"]
    assert found.degraded == ["retrieve"]


def test_too_few_partners_are_filled_up_with_popular_items() -> None:
    of = world()
    found = answered(of, "milk", n=3)
    assert (found.item_ids[0], len(found.item_ids)) == ("pasta", 3)
    assert found.scores[1:] == [0.0, 0.0]
    assert [reason.code for reason in found.reasons if reason] == ["bought_with", "popular", "popular"]


@pytest.mark.parametrize("fills_behind", [True, False])
def test_a_reranker_that_cannot_say_whether_it_applies_costs_nothing_but_its_order(fills_behind: bool) -> None:
    class Broken(Diverse):
        def applies(self, query: Query) -> bool:
            raise RuntimeError("boom")

    of = world()
    surface = replace(bought_together, ranker=replace(bought_together.ranker, fills_behind=fills_behind), rerankers=())
    whole = pipeline(of).recommend(surface, query(of, "milk", n=3))
    found = pipeline(of).recommend(replace(surface, rerankers=(Broken(),)), query(of, "milk", n=3))
    assert found.item_ids == whole.item_ids
    assert "milk" not in found.item_ids
    assert (whole.degraded, found.degraded) == ([], ["rerank"])


def test_an_empty_cart_has_an_answer() -> None:
    assert answered(world(), n=2).item_ids == ["lamp", "milk"]


def large(bought_with: int = 1) -> Catalogue:
    """A catalogue whose first item was bought with the next ones."""
    items = [Item(f"i{k:04}", f"word{k}", [f"c{k}"]) for k in range(3000)]
    partners = {f"i{k:04}": 0.5 for k in range(1, 1 + bought_with)}
    made = bought(catalogue(items), {"i0000": (9.0, partners)})
    popular(made, {item.item_id: -float(k) for k, item in enumerate(items)})
    return made


@pytest.mark.parametrize(("asked_for", "on_the_list", "most"), [({}, 1, 30), ({"objective": {"score": 2.0}}, 190, 600)])
def test_a_short_list_is_filled_up_without_looking_at_the_whole_catalogue(
    asked_for: dict[str, Any], on_the_list: int, most: int
) -> None:
    made = large()
    looked: list[int] = []

    class Counting(Complements):
        def keep(self, query: Query, rows: np.ndarray) -> np.ndarray:
            looked.append(len(rows))
            return super().keep(query, rows)

    surface = replace(cart, filters=(Available(), NotInCart(), Counting()))
    asked = replace(query(made, "i0000", n=10), depth=200, **asked_for)
    answer = pipeline(made).recommend(surface, asked)
    assert ids(made, answer.candidates.rows) == [f"i{k:04}" for k in range(1, 11)]
    assert len(answer.rest) == on_the_list
    assert answer.has_more
    assert sum(looked) < most


@pytest.mark.parametrize("bought_with", [0, 1, 9, 10, 11, 25])
@pytest.mark.parametrize(
    "controls", [(), ("more_category", "c150"), ("less_like", "i0001")], ids=lambda each: " ".join(each) or "none"
)
def test_a_page_is_the_same_as_if_the_whole_list_had_been_filled(bought_with: int, controls: tuple[str, ...]) -> None:
    made = large(bought_with)
    user: dict[str, Any] = {}
    if controls:
        kind, target = controls
        user = {
            "control_ids": ["e1"], "control_kinds": [kind], "control_targets": [target], "control_times": [NOW],
        }  # fmt: skip
    eager = replace(cart, ranker=replace(cart.ranker, fills_behind=False))
    asked = replace(query(made, "i0000", n=10), depth=200, user={**person(), **user})
    first, whole = (pipeline(made).recommend(each, replace(asked)) for each in (cart, eager))
    assert (first.item_ids, first.scores, first.reasons) == (whole.item_ids, whole.scores, whole.reasons)
    assert first.has_more == whole.has_more
    assert len(whole.rest) == 190
    assert ("i0150" in first.item_ids) == ("c150" in controls and bought_with < 10), "raised above the others that fill"


def test_pages_that_fill_up_for_themselves_are_those_of_one_list() -> None:
    made = large(25)
    whole = pipeline(made).recommend(cart, query(made, "i0000", n=200))
    shown: list[str] = []
    listed: Listed | None = None
    for _ in range(20):
        asked = query(made, "i0000", n=10)
        asked = replace(asked, depth=200, listed=listed, excluded=np.sort(made.columns.rows(shown)))
        answer = pipeline(made).recommend(cart, asked)
        assert answer.has_more
        shown += answer.item_ids
        listed = Listed(answer.rest.rows, answer.rest.sources)
    assert shown == whole.item_ids


def test_the_last_page_says_that_it_is_the_last() -> None:
    items = [Item(f"i{k}", f"word{k}", [f"c{k}"]) for k in range(11)]
    made = catalogue(items)
    assert not pipeline(made).recommend(cart, replace(query(made, "i0", n=10), depth=200)).has_more
    assert pipeline(made).recommend(cart, replace(query(made, "i0", n=9), depth=200)).has_more


def test_the_catalogue_is_sorted_only_where_the_most_popular_items_do_not_fill_the_answer_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, sorted_ones = large(), list[int]()
    whole = Popular.all
    monkeypatch.setattr(Popular, "all", lambda *given: sorted_ones.append(1) or whole(*given))
    few = replace(query(made, "i0000", n=10), depth=200)
    assert len(pipeline(made).recommend(cart, few).item_ids) == 10
    assert not sorted_ones
    found = pipeline(made).recommend(replace(cart, ranked=3000), query(made, "i0000", n=1500))
    assert found.item_ids == [f"i{k:04}" for k in range(1, 1501)]
    assert sorted_ones


def test_what_was_sold_out_since_the_list_was_made_does_not_fill_up() -> None:
    made = large()
    of = Pipeline(made.columns, made.model, Popular(made.columns, lambda: 0.0))
    open_ended = replace(cart, filters=(NotInCart(),))
    of.recommend(open_ended, query(made, "i0000", n=5))
    made.columns.available[made.columns.row_of["i0003"]] = False
    found = of.recommend(open_ended, replace(query(made, "i0000", n=5), popular=of.popular))
    assert found.item_ids == ["i0001", "i0002", "i0004", "i0005", "i0006"]


def test_a_list_is_filled_up_as_far_as_the_catalogue_goes() -> None:
    items = [Item(f"i{k:04}", f"word{k}", ["same"] if k % 3 else [f"c{k}"]) for k in range(900)]
    items = [Item(each.item_id, "one title", ["same"]) if k % 9 else each for k, each in enumerate(items)]
    made = catalogue(items)
    popular(made, {item.item_id: -float(k) for k, item in enumerate(items)})
    answer = pipeline(made).recommend(cart, query(made, "i0001", n=90))
    assert len(answer.item_ids) == 90
    assert all(int(item_id[1:]) % 9 == 0 for item_id in answer.item_ids)
