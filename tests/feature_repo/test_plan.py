"""What applying a changed repository would change."""

from __future__ import annotations

from typing import Any

import pytest

from feature_repo.crosses import Cross, ItemFeature, UserFeature, Weekday
from feature_repo.plan import Change, changed_views, changes, inputs, snapshot
from feature_repo.repository import Repository
from operators.features import Count, Entity, Feature, Mean, Sum, event, item, user
from operators.time import days, hours

click = event.event_type == "click"
price = event.properties.price


def of(*features: Feature) -> dict[str, Any]:
    by_entity: dict[Any, tuple[Feature, ...]] = {}
    for feature in features:
        by_entity[feature.entity] = (*by_entity.get(feature.entity, ()), feature)
    return snapshot(Repository(by_entity))


def clicks(name: str = "clicks", **more: Any) -> Count:
    return Count(name, **({"entity": user, "events": click, "window": hours(1)} | more))


OLD = clicks("old")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([clicks()], [clicks()], []),
        ([], [clicks()], [("user.clicks", "new")]),
        ([clicks()], [], [("user.clicks", "removed")]),
        ([clicks()], [clicks(window=days(1))], [("user.clicks", "rebuilt")]),
        ([clicks()], [clicks(doc="in other words")], [("user.clicks", "changed")]),
        ([OLD, clicks("taps")], [OLD, clicks("taps", replaces=OLD)], [("user.taps", "changed")]),
        ([clicks()], [clicks("taps")], [("user.taps", "changed"), ("user.clicks", "removed")]),
        ([clicks()], [clicks(entity=item)], [("item.clicks", "new"), ("user.clicks", "removed")]),
        (
            [Sum("spent", entity=user, of=price)],
            [Sum("spent", entity=user, of=price), Mean("paid", entity=user, of=price)],
            [("user.paid", "changed")],
        ),
    ],
)
def test_changes(before: list[Feature], after: list[Feature], expected: list[tuple[str, str]]) -> None:
    found = changes(of(*before), of(*after))
    assert [(change.feature, change.kind) for change in found] == expected


def test_only_a_removal_leaves_rows_as_they_are() -> None:
    kinds = {kind: Change("f", kind, "").rewrites for kind in ("new", "rebuilt", "changed", "removed")}
    assert kinds == {"new": True, "rebuilt": True, "changed": True, "removed": False}


def test_other_keys_of_an_entity_are_another_meaning() -> None:
    by_profile, by_event = Entity("country", (event.user.country,)), Entity("country", (event.properties.country,))
    assert [c.kind for c in changes(of(clicks(entity=by_profile)), of(clicks(entity=by_event)))] == ["rebuilt"]


def test_a_main_view_that_changed_is_named() -> None:
    before, after = of(), of()
    assert changed_views(before, after) == []
    before["views"]["item_activity"] += 1
    assert changed_views(before, after) == ["item_activity"]


def test_a_feature_that_becomes_a_column_is_told_of_anew() -> None:
    people = Count("people", entity=item)
    before = snapshot(Repository({item: (people,)}))
    after = snapshot(Repository({item: (people,)}, (ItemFeature("n", of=people),)))
    (change,) = changes(before, after)
    assert (change.feature, change.kind, change.rewrites) == ("item.people", "changed", True)
    assert changes(after, before)[0].kind == "changed"


def test_what_becomes_of_crosses() -> None:
    views, clicked = Count("views", entity=user), clicks()

    def said(*crosses: Cross) -> dict[str, Any]:
        return snapshot(Repository({user: (views, clicked)}, crosses))

    before, after = said(UserFeature("a", of=views), Weekday("b")), said(Weekday("c"), UserFeature("a", of=clicked))
    assert [(c.feature, c.kind) for c in inputs(before, after)] == [("c", "new"), ("a", "changed"), ("b", "removed")]
    assert inputs(after, after) == []
    assert changes(before, after) == []
    old = {name: value for name, value in before.items() if name != "crosses"}
    assert [c.kind for c in inputs(old, after)] == ["new", "new"], "a snapshot from before there were crosses"
