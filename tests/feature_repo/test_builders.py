"""Operators that are built from views and declared features, and the views that servers keep as columns."""

from __future__ import annotations

from feature_repo import builders, views
from feature_repo.builders import served
from feature_repo.crosses import Affinity, ItemFeature, Weekday
from feature_repo.repository import EMPTY, Repository
from feature_repo.views import SERVED
from operators.features import Count, item, user, user_category
from tests.operators.signals import Anywhere


def test_operators_make_rows_of_the_declared_views() -> None:
    user = builders.user_operator(Anywhere())
    row = user.row("u1", "", user.new(), 0)
    assert (row.view, len(row.values)) == ("user_activity", len(views.user.fields))
    item = builders.item_operator(Anywhere())
    for part, view in (("", views.item), ("DE", views.item_region)):
        row = item.row("i1", part, item.new(part), 0)
        assert (row.view, len(row.key), len(row.values)) == (view.name, len(view.entities), len(view.fields))


def test_served_views_name_the_fields_that_crosses_read_of_items() -> None:
    people, met = Count("people", entity=item), Count("met", entity=user_category)
    features = {user: (Count("views", entity=user),), item: (people,), user_category: (met,)}
    crosses = (ItemFeature("a", of=people), Affinity("b", of=met), Weekday("c"))
    assert served(EMPTY) == served(Repository(features)) == dict.fromkeys(SERVED, ())
    assert served(Repository(features, crosses)) == {**dict.fromkeys(SERVED, ()), "item_features": ((0, "people"),)}
