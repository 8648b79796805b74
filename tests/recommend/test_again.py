"""Intervals between purchases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.time import DAY, HOUR, MINUTE
from recommend.again import DEFAULT, DUE_FROM, DUE_UNTIL, K, repurchases
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person

COLUMNS = catalogue([Item("tea", "", ["drinks"]), Item("milk", "", ["drinks"]), Item("soap", "", ["care"])]).columns


def bought(*purchases: tuple[str, float], kind: str = "purchase") -> dict[str, Any]:
    """(item, days ago), newest first."""
    row = person([(kind, item) for item, _ in purchases])
    row["recent_times"] = [round(NOW - days * DAY) for _, days in purchases]
    return row


def of(row: dict[str, Any], at: int = NOW) -> dict[str, Any]:
    return {COLUMNS.ids[each.row]: each for each in repurchases(row, COLUMNS, at)}


def test_one_purchase_has_the_default_interval() -> None:
    tea = of(bought(("tea", 30)))["tea"]
    assert (tea.interval, tea.source, tea.purchases, tea.elapsed, tea.score) == (DEFAULT, "default", 1, 1.0, 1.0)
    assert tea.is_due


def test_an_items_own_gaps_count_beside_the_prior() -> None:
    tea = of(bought(("tea", 10), ("tea", 20), ("tea", 30)))["tea"]
    category = (K * DEFAULT + 20 * DAY) / (K + 2)
    assert tea.interval == pytest.approx((K * category + 20 * DAY) / (K + 2))
    assert (tea.source, tea.purchases) == ("item", 3)


def test_without_gaps_of_its_own_an_item_has_the_interval_of_its_category() -> None:
    found = of(bought(("milk", 3), ("tea", 10), ("soap", 12)))
    assert found["tea"].interval == pytest.approx((K * DEFAULT + 7 * DAY) / (K + 1))
    assert (found["tea"].source, found["milk"].source, found["soap"].source) == ("category", "category", "default")


def test_purchases_of_one_basket_count_once() -> None:
    row = bought(("tea", 5), ("tea", 5))
    row["recent_times"] = [NOW - 5 * DAY, NOW - 5 * DAY - 20 * MINUTE]
    assert of(row)["tea"].purchases == 1
    row["recent_times"] = [NOW - 5 * DAY, NOW - 5 * DAY - HOUR]
    assert of(row)["tea"].purchases == 2


def test_only_purchases_count_and_only_until_then() -> None:
    assert of(bought(("tea", 30), kind="add_to_cart")) == {}
    assert of(bought(("tea", 1)), NOW - 2 * DAY) == {}
    assert of(bought(("unknown", 30))) == {}


@pytest.mark.parametrize(("share", "due"), [(0.5, False), (0.79, False), (0.81, True), (2.9, True), (3.1, False)])
def test_due_around_the_end_of_the_interval(share: float, due: bool) -> None:
    assert of(bought(("soap", 30 * share)))["soap"].is_due is due
    assert DUE_FROM < 1 < DUE_UNTIL


@given(st.lists(st.tuples(st.sampled_from(["tea", "milk", "soap"]), st.floats(0, 700)), max_size=50))
def test_scores_are_shares_and_the_best_comes_first(purchases: list[tuple[str, float]]) -> None:
    found = repurchases(bought(*sorted(purchases, key=lambda each: each[1])), COLUMNS, NOW)
    assert all(0 <= each.score <= 1 and each.interval > 0 and each.purchases >= 1 for each in found)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert {COLUMNS.ids[each.row] for each in found} == {item for item, _ in purchases}
