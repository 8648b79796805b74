"""Each family of crosses compared with a loop over candidates, and errors at the line of a wrong declaration."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import views as main
from feature_repo.candidates import Candidates, Request
from feature_repo.columns import ItemColumns
from feature_repo.crosses import (
    Affinity,
    Cross,
    Device,
    Hour,
    ItemAge,
    ItemFeature,
    Overlap,
    Position,
    QueryMatch,
    RelativePrice,
    Similarity,
    UserFeature,
    Weekday,
)
from feature_repo.inputs import NAMES, matrix, names
from feature_repo.item_vectors import HeldVectors
from feature_repo.reads import Reads
from operators.features import (
    Count,
    Decay,
    Entity,
    InteractedWith,
    Last,
    LastK,
    Mean,
    Quantiles,
    TimeSinceLast,
    Vector,
    event,
    item,
    user,
    user_brand,
    user_category,
)
from operators.features import (
    Sequence as Interactions,
)
from operators.time import DAY, days
from schemas.errors import FeatureError
from schemas.events import Item

T0 = 1_767_225_600_000
DIM = 4
with_year = event.with_fields(item={"year": int, "actors": list})
price = event.properties.price

views = Count("views", entity=user)
away = TimeSinceLast("away", entity=user)
people = Count("people", entity=item)
met = Count("met", entity=user_category)
brand_stars = Mean("brand_stars", entity=user_brand, of=event.properties.rating, default=3.0)
usual = Mean("usual", entity=user, of=price, default=-1.0)
dear = Quantiles("dear", entity=user, of=price, qs=(0.5, 0.9))
brands = InteractedWith("brands", entity=user, of=event.item.brand)
categories = InteractedWith("categories", entity=user, of=event.item.categories)
lately = LastK("lately", entity=user, of=event.item_id, k=5)
years = LastK("years", entity=user, of=with_year.item.attributes.year, k=9, distinct=True)
actors = InteractedWith("actors", entity=user, of=with_year.item.attributes.actors)
zone = Last("zone", entity=user, of=event.user.timezone)
taste = Vector("taste", entity=user, weights={"view": 1.0}, window=Decay(days(7)))


class World:
    """Items and one person, in dictionaries; and the same as a request."""

    def __init__(self, seed: int, crosses: Sequence[Cross], **request: Any) -> None:
        rng = random.Random(seed)
        self.reads = Reads.of(crosses)
        self.columns = ItemColumns(2, self.reads)
        vectors: list[Any] = []
        self.items: list[Item] = []
        self.people: dict[str, int] = {}
        for n in range(30):
            attributes: dict[str, Any] = {"year": 1990 + rng.randrange(6)} if rng.random() < 0.8 else {}
            if rng.random() < 0.5:
                attributes["actors"] = rng.sample(["ann", "bob", "cy"], rng.randrange(1, 3))
            made = Item(
                f"i{n}", "", rng.sample(["a", "b", "c", "d"], rng.randrange(4)), rng.choice([None, "x", "y"]),
                rng.choice([None, 0.0, 5.0, 20.0]), rng.choice([None, T0 - rng.randrange(900) * DAY, T0 + DAY]),
                attributes=attributes,
            )  # fmt: skip
            vector = np.array([rng.gauss(0, 1) for _ in range(DIM)], np.float32)
            self.columns.put_item(made)
            vectors.append(vector / np.linalg.norm(vector))
            self.items.append(made)
            if rng.random() < 0.7:
                self.people[made.item_id] = rng.randrange(99)
                self.columns.put_values(made.item_id, {"people": self.people[made.item_id], "unread": 1})
        self.vectors = np.array(vectors, np.float32)
        self.asked: list[tuple[str, Sequence[str]]] = []
        self.met = {name: rng.randrange(9) for name in rng.sample(["a", "b", "z"], 2)}
        self.stars = {"x": 4.5}
        self.user: dict[str, Any] = request.pop("user", {})
        self.request = Request(
            self.user, self.columns, T0, space=HeldVectors("s1", self.vectors), pairs=self.pairs, **request
        )

    def pairs(self, view: str, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        self.asked.append((view, names))
        known = {"user_category_features": ("met", self.met), "user_brand_features": ("brand_stars", self.stars)}
        field, values = known[view]
        return {name: {field: values[name]} for name in names if name in values}  # type: ignore[attr-defined]


def check(cross: Cross, plain: Callable[[World, Item], float], seed: int, **request: Any) -> World:
    """The cross says of every item what `plain` says; of each it reads what it says it reads."""
    world = World(seed, [cross], **request)
    rows = np.arange(world.columns.n)[::-2].copy()
    found = cross(Candidates(world.request, rows))
    assert found.shape == (len(rows),)
    np.testing.assert_allclose(found, [plain(world, world.items[row]) for row in rows], atol=1e-6)
    assert cross(Candidates(world.request, rows[:0])).shape == (0,)
    return world


seeds = pytest.mark.parametrize("seed", range(4))


def mean(values: Sequence[float], otherwise: float = 0.0) -> float:
    return sum(values) / len(values) if values else otherwise


@given(st.one_of(st.none(), st.integers(0, 2**40)))
def test_a_feature_of_the_person(value: int | None) -> None:
    known = {} if value is None else {"user_features:views": value}
    check(UserFeature("c", of=views), lambda w, i: value or 0, 0, user=known)


def test_of_several_fields_one_is_chosen() -> None:
    values = {"user_features:dear_p90": 7.5, "user_features:away": 60, "user_features:away_at": T0}
    check(UserFeature("c", of=dear, field="dear_p90"), lambda w, i: 7.5, 0, user=values)
    check(UserFeature("c", of=away), lambda w, i: 60, 0, user=values)


@seeds
def test_a_feature_of_each_candidate(seed: int) -> None:
    check(ItemFeature("c", of=people), lambda w, i: w.people.get(i.item_id, 0), seed)


@seeds
def test_affinity_to_categories(seed: int) -> None:
    world = check(Affinity("c", of=met), lambda w, i: mean([w.met.get(c, 0) for c in i.categories]), seed)
    assert [view for view, _ in world.asked] == ["user_category_features"], "none of no candidates"
    assert "z" not in world.asked[0][1], "only what candidates are of is read"


@seeds
def test_affinity_to_brands_with_a_default(seed: int) -> None:
    check(Affinity("c", of=brand_stars), lambda w, i: w.stars.get(i.brand or "", 3.0), seed)


def test_pairs_are_read_once_for_all_crosses() -> None:
    crosses = [Affinity("c", of=met), Affinity("d", of=met)]
    world = World(0, crosses)
    matrix(Request({**STRANGER}, world.columns, T0, pairs=world.pairs), np.arange(9), crosses)
    assert len(world.asked) == 1


@seeds
@pytest.mark.parametrize(
    ("feature", "touched", "of"),
    [
        (brands, ["x", "gone"], lambda i: [i.brand] if i.brand else []),
        (categories, ["a", "d"], lambda i: i.categories),
        (lately, ["i1", "i4", "gone"], lambda i: [i.item_id]),
        (years, [1991, 1992], lambda i: [i.attributes["year"]] if "year" in i.attributes else []),
        (actors, ["ann"], lambda i: i.attributes.get("actors", [])),
        (brands, [], lambda i: []),
    ],
)
def test_overlap(seed: int, feature: LastK, touched: list[Any], of: Callable[[Item], list[Any]]) -> None:
    known = {f"user_features:{feature.name}": touched}
    check(Overlap("c", of=feature), lambda w, i: mean([v in touched for v in of(i)]), seed, user=known)


@seeds
@pytest.mark.parametrize("said", [-1.0, 0.0, 10.0])
def test_relative_price(seed: int, said: float) -> None:
    def plain(w: World, i: Item) -> float:
        return math.log2(i.price / said) if i.price and said > 0 else 0

    check(RelativePrice("c", of=usual), plain, seed, user={"user_features:usual": said})
    check(RelativePrice("c", of=dear, field="dear_p50"), plain, seed, user={"user_features:dear_p50": said})


@seeds
def test_item_age(seed: int) -> None:
    def plain(w: World, i: Item) -> float:
        if i.created_at is None or i.created_at > T0 + 300_000:  # its time is still to come
            return 0
        return 2 ** (-max(T0 - i.created_at, 0) / days(30))

    check(ItemAge("c", half_life=days(30)), plain, seed)


@pytest.mark.parametrize(
    ("said", "hour", "weekday"),
    [
        (None, 0, 3),  # a Thursday begins in UTC
        ("", 0, 3),
        ("Asia/Tokyo", 9, 3),
        ("America/New_York", 19, 2),
        ("no zone", 0, 3),
        ("../../x", 0, 3),
        ("Europe", 0, 3),
    ],
)
def test_the_persons_clock(said: str | None, hour: int, weekday: int) -> None:
    assert datetime.fromtimestamp(T0 / 1000, UTC).hour == 0
    known = {} if said is None else {"user_features:zone": said}
    check(Hour("c", zone=zone), lambda w, i: hour, 0, user=known)
    check(Weekday("c", zone=zone), lambda w, i: weekday, 0, user=known)
    check(Hour("c"), lambda w, i: 0, 0, user=known)


def test_device() -> None:
    cross = Device("c", among=("ios", "android"))
    check(cross, lambda w, i: 1, 0, device="ios")
    check(cross, lambda w, i: 0, 0, device="tv")
    check(cross, lambda w, i: 0, 0)


def test_position_is_the_shown_one_and_the_first_for_a_list_yet_to_be_made() -> None:
    cross = Position("c")
    check(cross, lambda w, i: 0, 0)
    shown = Candidates(World(0, [cross]).request, np.array([3, 1]), np.array([-1.0, 4.0]))
    assert cross(shown).tolist() == [-1.0, 4.0]


@seeds
@pytest.mark.parametrize("space", ["s1", "s2", ""])
def test_similarity_within_one_space(seed: int, space: str) -> None:
    vector = [0.5, 0.5, 0.5, 0.5]

    def plain(w: World, i: Item) -> float:
        return float(w.vectors[w.columns.row_of[i.item_id]] @ np.array(vector)) if space == "s1" else 0

    known = {"user_features:taste": vector, "user_features:taste_space": space}
    check(Similarity("c", of=taste), plain, seed, user=known)
    check(Similarity("c", of=taste), lambda w, i: 0, seed)


def test_a_query_is_met_by_what_is_near_it() -> None:
    query = np.array([1, 0, 0, 0], np.float32)
    check(QueryMatch("c"), lambda w, i: float(w.vectors[w.columns.row_of[i.item_id]][0]), 0, query=query)
    check(QueryMatch("c"), lambda w, i: 0, 0)


# -- all together ----------------------------------------------------------------------------------

STRANGER = {f.name: f.default for f in main.user.fields}
ALL: list[Cross] = [
    UserFeature("c0", of=views), ItemFeature("c1", of=people), Affinity("c2", of=met), Affinity("c3", of=brand_stars),
    Overlap("c4", of=years), RelativePrice("c5", of=usual), ItemAge("c6"), Hour("c7", zone=zone), Weekday("c8"),
    Device("c9", among=("ios",)), Position("c10"), Similarity("c11", of=taste), QueryMatch("c12"),
]  # fmt: skip


def test_declared_inputs_join_after_the_others_in_order() -> None:
    world = World(1, ALL)
    rows = np.arange(7)
    request = Request(STRANGER, world.columns, T0, pairs=world.pairs)
    found = matrix(request, rows, ALL)
    assert names(ALL) == (*NAMES, *(f"c{n}" for n in range(13)))
    assert (found.dtype, found.shape) == (np.float32, (7, len(NAMES) + 13))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, : len(NAMES)], matrix(request, rows))
    for n, cross in enumerate(ALL):
        np.testing.assert_array_equal(found[:, len(NAMES) + n], cross(Candidates(request, rows)).astype(np.float32))


def test_reads_are_each_once_and_no_more() -> None:
    reads = Reads.of([*ALL, UserFeature("again", of=views)])
    assert [value.key for value in reads.user] == [
        f"user_features:{name}" for name in ("views", "years", "usual", "zone", "taste", "taste_space")
    ]
    assert {view: [v.field.name for v in found] for view, found in reads.pairs.items()} == {
        "user_category_features": ["met"], "user_brand_features": ["brand_stars"],
    }  # fmt: skip
    assert [value.key for value in reads.item] == ["item_features:people"]
    assert reads.attributes == ("year",)


def test_its_repr_is_what_it_means() -> None:
    assert repr(ItemFeature("c", of=people)) == "ItemFeature(item_features:people)"
    assert repr(Device("c", among=("ios",))) == "Device(among=('ios',))"
    assert repr(Hour("a", zone=zone)) == repr(Hour("b", zone=zone)) != repr(Hour("a"))


# -- wrong uses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: UserFeature("No", of=views), "a-z, 0-9 and _"),
        (lambda: UserFeature("c", of=people), "keyed by user_id, and people is of item, keyed by item_id"),
        (lambda: UserFeature("c", of=met), "keyed by user_id, and met is of user_category"),
        (lambda: UserFeature("c", of=zone), "zone is string, and UserFeature needs int64"),
        (lambda: UserFeature("c", of=brands), r"brands is string\[\]"),
        (lambda: UserFeature("c", of=dear), "has the fields dear_p50, dear_p90: say which"),
        (lambda: UserFeature("c", of=dear, field="dear_p9"), "no field 'dear_p9'; did you mean dear_p90"),
        (lambda: UserFeature("c", of="views"), "'views', where a declared feature is needed"),  # type: ignore[arg-type]
        (lambda: ItemFeature("c", of=views), "keyed by item_id, and views is of user"),
        (lambda: Affinity("c", of=views), "keyed by user_id and a field of items, and views is of user"),
        (
            lambda: Affinity("c", of=Count("n", entity=Entity("e", (event.user_id, event.properties.region)))),
            "is of properties.region",
        ),
        (lambda: Overlap("c", of=views), "views keeps none"),
        (lambda: Overlap("c", of=LastK("k", entity=user, of=event.properties.device, k=2)), "k keeps none"),
        (lambda: Overlap("c", of=Interactions("s", entity=user, k=2)), "s keeps none"),
        (lambda: Overlap("c", of=LastK("k", entity=item, of=event.item.brand, k=2)), "keyed by user_id"),
        (lambda: RelativePrice("c", of=Mean("m", entity=user, of=event.properties.rating)), "m is none"),
        (lambda: RelativePrice("c", of=Last("p", entity=user, of=price)), "p is none"),
        (lambda: ItemAge("c", half_life=0), "half-life"),
        (lambda: Hour("c", zone=views), "views is int64, and Hour needs string"),
        (lambda: Device("c", among="ios"), "a tuple of names"),  # type: ignore[arg-type]
        (lambda: Similarity("c", of=views), "needs float32"),
        (lambda: Similarity("c", of=LastK("p", entity=user, of=price, k=3)), "a Vector is needed"),
    ],
)
def test_a_wrong_use_is_an_error_on_its_line(declare: Callable[[], Cross], said: str) -> None:
    with pytest.raises(FeatureError, match=said) as raised:
        declare()
    file, line = raised.value.where.rsplit(":", 1)
    first = inspect.getsourcelines(declare)[1]
    assert file == __file__
    assert first <= int(line) <= first + 3
