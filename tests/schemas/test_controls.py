"""What a control has to say, and that whoever sends one that cannot be is told which field and what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, controls
from schemas.errors import EventError, InvalidEvent
from schemas.events import EVENT_TYPES, Interaction, check, from_fields
from schemas.json_reader import loads
from schemas.topics import INTERACTIONS
from tests.schemas import strategies

T0 = 1_767_225_600_000
VALUES: dict[str | None, tuple[str | None, dict[str, Any]]] = {
    controls.ITEM: ("i9", {}),
    controls.CATEGORY: (None, {"category": "Film, noir"}),
    controls.BRAND: (None, {"brand": "Acme"}),
    controls.OF: (None, {"of": "c0"}),
    None: (None, {}),
}


def feedback(control: Any, item_id: str | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "event_id": "c1", "event_type": "feedback", "user_id": "u1", "timestamp": T0, "item_id": item_id,
        "properties": {"control": control, **properties},
    }  # fmt: skip


def sound(control: str) -> dict[str, Any]:
    item_id, properties = VALUES[controls.TAKES[control]]
    return feedback(control, item_id, **properties)


def refused(fields: dict[str, Any]) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as raised:
        from_fields(Interaction, fields)
    return raised.value


@pytest.mark.parametrize("control", controls.TAKES)
def test_each_control_with_what_it_takes(control: str) -> None:
    event = from_fields(Interaction, sound(control))
    item_id, properties = VALUES[controls.TAKES[control]]
    assert controls.target(event.item_id, event.properties) == (item_id or next(iter(properties.values()), ""))
    assert codec.decode(INTERACTIONS, codec.encode(event)) == event
    assert from_fields(Interaction, sound(control) | {"properties": {**event.properties, "surface": "home"}})


@pytest.mark.parametrize("control", [name for name, takes in controls.TAKES.items() if takes])
def test_what_a_control_takes_is_required(control: str) -> None:
    error = refused(feedback(control))
    assert (error.field, error.detail) == (controls.TAKES[control], f"is required where control is {control}")


@pytest.mark.parametrize("control", controls.TAKES)
@pytest.mark.parametrize("path", [path for path in VALUES if path])
def test_what_another_control_takes_is_to_be_left_out(control: str, path: str) -> None:
    if path == controls.TAKES[control]:
        return
    item_id, properties = VALUES[path]
    fields = sound(control)
    fields["properties"] |= properties
    fields["item_id"] = fields["item_id"] or item_id
    error = refused(fields)
    assert error.field == path
    assert error.detail.startswith(f"must be left out where control is {control}, which takes ")


def test_a_feedback_without_a_control_names_them_all() -> None:
    error = refused(feedback("hide") | {"properties": {}})
    assert error.field == "properties.control"
    assert all(name in error.detail for name in controls.TAKES)


@pytest.mark.parametrize(
    ("given", "meant"), [("hidden", "hide"), ("less-like", "less_like"), ("not_categories", "not_category")]
)
def test_a_control_that_there_is_not_is_refused_with_the_one_meant(given: str, meant: str) -> None:
    error = refused(feedback(given, "i1"))
    assert error.field == "properties.control"
    assert error.detail.endswith(f"did you mean {meant}?")


@pytest.mark.parametrize("wrong", [5, True, "", "x" * 257, "a\nb"])
@pytest.mark.parametrize("control", ["not_category", "not_brand", "more_category", "more_brand", "interest", "undo"])
def test_a_target_is_a_name(control: str, wrong: Any) -> None:
    path = str(controls.TAKES[control])
    assert refused(feedback(control, **{path.removeprefix(controls.PROPERTIES): wrong})).field == path


def test_an_undo_is_of_another_event() -> None:
    error = refused(feedback("undo", of="c1"))
    assert error.field == "properties.of"
    assert "the control to undo" in error.detail
    assert refused(feedback("undo", of="..")).field == "properties.of"


def test_a_control_is_no_behaviour() -> None:
    assert controls.FEEDBACK not in EVENT_TYPES
    assert from_fields(Interaction, feedback("hide", "i1") | {"event_type": "click"}), "an app's own property"


words = st.sampled_from([*controls.TAKES, "hid", "", None, 3])
ours = st.dictionaries(st.sampled_from(["category", "brand", "of", "x"]), strategies.scalars, max_size=3)


@given(words, strategies.optional_ids, ours)
def test_http_files_and_the_job_say_the_same(control: Any, item_id: str | None, properties: dict[str, Any]) -> None:
    fields = feedback(control, item_id, **properties)
    if control is None:
        del fields["properties"]["control"]

    def verdict(read: Any) -> str:
        try:
            event = read()
        except EventError as error:
            return f"{error.field}: {error.detail}"
        check(event)
        return "taken"

    def in_kafka() -> Any:
        made = Interaction(**fields)
        return codec.decode(INTERACTIONS, codec.encode(made))

    assert verdict(lambda: from_fields(Interaction, fields)) == verdict(in_kafka)
    assert verdict(lambda: from_fields(Interaction, fields)) == verdict(lambda: loads(INTERACTIONS, json.dumps(fields)))
