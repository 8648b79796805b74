"""Declared features in the operator whose keys they share: which records each part gets, and what is kept."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from feature_repo.builders import item_operator, user_operator
from feature_repo.repository import Repository
from operators.attribution import Attribution
from operators.contract import Record, Signal, owner
from operators.features import EVERYTHING, Count, Entity, Feature, WithFeatures, event, item, user, user_category
from operators.features.declared import part_of
from operators.stepping import apply
from operators.time import END
from schemas.errors import EventError
from schemas.events import Impression, Interaction, Item, User
from tests.operators import records
from tests.operators.features.made import world
from tests.operators.records import LATENESS, judge
from tests.operators.signals import T0

category = Entity("category", (event.item.categories,))


def declared(*entities: Entity) -> Repository:
    features: dict[Entity, tuple[Feature, ...]] = {
        entity: (Count("n", entity=entity, events=EVERYTHING),) for entity in entities
    }
    return Repository(features)


def taken(operator: WithFeatures, key: str, log: list[Record]) -> tuple[dict[str, Any], list[type[EventError] | None]]:
    """The key's parts at the end, each saved and restored as it goes, and what each record was refused for."""
    states: dict[str, Any] = {}
    errors: list[type[EventError] | None] = []

    def one(part: str, record: Record) -> list[Signal]:
        state = states.get(part)
        state = operator.new(part) if state is None else operator.decode(part, operator.encode(part, state))
        signals = operator.on_event(part, state, record)
        states[part] = state
        return signals

    for record in log:
        try:
            apply(operator, key, record, one, lambda: states, states.pop)
            errors.append(None)
        except EventError as error:
            errors.append(type(error))
    return states, errors


@given(records.logs())
def test_what_the_gate_refuses_no_feature_hears_of(log: list[Record]) -> None:
    operator = user_operator(world(), LATENESS, declared(user, user_category))
    states, errors = taken(operator, "u1", log)
    judged = judge(log)
    assert errors == [j.refused for j in judged]
    events = [j.record.event for j in judged if not j.refused and not isinstance(j.record.event, User)]
    counted = sum(len(e.items) if isinstance(e, Impression) else 1 for e in events)
    own = part_of("user")
    assert (own in states) == bool(counted)
    if counted:
        row = operator.row("u1", own, states[own], operator.watermark(states[own]))
        assert row == ("user_features", ("u1",), (counted,))


@given(records.logs())
def test_each_pair_has_a_part(log: list[Record]) -> None:
    operator = user_operator(world(), LATENESS, declared(user_category))
    states, _ = taken(operator, "u1", log)
    items = [
        i
        for judged in judge(log)
        if not judged.refused and not isinstance(judged.record.event, User)
        for event in [judged.record.event]
        for i in (event.items if isinstance(event, Impression) else [event.item_id or ""])
    ]
    expected: dict[str, int] = {}
    for item_id in items:
        entry = world().item(item_id)
        for name in dict.fromkeys(entry.categories if entry else ()):
            expected[name] = expected.get(name, 0) + 1
    found = {}
    for part, state in states.items():
        if owner(part):
            row = operator.row("u1", part, state, state.watermark)
            assert (row.view, row.key[0]) == ("user_category_features", "u1")
            found[row.key[1]] = row.values[0]
    assert found == expected


def test_listeners_are_the_keys_that_are_not_the_users() -> None:
    operator = user_operator(world(), LATENESS, declared(user, user_category, item, category))
    about = Signal("click", T0, "i1", categories=["a", "b", "a", "i1"], user_id="u1")
    assert list(operator.listeners(about)) == ["i1", "a", "b"]
    assert list(operator.listeners(Signal("search", T0, user_id="u1"))) == []


def test_a_key_of_two_entities_keeps_them_apart() -> None:
    """An item may be called as a category is."""
    operator = item_operator(world(), declared(item, category))
    about_category = Signal("click", T0, "i1", "DE", categories=["same"])
    about_item = Signal("click", T0, "same", categories=["other"])
    states, _ = taken(operator, "same", [Record(about_category), Record(about_item), Record(about_item)])
    rows = {(row := operator.row("same", part, state, T0)).view: row.values[0] for part, state in states.items()}
    assert rows.pop("item_activity")[1] == 2
    assert rows == {"item_features": 2, "category_features": 1}


def test_a_catalogue_entry_is_the_items_alone() -> None:
    operator = item_operator(world(), declared(item, category))
    assert operator.parts("i1", Record(Item("i1", categories=["a"]))) == ("",)


def test_a_region_is_never_taken_for_a_feature() -> None:
    operator = user_operator(world(), LATENESS, declared(user))
    named = Interaction("e1", "click", "u1", T0, "i1", properties={"region": "\0user\0"})
    (signal,) = operator.on_event("", operator.new(""), Record(named))
    assert not signal.region.startswith("\0")


def test_an_entity_may_be_called_as_anything_here_is() -> None:
    named = Entity("attribution", (event.user_id,))
    operator = user_operator(world(), LATENESS, declared(named), Attribution())
    log = [Record(Impression("r1", "u1", T0, ["i1"])), Record(Interaction("e1", "click", "u1", T0 + 1, "i1"))]
    states, _ = taken(operator, "u1", log)
    rows = [operator.row("u1", part, state, T0 + 1) for part, state in states.items()]
    assert ("attribution_features", ("u1",), (2,)) in rows
    found = [example for part, state in states.items() for example in operator.on_timer(part, state, END)]
    assert [example.labels for example in found] == [{"click": 1}]


def test_what_is_no_longer_declared_is_not_kept() -> None:
    before, after = declared(user, user_category), declared(user)
    operator = user_operator(world(), LATENESS, after)
    states, _ = taken(
        user_operator(world(), LATENESS, before), "u1", [Record(Interaction("e1", "click", "u1", T0, "i3"))]
    )
    assert len(states) > 2
    assert {part for part in states if owner(part) in operator.owners} == {"", part_of("user")}
