"""What may be declared, what it is called, and whom it is about."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from operators.contract import Record, Signal
from operators.features import (
    Bounce,
    Count,
    Decay,
    Entity,
    EntityOperator,
    Histogram,
    LastEvents,
    LastK,
    Quantiles,
    Rate,
    Sequence,
    Session,
    SessionLength,
    Sliding,
    TimeSinceLast,
    TopK,
    Tumbling,
    Vector,
    brand,
    event,
    item,
    item_region,
    session,
    user,
    user_category,
)
from operators.time import DAY, HOUR, MINUTE, hours
from schemas.errors import FeatureError
from schemas.events import Interaction
from tests.operators import records
from tests.operators.features import oracles
from tests.operators.features.made import SENSELESS, click, declare, matrix, price, shown, signals_of, world
from tests.operators.features.test_entity_operator import by_feature, same
from tests.operators.signals import T0


@pytest.mark.parametrize(("family", "scope"), sorted(SENSELESS))
def test_what_makes_no_sense_is_refused_with_the_reason(family: str, scope: str) -> None:
    with pytest.raises(FeatureError, match=r"no weights that could decay|leave the window out|of a session"):
        declare(family, scope)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Count("Views", entity=user), "a feature's name"),
        (lambda: Count("n", entity="user"), "entity is 'user'"),
        (lambda: Count("n", entity=user, window=MINUTE - 1), "from 1 minute to 90 days"),
        (lambda: Count("n", entity=user, window=91 * DAY), "from 1 minute to 90 days"),
        (lambda: Count("n", entity=user, window=HOUR + 1), "whole number of its tiles"),
        (lambda: Count("n", entity=user, window=1.5), "a window of 1.5 ms"),
        (lambda: Count("n", entity=user, window=Decay(1000)), "a half-life of 1000 ms"),
        (lambda: Count("n", entity=user, window=Decay(HOUR + 1)), "multiple of 8"),
        (lambda: Count("n", entity=user, window=LastEvents(0)), "from 1 to 10,000"),
        (lambda: Count("n", entity=user, window=Session(2 * DAY)), "a session's gap"),
        (lambda: Count("n", entity=brand, window=Session(HOUR)), "a brand has many at once"),
        (lambda: Count("n", entity=session, window=Session(HOUR)), "a lifetime is the session"),
        (lambda: SessionLength("n", entity=session, window=HOUR), "is of a session"),
        (lambda: Rate("n", entity=item, top=click, bottom=price, prior=(1, 2)), "bottom needs flag"),
        (lambda: Rate("n", entity=item, top=click, bottom=shown, prior=(1, 0)), "bottom above 0"),
        (lambda: TopK("n", entity=user, of=price, k=3), "of needs text or texts"),
        (lambda: TopK("n", entity=user, of=event.item.brand, k=1000), "from 1 to 128"),
        (lambda: LastK("n", entity=user, of=(price, event.item.categories), k=3), "of needs text or int"),
        (lambda: LastK("n", entity=user, of=price, k=0), "from 1 to 10,000"),
        (lambda: Quantiles("n", entity=user, of=price, qs=(50,)), "shares from 0 to 1"),
        (lambda: Quantiles("n", entity=user, of=price, qs=(0.5, 0.5)), "two of its fields would be called n_p50"),
        (lambda: LastK("n", entity=user, of=(price, price), k=3), "two of its fields would be called n_price"),
        (lambda: LastK("n", entity=user, of=(price, event.item.price), k=3), "would be called n_price"),
        (lambda: Histogram("n", entity=user, of=price, buckets=("a",)), "edges for a number"),
        (lambda: Histogram("n", entity=user, of=price, buckets=(2.0, 1.0)), "edges rise"),
        (lambda: Histogram("n", entity=user, of=event.item.brand, buckets=("a", "a")), "different names"),
        (lambda: TimeSinceLast("n", entity=user, ladder=(HOUR, MINUTE)), "rising durations"),
        (lambda: Vector("n", entity=user, weights={}), "give it window=Decay"),
        (lambda: Vector("n", entity=user, window=Decay(DAY), weights={"clicks": 1.0}), "did you mean click?"),
        (lambda: Vector("n", entity=user, window=Decay(DAY), weights={"impression": 1.0}), "impression has a weight"),
        (lambda: Vector("n", entity=user, events=click, window=Decay(DAY), weights={"view": 1.0}), "lets none in"),
        (lambda: Entity("trio", (event.user_id, event.item_id, event.session_id)), "one, or two for a pair"),
        (lambda: Entity("p", (event.item.price,)), "a key of p needs text or texts"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_an_error_on_its_line(wrong: Any, said: str) -> None:
    with pytest.raises(FeatureError) as raised:
        wrong()
    assert said in str(raised.value)
    assert raised.value.where == f"{__file__}:{wrong.__code__.co_firstlineno}"


def test_fields_are_named_by_the_feature() -> None:
    names = {
        Count("views", entity=user): ["views"],
        TopK("top", entity=user, of=event.item.brand, k=3): ["top", "top_shares"],
        Quantiles("q", entity=user, of=price, qs=(0.5, 0.999)): ["q_p50", "q_p99_9"],
        TimeSinceLast("ago", entity=user): ["ago", "ago_at"],
        LastK("lately", entity=user, of=(event.item_id, price), k=3): ["lately_item_id", "lately_price"],
        Sequence("seq", entity=user, k=3): ["seq_items", "seq_types", "seq_times"],
    }
    assert {f: [field.name for field in f.fields] for f in names} == names


def test_a_list_of_conditions_is_of_bools() -> None:
    feature = LastK("clicks", entity=user, of=click, k=3)
    state = feature.new()
    for signal in signals_of(
        [Record(Interaction(f"e{n}", t, "u1", T0 + n, "i1")) for n, t in enumerate(["view", "click"])]
    ):
        feature.update(state, signal, world())
    assert [field.dtype for field in feature.fields] == ["bool[]"]
    assert feature.values(state, T0 + 1) == ([True, False],)


def test_a_sequence_is_of_items_unless_its_filter_asks_for_more() -> None:
    search = event.event_type == "search"
    log = [Interaction("e1", "view", "u1", T0, "i1"), Interaction("e2", "search", "u1", T0 + 1, None)]
    found = {}
    for feature in (Sequence("of_items", entity=user, k=3), Sequence("with_searches", entity=user, events=search, k=3)):
        state = feature.new()
        for signal in signals_of([Record(did) for did in log]):
            feature.update(state, signal, world())
        found[feature.name] = feature.values(state, T0 + 1)[:2]
    assert found == {"of_items": (["i1"], ["view"]), "with_searches": ([""], ["search"])}


def test_a_window_is_a_duration_or_a_scope() -> None:
    assert Count("n", entity=user, window=hours(1)).scope == Sliding(hours(1))
    assert Count("n", entity=user, window=Tumbling(hours(1))).scope == Tumbling(hours(1))


def test_windows_begin_and_end() -> None:
    """
    day          0    1    2
    event          x
    this day     ├────┤
    day before        ├────┤
    """
    this = Count("this", entity=user, window=Tumbling(DAY))
    before = Count("before", entity=user, window=Tumbling(DAY, previous=True))
    operator = EntityOperator(user, [this, before], world())
    state = operator.new()
    (signal,) = signals_of([Record(Interaction("e", "click", "u1", T0 + HOUR, "i1"))])
    operator.on_event("", state, Record(signal))
    assert [operator.row("u1", "", state, T0 + at).values for at in (HOUR, DAY - 1, DAY, 2 * DAY - 1, 2 * DAY)] == [
        (1, 0), (1, 0), (0, 1), (0, 1), (0, 0),
    ]  # fmt: skip
    assert operator.due("", state, T0 + HOUR) == T0 + DAY
    assert operator.due("", state, T0 + DAY) == T0 + 2 * DAY
    assert operator.due("", state, T0 + 2 * DAY) is None


def test_time_since_the_last_climbs_its_ladder() -> None:
    feature = TimeSinceLast("ago", entity=user, ladder=(MINUTE, HOUR))
    state = feature.new()
    assert feature.values(state, T0) == (-1, 0)
    (signal,) = signals_of([Record(Interaction("e", "click", "u1", T0, "i1"))])
    feature.update(state, signal, world())
    assert [feature.values(state, T0 + at)[0] for at in (0, MINUTE - 1, MINUTE, HOUR, DAY)] == [0, 0, 60, 3600, 3600]
    assert [feature.due(state, T0 + at) for at in (0, MINUTE, HOUR)] == [T0 + MINUTE, T0 + HOUR, None]


# -- entities --------------------------------------------------------------------------------------


def test_feast_joins_by_the_fields_of_the_keys() -> None:
    assert user.joins == ("user",)
    assert user_category.joins == ("user", "category")
    assert item_region.joins == ("item", "region")
    assert Entity("country", (event.user.country,)).joins == ("country",)


def test_entities_of_values_that_are_used_up_have_an_end() -> None:
    assert session.life == Entity("visit", (event.user_id, event.request_id)).life == 2 * DAY
    assert user.life is item_region.life is None
    assert Entity("order", (event.user_id,), life=30 * DAY).life == 30 * DAY
    with pytest.raises(FeatureError, match=r"test_declarations\.py:\d+: order: a life of 5 ms"):
        Entity("order", (event.user_id,), life=5)


def test_a_session_is_over_when_its_life_is() -> None:
    operator = EntityOperator(session, [Count("depth", entity=session), Count("week", entity=session, window=7 * DAY)],
                              world())  # fmt: skip
    state = operator.new()

    def visit(at: int) -> None:
        operator.on_event("", state, Record(Signal("view", at, session_id="s")))

    life = session.life or 0
    visit(T0)
    visit(T0 + life - 1)
    end = T0 + 2 * life - 1
    assert [operator.row("s", "", state, at).values for at in (end - 1, end)] == [(2, 2), (0, 0)]
    assert operator.due("", state, T0 + life) == end
    assert operator.due("", state, end) is None
    visit(end)
    assert operator.row("s", "", state, end).values == (1, 1)


def test_an_entitys_view_is_called_after_it() -> None:
    assert user_category.view == "user_category_features" == EntityOperator(user_category, [], world()).view.name


def test_a_list_valued_key_is_one_entity_an_element() -> None:
    (clicked,) = signals_of([Record(Interaction("e", "click", "u1", T0, "i3", properties={"region": "DE"}))])
    twice = clicked._replace(categories=["a", "b", "a"])
    assert user_category.keys_of(twice) == [("u1", "a"), ("u1", "b")]
    assert item_region.keys_of(twice) == [("i3", "DE")]
    assert Entity("mix", (event.item.categories, event.properties.region)).keys_of(twice) == [("a", "DE"), ("b", "DE")]
    assert session.keys_of(twice) == []
    assert user_category.keys_of(twice._replace(categories=())) == []


@settings(max_examples=15)
@given(records.logs(most=25))
def test_a_pair_counts_the_events_that_name_both(log: list[Record]) -> None:
    features = matrix(user_category, ("lifetime", "24h", "decay_1h", "session", "last_5"))
    operator, signals = EntityOperator(user_category, features, world()), signals_of(log)
    states: dict[str, Any] = {}
    for signal in signals:
        for part in operator.parts("u1", Record(signal)):
            states.setdefault(part, operator.new(part))
            operator.on_event("", states[part], Record(signal))
    for category in ("c0", "c1", "c2", "c3", "c4"):
        mine = [s for s in signals if category in s.categories]
        assert (category in states) == bool(mine)
        if mine:
            at = operator.watermark(states[category]) + HOUR
            assert at == max(s.timestamp for s in mine) + HOUR
            row = operator.row("u1", category, states[category], at)
            assert (row.view, row.key) == ("user_category_features", ("u1", category))
            found = by_feature(operator, row)
            assert {f.name for f in features if not same(found[f.name], oracles.values(f, mine, at))} == set()


def test_a_session_by_its_id_is_a_lifetime() -> None:
    features = [
        SessionLength("length", entity=session),
        Bounce("bounce", entity=session),
        Count("buys", entity=session, events=click),
    ]
    operator = EntityOperator(session, features, world())
    state = operator.new()
    for n, signal in enumerate(
        signals_of([Record(Interaction(f"e{n}", "click", "u1", T0 + n * DAY, "i1", "s1")) for n in range(2)])
    ):
        assert session.keys_of(signal) == [("s1",)]
        operator.on_event("", state, Record(signal))
        assert operator.row("s1", "", state, signal.timestamp).values == ((0.0, True, 1), (86400.0, False, 2))[n]
