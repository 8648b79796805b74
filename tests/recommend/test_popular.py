"""Lists of popular items, compared with plain sorting."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recommend.popular import LENGTH, Popular
from schemas.events import Item
from tests.serving.made import catalogue, popular


def world(seed: int, n: int) -> tuple[Popular, dict[str, Item], dict[str, float], dict[str, float]]:
    rng = random.Random(seed)
    items = [
        Item(f"i{k}", "", rng.sample(["a", "b"], rng.randrange(3)), rng.choice("xyz"), available=rng.random() < 0.7)
        for k in range(n)
    ]
    made = catalogue(items)
    everywhere = {i.item_id: float(rng.randrange(20)) for i in items if rng.random() < 0.8}
    there = {i.item_id: float(rng.randrange(20)) for i in items if rng.random() < 0.3}
    popular(made, everywhere)
    popular(made, there, "DE")
    return Popular(made.columns), {i.item_id: i for i in items}, everywhere, there


def best(ids: list[str], values: dict[str, float]) -> list[str]:
    """By value, then in the catalogue's order."""
    return sorted(ids, key=lambda i: (-values.get(i, -1e9), int(i[1:])))


@given(st.integers(0, 2**32), st.integers(0, 60))
def test_lists_are_those_of_plain_sorting(seed: int, n: int) -> None:
    found, items, everywhere, there = world(seed, n)
    ids = found.columns.ids
    can = [i for i, item in items.items() if item.available]

    def named(rows: np.ndarray) -> list[str]:
        return [ids[row] for row in rows.tolist()]

    assert named(found.everywhere()) == named(found.all()) == best(can, everywhere)
    assert named(found.within("DE")) == best([i for i in can if i in there], there)
    assert named(found.within("FR")) == named(found.within("")) == []
    for category in ("a", "b"):
        code = found.columns.category_codes.get(category, 99)
        of = [i for i in can if category in items[i].categories]
        assert named(found.of_category(code)) == best(of, everywhere)
        assert named(found.of_category(code, "DE")) == best([i for i in of if i in there], there)
        assert named(found.of_category(code, "FR")) == []
    for brand in "xyz":
        of = [i for i in can if items[i].brand == brand]
        code, allowed = found.columns.brand_codes.get(brand, 99), found.columns.available.copy()
        assert named(found.of_brand(code, allowed)) == best(of, everywhere)
        assert named(found.of_brand(code, allowed, 3)) == best(of, everywhere)[:3]
        assert named(found.of_brand(code, allowed[: n // 2])) == best(
            [i for i in of if int(i[1:]) < n // 2], everywhere
        )


def test_a_list_has_the_best_of_a_large_catalogue_and_all_has_everything() -> None:
    found, items, everywhere, _ = world(1, 3000)
    can = [i for i, item in items.items() if item.available]
    rows = found.everywhere()
    assert len(rows) == LENGTH
    values = [everywhere.get(found.columns.ids[row], -1e9) for row in rows.tolist()]
    assert values == [everywhere.get(i, -1e9) for i in best(can, everywhere)[:LENGTH]]
    assert rows.tolist() == found.all()[:LENGTH].tolist(), "of equal ones, at the end too, those that come first"
    assert len(found.all()) == len(can)


def test_a_list_is_kept_for_its_age() -> None:
    now = [100.0]
    made = catalogue([Item("i0"), Item("i1")])
    popular(made, {"i0": 2.0, "i1": 1.0})
    found = Popular(made.columns, lambda: now[0], max_age_s=1.0)
    assert found.everywhere().tolist() == [0, 1]
    popular(made, {"i1": 3.0})
    assert found.everywhere().tolist() == [0, 1]
    now[0] += 1
    assert found.everywhere().tolist() == [1, 0]


def test_the_whole_catalogue_is_sorted_once_a_second_and_never_stale() -> None:
    of, now = catalogue([Item(f"i{k}") for k in range(6)]), [0.0]
    popular(of, {f"i{k}": float(k) for k in range(6)})
    lists = Popular(of.columns, lambda: now[0])
    first = lists.all()
    assert lists.all() is first
    popular(of, {"i0": 99.0})
    assert lists.all() is first, "popularity is as of the second before"
    of.put_item(Item("i5", available=False))
    assert lists.all().tolist() == first[1:].tolist()
    of.put_item(Item("new"))
    assert lists.all().tolist()[0] == 0, "an item that has become available has it sorted anew"
    assert set(lists.all().tolist()) == {0, 1, 2, 3, 4, 6}
    of.put_item(Item("new", available=False))
    of.put_item(Item("i5"))
    assert set(lists.all().tolist()) == {0, 1, 2, 3, 4, 5}, "one more and one less are not taken for no change"
    now[0] = 5.0
    popular(of, {"i3": 100.0})
    assert lists.all().tolist()[0] == 3
