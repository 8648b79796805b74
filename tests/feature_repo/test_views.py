"""The declarations themselves: what the issue of features asks for is declared, and weights make sense."""

from __future__ import annotations

import pytest

from feature_repo import views
from operators.keyed import STATE_FIELD
from schemas.events import EVENT_TYPES


def test_a_person() -> None:
    names = [f.name for f in views.user.fields]
    for name in (
        "session_id", "session_start", "session_length_s", "session_counts", "session_items", "session_categories",
        "events_5m", "events_1h", "events_24h", "events_7d", "recent_items", "recent_types", "recent_times",
        "recent_tastes",
        "category_affinity", "brand_affinity", "vector", "vector_space", "seen", "seen_0", "applied_offset",
        "read_offset", "profile_offset",
    ):  # fmt: skip
        assert name in names
    assert STATE_FIELD in views.user.fields


@pytest.mark.parametrize("view", [views.item, views.item_region])
def test_an_item_everywhere_and_in_a_region(view: views.View[object]) -> None:
    names = {f.name for f in view.fields}
    assert {f"{what}_{w}" for what in ("events", "ctr") for w in ("1h", "24h", "7d")} | {"popularity"} <= names


def test_weights_are_of_events_that_exist() -> None:
    assert set(views.TASTE) == set(EVENT_TYPES) - {"search"}
    assert set(views.INTEREST) < set(views.TASTE)
    assert all(weight > 0 for weight in views.INTEREST.values())
    assert set(EVENT_TYPES) >= views.MET
    assert [name for name, weight in views.TASTE.items() if weight < 0] == ["dislike"]
