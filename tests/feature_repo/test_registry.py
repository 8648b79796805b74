"""Modules of definitions as views and operators."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from feature_repo import features as feast_objects
from feature_repo import registry
from feature_repo.builders import item_operator, user_operator
from feature_repo.crosses import Affinity, ItemFeature, UserFeature, Weekday
from feature_repo.registry import collect
from feature_repo.repository import Repository
from operators.contract import Record
from operators.features import (
    Count,
    Entity,
    LastK,
    Mean,
    Rate,
    TimeSinceLast,
    TopK,
    brand,
    event,
    item,
    user,
    user_category,
)
from operators.time import days, hours
from schemas.errors import FeatureError
from schemas.events import Interaction, User
from tests.operators.records import World
from tests.operators.signals import T0
from training.replay import Replay

view = event.event_type == "view"
click = event.event_type == "click"
impression = event.event_type == "impression"
purchase = event.event_type == "purchase"


def module(**values: Any) -> ModuleType:
    found = ModuleType("definitions")
    vars(found).update(values)
    return found


def made() -> Repository:
    country = Entity("country", (event.user.country,))
    return collect(
        module(
            user_views_1h=Count("user_views_1h", entity=user, events=view, window=hours(1)),
            basket_price_7d=Mean(
                "basket_price_7d", entity=user, events=purchase, of=event.properties.price, window=days(7)
            ),
            item_ctr_24h=Rate(
                "item_ctr_24h", entity=item, top=click, bottom=impression, window=hours(24), prior=(1, 20)
            ),
            counts=[Count(f"clicks_{n}d", entity=user_category, events=click, window=days(n)) for n in (1, 7)],
            text="not a feature",
        ),
        module(
            by_country={"brands": TopK("brands", entity=country, of=event.item.brand, k=3)},
            grown_up=Count("grown_up", entity=brand, events=event.with_fields(user={"age": int}).user.age > 17),
        ),
    )


def test_a_view_an_entity_with_feasts_types_and_defaults() -> None:
    views = made().views
    assert {name: v.entities for name, v in views.items()} == {
        "user_features": ("user",),
        "item_features": ("item",),
        "user_category_features": ("user", "category"),
        "country_features": ("country",),
        "brand_features": ("brand",),
    }
    assert [(f.name, f.dtype, f.default) for f in views["user_features"].fields] == [
        ("user_views_1h", "int64", 0), ("basket_price_7d", "float64", 0.0),
    ]  # fmt: skip
    assert [(f.name, f.default) for f in views["item_features"].fields] == [("item_ctr_24h", 1 / 20)]
    assert [f.name for f in views["user_category_features"].fields] == ["clicks_1d", "clicks_7d"]
    assert all(f.dtype in feast_objects.TYPES for v in views.values() for f in v.fields)
    assert user.view in views


def test_a_view_is_one_that_feast_takes() -> None:
    found = feast_objects.feature_view(made().views["user_features"])
    assert [f.name for f in found.features] == ["user_views_1h", "basket_price_7d"]


def test_only_the_features_of_some_states() -> None:
    repository = made()
    wanted = {feature.state_key for feature in repository.features[user][:1]}
    assert {e.name: [f.name for f in found] for e, found in repository.subset(wanted).features.items()} == {
        "user": ["user_views_1h"]
    }


def test_events_reach_everyone_they_are_about() -> None:
    repository = made()
    replay = Replay(user_operator(World(), declared=repository), item_operator(World(), repository))
    replay.feed(Record(User("u1", {"country": "DE", "age": 20, "shoe": 43})))
    for n in range(3):
        replay.feed(Record(Interaction(f"e{n}", "click", "u1", T0 + n, "i3")))
    found = {
        (row.view, *row.key): row.values
        for operator, states in ((replay.user_operator, replay.users), (replay.item_operator, replay.items))
        for (key, part), state in states.items()
        if (row := operator.row(key, part, state, T0 + 2)).view.endswith("_features")
    }
    assert found == {
        ("user_features", "u1"): found["user_features", "u1"],
        ("item_features", "i3"): ((0 + 3 + 1) / 20,),
        ("user_category_features", "u1", "c1"): (3, 3),
        ("user_category_features", "u1", "c4"): (3, 3),
        ("country_features", "DE"): (["b1"], [1.0]),
        ("brand_features", "b1"): (3,),
    }
    assert replay.users["u1", ""].profile == {"age": 20, "country": "DE", "shoe": 43}


def test_a_feature_that_several_modules_name_is_one() -> None:
    feature = Count("n", entity=user)
    assert collect(module(a=feature, b=feature), module(c=feature)).features[user] == (feature,)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (Count("n", entity=user), Count("n", entity=user), "n of user is declared at .* too"),
        (TimeSinceLast("n", entity=user), Count("n_at", entity=user), "n_at has a field n_at, and so has n "),
        (Count("n", entity=user), Count("n", entity=Entity("user", (event.item_id,))), "two entities user"),
    ],
)
def test_clashes_are_errors_on_their_line(a: Any, b: Any, said: str) -> None:
    with pytest.raises(FeatureError, match=said) as raised:
        collect(module(a=a, b=b))
    assert raised.value.where == b.where
    assert __file__ in b.where


def test_one_name_may_be_two_entities() -> None:
    features = [LastK("lately", entity=e, of=event.event_type, k=3) for e in (user, item)]
    assert len(collect(module(features=features)).views) == 2


def test_only_a_feature_of_the_same_entity_can_be_replaced() -> None:
    of_items = Count("of_items", entity=item)
    with pytest.raises(FeatureError, match=r"test_registry\.py:\d+.*replaces.*no feature of user"):
        Count("of_users", entity=user, replaces=of_items)


# -- crosses ---------------------------------------------------------------------------------------


def with_crosses() -> Repository:
    views, other = Count("views", entity=user), Count("other", entity=user)
    people, met = Count("people", entity=item), Count("met", entity=user_category)
    return collect(
        module(views=views, other=other, second=UserFeature("second", of=views)),
        module(people=people, met=met, crosses=[ItemFeature("a", of=people), Affinity("b", of=met), Weekday("c")]),
    )


def test_crosses_are_in_the_order_of_declaration() -> None:
    found = with_crosses()
    assert [cross.name for cross in found.crosses] == ["second", "a", "b", "c"]
    assert {e.name: [f.name for f in features] for e, features in found.features.items()} == {
        "user": ["views", "other"], "item": ["people"], "user_category": ["met"],
    }  # fmt: skip
    assert made().crosses == ()


def test_for_crosses_keeps_what_they_read() -> None:
    found = with_crosses().for_crosses()
    assert [f.name for features in found.features.values() for f in features] == ["views", "people", "met"]
    assert len(found.crosses) == 4
    assert made().for_crosses().features == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"a": Weekday("day"), "b": Weekday("day")}, "there is an input day already"),
        ({"a": Weekday("similarity"), "b": Weekday("similarity")}, "an input similarity already .*inputs.py"),
        (dict.fromkeys("ab", UserFeature("n", of=Count("hidden", entity=user))), "n reads hidden, which no module"),
    ],
)
def test_crosses_that_clash_or_read_what_is_not_declared(values: dict[str, Any], said: str) -> None:
    with pytest.raises(FeatureError, match=said) as raised:
        collect(module(**values))
    assert raised.value.where in {cross.where for cross in values.values()}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("broken = Count(", "SyntaxError"),
        ("broken = Count('broken', entity=user, when=1)", "TypeError"),
        ("from operators.features import Nothing", "ImportError"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_an_error_with_its_line(
    line: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / f"wrong_{says.lower()}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mine.py").write_text(f"from operators.features import Count, user\n\n{line}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(FeatureError, match=f"mine.py:3.*{says}|{says}.*mine.py:3"):
        registry.load(package.name)
