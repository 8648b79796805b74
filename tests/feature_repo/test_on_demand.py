"""Feast's on-demand view says what the ranker is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from feature_repo import on_demand, registry
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
)
from feature_repo.reads import Reads
from feature_repo.repository import Repository
from operators.features import (
    Count,
    Decay,
    InteractedWith,
    Last,
    Mean,
    Vector,
    event,
    item,
    user,
    user_category,
)
from operators.time import DAY, days
from schemas.events import Item

T0 = 1_767_225_600_000
years = event.with_fields(item={"year": int}).item.attributes.year
ABLE: list[Cross] = [
    UserFeature("views", of=Count("views", entity=user)),
    ItemFeature("people", of=Count("people", entity=item)),
    Overlap("brands", of=InteractedWith("brands", entity=user, of=event.item.brand)),
    Overlap("categories", of=InteractedWith("categories", entity=user, of=event.item.categories)),
    Overlap("again", of=InteractedWith("items", entity=user, of=event.item_id)),
    RelativePrice("dear", of=Mean("usual", entity=user, of=event.properties.price)),
    ItemAge("new"),
    Hour("hour", zone=Last("zone", entity=user, of=event.user.timezone)),
    Device("phone", among=("ios",)),
    Position("position"),
]
UNABLE: list[Cross] = [
    Affinity("habit", of=Count("met", entity=user_category)),
    Overlap("years", of=InteractedWith("years", entity=user, of=years)),
    Similarity("taste", of=Vector("taste", entity=user, weights={"view": 1.0}, window=Decay(days(1)))),
    QueryMatch("query"),
]
ITEMS = [Item("i1", "", ["a", "b"], "x", 8.0, T0 - 30 * DAY), Item("i2", "", ["c"], None, None, None)]
PEOPLE = {
    "u1": {"views": 3, "brands": ["x"], "categories": ["a"], "items": ["i2"], "usual": 4.0, "zone": "Asia/Tokyo"},
    "u2": {},
}


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "declared", lambda: Repository({}, (*UNABLE, *ABLE)))
    on_demand.crosses.cache_clear()
    yield
    on_demand.crosses.cache_clear()


def test_those_take_part_of_which_feast_has_all() -> None:
    assert list(on_demand.crosses()) == ABLE
    assert on_demand.asked(ABLE) == ["request_at", "request_device", "request_position"]
    assert on_demand.asked(ABLE[:6]) == []


def test_a_row_of_feast_says_what_the_ranker_is_given() -> None:
    people = {"i1": 7}
    asked = [(u, i, T0 + n * DAY, "ios" if n else "", n) for n, (u, i) in enumerate(
        [("u1", ITEMS[0]), ("u2", ITEMS[1]), ("u1", ITEMS[1]), ("u1", ITEMS[0])]
    )]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for u, i, at, device, position in asked:
        person = {f"user_features__{name}": PEOPLE[u].get(name) for name in PEOPLE["u1"]}
        entry = {"categories": i.categories or None, "brand": i.brand or "", "price": i.price or -1.0,
                 "created_at": i.created_at or 0}  # fmt: skip
        rows.append(
            {"user_id": u, "item_id": i.item_id, "request_at": at, "request_device": device}
            | {"request_position": position, "item_features__people": people.get(i.item_id)}
            | person
            | {f"item_activity__{name}": value for name, value in entry.items()}
        )
    found = on_demand.compute({name: [row[name] for row in rows] for name in rows[0]})

    columns = ItemColumns(2, Reads.of(ABLE))
    for i in ITEMS:
        columns.put_item(i)
    columns.put_values("i1", {"people": 7})
    for n, (u, i, at, device, position) in enumerate(asked):
        known = {f"user_features:{name}": value for name, value in PEOPLE[u].items()}
        candidates = Candidates(
            Request(known, columns, at, device=device), columns.rows([i.item_id]), np.array([float(position)])
        )
        assert {name: values[n] for name, values in found.items()} == {
            cross.name: pytest.approx(cross(candidates)[0]) for cross in ABLE
        }


def test_what_feast_knows_nothing_of_has_defaults() -> None:
    inputs: dict[str, list[Any]] = {f"user_features__{name}": [None, None] for name in PEOPLE["u1"]}
    inputs |= {"user_id": ["u1", "u2"], "item_id": ["i1", "i1"], "item_features__people": [None, None]}
    found = on_demand.compute(inputs | {"user_features__views": [None, 2]})
    assert found["views"] == [0.0, 2.0]
    assert found["people"] == [0.0, 0.0]
