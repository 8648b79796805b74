"""What applying a changed repository would change."""

from __future__ import annotations

from typing import Any

import pytest

from feature_repo.plan import Change, changed_views, changes, snapshot
from feature_repo.registry import Repository
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


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([clicks()], [clicks()], []),
        ([], [clicks()], [("user.clicks", "new")]),
        ([clicks()], [], [("user.clicks", "removed")]),
        ([clicks()], [clicks(window=days(1))], [("user.clicks", "rebuilt")]),
        ([clicks()], [clicks(doc="in other words")], [("user.clicks", "changed")]),
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
