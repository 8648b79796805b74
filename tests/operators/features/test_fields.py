"""Fields and expressions: those of the Avro schemas and no other, errors that lead to the line, and what they read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import schemas
from operators.contract import Record, Signal
from operators.features import Count, Expression, Sum, event, user
from operators.features.expressions import TYPES_OF_EVENTS
from schemas.errors import FeatureError
from schemas.events import Impression, Interaction, User
from tests.operators import records
from tests.operators.features.made import signals_of
from tests.operators.signals import T0

AVRO = Path(schemas.__file__).parent / "avro"
KIND = {"string": "text", "long": "int", "double": "number"}


def fields_of(topic: str) -> dict[str, Any]:
    """Name → type of the Avro schema, without null."""
    found = json.loads((AVRO / f"{topic}.avsc").read_text())["fields"]
    return {f["name"]: f["type"][1] if isinstance(f["type"], list) else f["type"] for f in found}


def signal(**more: Any) -> Signal:
    return Signal(**({"event_type": "click", "timestamp": T0} | more))


# -- the fields ------------------------------------------------------------------------------------


def test_the_fields_of_an_event_are_those_of_its_schema() -> None:
    """All but the id, which is of no use to a feature: no two events share one."""
    declared = fields_of("interactions")
    assert set(dir(event)) - {"item", "user"} == set(declared) - {"event_id"}
    for name, kind in declared.items():
        if name in KIND and name != "event_id":
            assert getattr(event, name).kind == KIND[kind], name


def test_the_fields_of_an_item_are_those_of_its_schema() -> None:
    declared = fields_of("items")
    assert set(dir(event.item)) <= set(declared)
    assert {"categories", "brand", "price"} <= set(dir(event.item))
    assert (event.item.brand.kind, event.item.price.kind, event.item.categories.kind) == ("text", "number", "texts")


def test_what_an_impression_says_is_among_the_properties() -> None:
    logged = {
        "propensities",
        "features",
        "applied_offset",
        "own_offsets",
        "explored",
        "contexts",
        "context_id",
        "images",
        "segment",
    }  # for whoever learns from it, not for features
    said = set(fields_of("impressions")) - {"request_id", "user_id", "timestamp", "items"} - logged
    assert said <= set(dir(event.properties))


def test_fields_of_ones_own_are_declared() -> None:
    shop = event.with_fields(properties={"coupon": str}, item={"year": int, "actors": list}, user={"age": int})
    found = signal(properties={"coupon": "X", "price": 2}, item_attributes={"year": 1995, "actors": ["a"]},
                   user_attributes={"age": 30, "country": "DE"})  # fmt: skip
    assert shop.properties.coupon.read(found) == "X"
    assert shop.properties.price.read(found) == 2
    assert (shop.item.attributes.year.read(found), shop.item.attributes.actors.read(found)) == (1995, ["a"])
    assert (shop.user.age.read(found), shop.user.country.read(found)) == (30, "DE")
    with pytest.raises(FeatureError, match="with_fields"):
        _ = event.properties.coupon
    with pytest.raises(FeatureError, match="is of type"):
        event.with_fields(properties={"coupon": dict})


@pytest.mark.parametrize("value", [True, 7, 1.5, ["x"], None, ""])
def test_a_property_of_another_type_is_a_missing_one(value: Any) -> None:
    coupon = event.with_fields(properties={"coupon": str}).properties.coupon
    assert coupon.read(signal(properties={"coupon": value})) is None


def test_an_empty_text_is_a_missing_one() -> None:
    nothing = signal()
    for field in (event.item_id, event.session_id, event.item.brand, event.item.categories, event.item.price):
        assert field.read(nothing) is None


# -- errors ----------------------------------------------------------------------------------------


def test_an_unknown_field_is_named_with_the_nearest_and_the_line() -> None:
    def wrong() -> Any:
        return event.properties.prise

    with pytest.raises(FeatureError) as raised:
        wrong()
    assert raised.value.where == f"{__file__}:{wrong.__code__.co_firstlineno + 1}"
    assert raised.value.detail == "event.properties has no field 'prise'; did you mean price?" + (
        " (with_fields declares further ones)"
    )
    assert str(raised.value) == f"{raised.value.where}: {raised.value.detail}"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: event.evnt_type, "event has no field 'evnt_type'; did you mean event_type?"),
        (lambda: event.item.category, "event.item has no field 'category'; did you mean categories?"),
        (lambda: event.user.contry, "did you mean country?"),
        (lambda: event.event_type == "clik", "there is no event_type 'clik'; did you mean click?"),
        (lambda: event.event_type.isin(["view", "by"]), "there is no event_type 'by'"),
        (lambda: event.event_type.map({"clicks": 1}), "did you mean click?"),
        (lambda: event.event_type == 3, "event.event_type is text and never compares with 3"),
        (lambda: event.item.price == "9", "event.item.price is number and never compares with '9'"),
        (lambda: event.item.brand < "b", "event.item.brand is text, which has no <"),
        (lambda: event.item.categories == "toys", "ask whether it .contains"),
        (lambda: event.item.brand.contains("b"), "holds one value"),
        (lambda: event.item.price & event.item.brand, "& joins conditions"),
        (lambda: ~event.item.price, "~ joins conditions"),
        (lambda: event.item.brand * 2, "* needs numbers"),
        (lambda: event.item.price * "2", "* needs numbers"),
        (lambda: event.item.price.fill("none"), "never compares with 'none'"),
        (lambda: (event.item.price > 1) and (event.item.price < 2), "join filters with &"),
        (lambda: Count("n", entity=user, events=event.item.price), "events needs flag, and event.item.price is number"),
        (lambda: Count("n", entity=user, events=True), "events is True, where an expression"),
        (lambda: Sum("n", entity=user, of=event.item.brand), "n: of needs int or number, and event.item.brand is text"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_an_error_where_it_is_written(wrong: Any, said: str) -> None:
    with pytest.raises(FeatureError) as raised:
        wrong()
    assert said in str(raised.value)
    assert str(raised.value).startswith(f"{__file__}:{wrong.__code__.co_firstlineno}: ")


def test_tools_that_look_for_dunders_get_their_answer() -> None:
    assert not hasattr(event, "__wrapped__")


# -- values ----------------------------------------------------------------------------------------

paid = signal(properties={"price": 10.0, "quantity": 3, "region": "DE"}, brand="b", categories=["toys"], price=4.0)
nothing = signal()


@pytest.mark.parametrize(
    ("expression", "of_paid", "of_nothing"),
    [
        (event.event_type == "click", True, True),
        (event.event_type != "click", False, False),
        (event.properties.price == 10, True, False),
        (event.properties.price != 10, False, False),
        (event.properties.price > event.item.price, True, False),
        (event.properties.price <= 9.5, False, False),
        (~(event.properties.price <= 9.5), True, True),
        (event.item.brand.isin(["a", "b"]), True, False),
        (event.item.categories.contains("toys"), True, False),
        (event.item.price.exists(), True, False),
        ((event.item.brand == "b") & (event.properties.region == "DE"), True, False),
        ((event.item.brand == "a") | (event.event_type == "click"), True, True),
        (event.properties.price * event.properties.quantity, 30.0, None),
        (event.properties.price - 1, 9.0, None),
        (event.properties.price + event.item.price.fill(1), 14.0, None),
        (event.properties.price / event.properties.quantity, 10 / 3, None),
        (event.properties.price / (event.item.price - 4), None, None),
        (event.properties.quantity.fill(1), 3, 1),
        (event.properties.price * 1e308, None, None),
        (event.event_type.map({"click": 2}), 2.0, 2.0),
        (event.properties.region.map({"FR": 2}), None, None),
    ],
)  # fmt: skip
def test_values(expression: Expression, of_paid: Any, of_nothing: Any) -> None:
    assert expression.read(paid) == of_paid
    assert expression.read(nothing) == of_nothing


def test_an_expression_says_which_fields_it_reads_and_what_it_means() -> None:
    found = (event.properties.price * event.properties.quantity.fill(1) > 50) & (event.item.brand == "b")
    assert found.fields == ("properties.price", "properties.quantity", "item.brand")
    assert repr(found) == (
        "(((event.properties.price * event.properties.quantity.fill(1)) > 50) & (event.item.brand == 'b'))"
    )


click = event.event_type == "click"
FILTERS = [
    click, ~click, click & ~click, click | ~click, event.event_type.isin(["view", "like"]), event.event_type != "view",
    click & (event.item.brand == "b0"), click | (event.item.brand == "b0"), ~(click & (event.item.price > 1)),
]  # fmt: skip


@given(records.logs(most=20))
def test_what_a_type_decides_is_so_for_each_event_of_it(log: list[Record]) -> None:
    for found in signals_of(log):
        for expression in FILTERS:
            assert expression.decide(found.event_type) in (None, bool(expression.read(found)))
    assert all(FILTERS[n].decide(t) is not None for n in range(6) for t in TYPES_OF_EVENTS)


# -- what the gate fills in ------------------------------------------------------------------------


def test_an_event_is_enriched_with_its_item_and_its_user() -> None:
    log = [
        Record(User("u1", {"country": "DE", "age": 3})),
        Record(Interaction("e1", "click", "u1", T0, "i3", "s1", "r1", {"region": "FR", "price": 2}), "t", 4, 7),
        Record(Interaction("e2", "search", "u1", T0, properties={"query": "x"})),
        Record(Impression("r2", "u1", T0, ["i3", "i0"], "home", "FR", variant="b")),
    ]
    clicked, searched, first, second = signals_of(log)
    assert (clicked.item_id, clicked.session_id, clicked.request_id, clicked.user_id) == ("i3", "s1", "r1", "u1")
    assert (clicked.categories, clicked.brand, clicked.price) == (["c1", "c4"], "b1", 1.5)
    assert (clicked.partition, clicked.offset, clicked.region) == (4, 7, "FR")
    assert event.user.country.read(clicked) == "DE"
    assert event.properties.query.read(searched) == "x"
    assert event.item.brand.read(searched) is None
    assert [(s.event_type, s.item_id, event.properties.position.read(s)) for s in (first, second)] == [
        ("impression", "i3", 0), ("impression", "i0", 1),
    ]  # fmt: skip
    assert (event.properties.variant.read(first), event.properties.surface.read(first)) == ("b", "home")
    assert event.item.categories.read(second) is None
