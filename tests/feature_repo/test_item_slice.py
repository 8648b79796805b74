"""A slice of the columns has what they have of its rows, and columns are made of it again."""

from __future__ import annotations

import random

import numpy as np
import pytest

from feature_repo import item_slice
from feature_repo.columns import ItemColumns
from feature_repo.item_slice import FROM_ENTRIES, ItemSlice
from feature_repo.views import item, item_cooccurrence, item_exploration, item_region, policy_model
from operators.contract import Row
from schemas import packed
from schemas.events import Item


def columns(seed: int) -> ItemColumns:
    """Random items; some without an entry."""
    chance, made = random.Random(seed), ItemColumns(4)
    for k in range(60):
        if chance.random() < 0.1:
            made.row(f"i{k}")
            continue
        categories = chance.sample([f"c{n}" for n in range(20)], chance.randrange(11))
        more = {"year": 1990 + k, "tags": ["a", "b"]} if chance.random() < 0.5 else {"year": "unknown"}
        made.put_item(
            Item(f"i{k}", f"T{k}", categories, chance.choice([None, "x", "y"]), chance.choice([None, float(k)]),
                 chance.choice([None, k]), chance.random() < 0.8, more)
        )  # fmt: skip
    for k in range(60):
        values = {"popularity": chance.random(), "popularity_by_context": [chance.random()] * 12, "ctr_7d": 0.1}
        for view, key in ((item, (f"i{k}",)), (item_region, (f"i{k}", "DE"))):
            if chance.random() < 0.7:
                made.put_features(Row(view.name, key, tuple(values.get(f.name, f.default) for f in view.fields)))
        partners = [f"i{n}" for n in chance.sample(range(60), 5)]
        made.put_features(Row(item_cooccurrence.name, (f"i{k}",), (3.0, partners, [0.5, 0.4, 0.3, 0.2, 0.1])))
    return made


@pytest.mark.parametrize("seed", range(20))
def test_columns_of_a_slice_have_what_the_columns_had(seed: int) -> None:
    of, chance = columns(seed), random.Random(seed)
    rows = np.array(sorted(chance.sample(range(of.n), 25)))
    taken = item_slice.copied(
        of, rows, chance.choice(["DE", "FR", ""]), {row: of.partners.of([row]) for row in rows[:3].tolist()}
    ).slice()
    made = item_slice.restore(packed.unpack(packed.pack(taken), ItemSlice))
    assert made.ids == [of.ids[row] for row in rows]
    assert made.items == [of.items[row] for row in rows]
    here = np.arange(len(rows))
    for name in of._arrays:
        if name not in FROM_ENTRIES:
            np.testing.assert_array_equal(getattr(made, name), getattr(of, name)[rows], name)
    np.testing.assert_array_equal(made.hashes, of.hashes[rows])
    for field in ("item.categories", "item.brand"):
        (codes, names), (before, known) = made.codes(field), of.codes(field)
        assert [[names.names[c] for c in row] for row in codes.tolist()] == [
            [known.names[c] for c in row] for row in before[rows].tolist()
        ]
        used = [known[name] for name in names.names[1:] if name in known][: len(np.unique(before[rows])) - 1]
        assert used == sorted(used), "codes keep their order"
    if taken.regional is not None:
        np.testing.assert_array_equal(made.popular_in(taken.region), of.popular_in(taken.region)[rows])  # type: ignore[index]
    assert (made.most_popular(), made.most_popular("DE")) == (
        of.most_popular(), of.most_popular("DE") if taken.region == "DE" else -1e9
    )  # fmt: skip
    assert made.basket_lines == of.basket_lines
    assert all(made.filterable.types(name) == of.filterable.types(name) for name in of.filterable.names)
    for place in range(3):
        found, before_ = made.partners.of([place]), of.partners.of([int(rows[place])])
        inside = np.isin(before_.partners, rows)
        np.testing.assert_array_equal(rows[found.partners], before_.partners[inside])
        np.testing.assert_array_equal(found.shares, before_.shares[inside])
    assert len(here) == made.n


def test_a_slice_has_nothing_that_is_of_this_process_alone() -> None:
    of = columns(1)
    of.signatures(np.arange(of.n))
    assert "signatures" not in item_slice.copied(of, np.arange(5)).slice().columns


def test_arrays_are_packed_as_they_are_and_objects_are_refused() -> None:
    for array in (np.arange(3), np.zeros((2, 3), np.float32), np.array(["a", "b"]), np.array([1, "a"], object)):
        found = packed.unpack(packed.pack({"a": array}), dict[str, object])["a"]
        np.testing.assert_array_equal(found, array)  # type: ignore[arg-type]
        assert found.dtype == array.dtype  # type: ignore[attr-defined]
    number = packed.unpack(packed.pack({"a": np.float32(0.1)}), dict[str, object])["a"]
    assert (number, type(number)) == (np.float32(0.1), np.float32)
    with pytest.raises(NotImplementedError, match="object"):
        packed.pack(object())
    import msgspec

    for code, data in ((9, b""), (1, msgspec.msgpack.encode(("|O", [1], b"12345678")))):
        with pytest.raises(ValueError, match=r"unpacked|extension"):
            packed.unpack(msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(code, data)}), dict[str, object])


def test_a_slice_has_what_bandits_had_counted_of_its_items_alone() -> None:
    of, at = ItemColumns(4), 1_700_000_000_000
    for k in range(6):
        of.put_item(Item(f"i{k}", f"T{k}"))
        of.put_features(
            Row(
                item_exploration.name,
                (f"i{k}",),
                (5.0 + k, 4.0, 1.0, ["a", "b"], ["drama"], [k, 2.0] * 2, [1.0, 0] * 2),
            )
        )
    for name in ("home/c/1", "homely/c/1"):
        of.put_features(Row(policy_model.name, (name,), (at, 3.0, [3.0], [1.0])))
    arms = of.arms.take({1: 0, 4: 1}, {4: 1}, "home")
    taken = item_slice.copied(of, np.array([1, 4]), arms=arms).slice()
    made = item_slice.restore(packed.unpack(packed.pack(taken), ItemSlice))
    for now, then in zip(made.arms.counts([0, 1], at), of.arms.counts([1, 4], at), strict=True):
        np.testing.assert_array_equal(now, then)
    choice = ["b", "unknown", "a"]
    for now, then in zip(
        made.arms.pictures([(1, choice)], "drama", at), of.arms.pictures([(4, choice)], "drama", at), strict=True
    ):
        np.testing.assert_array_equal(now, then)
    assert not any(each.any() for each in made.arms.pictures([(0, choice)], "drama", at)[0])
    assert made.arms.model("homely/c/1", at) is None
    before, after = of.arms.model("home/c/1", at), made.arms.model("home/c/1", at)
    assert before == after
    assert before is not None
