"""One message, one verdict: what is read of a message, and what is refused."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import fastavro
import pytest

from schemas import codec, messages
from schemas.codec import Codec
from schemas.errors import InvalidEvent, Undecodable, UnknownSchema
from schemas.events import Event, Interaction, Item, User

T0 = 1_767_225_600_000
CLICK = Interaction("e1", "click", "u1", T0, "i1")
OTHER_SCHEMA = b"\xc3\x01" + bytes(8)


@pytest.mark.parametrize(
    ("topic", "key", "event"), [("interactions", "u1", CLICK), ("items", "i1", Item("i1")), ("users", "u1", User("u1"))]
)
def test_a_message_is_its_event_whether_its_key_is_bytes_or_text(topic: str, key: str, event: Event) -> None:
    for form in (key, key.encode()):
        assert messages.read(topic, form, codec.encode(event)) == event


@pytest.mark.parametrize("key", ["", None, b"", "u2", b"\xff", "k" * 100_000])
@pytest.mark.parametrize(
    ("topic", "event", "field"),
    [("interactions", CLICK, "user_id"), ("items", Item("i1"), "item_id"), ("users", User("u1"), "user_id")],
)
def test_the_key_must_be_the_events_own(topic: str, event: Event, field: str, key: str | bytes | None) -> None:
    with pytest.raises(InvalidEvent) as raised:
        messages.read(topic, key, codec.encode(event))
    assert raised.value.field == field
    assert len(raised.value.detail) < 1000


def test_a_tombstone_of_an_item_makes_it_unavailable() -> None:
    assert messages.read("items", b"i1", None) == Item("i1", available=False)


@pytest.mark.parametrize("consent", [True, False, None])
def test_a_tombstone_of_a_person_takes_the_profile_and_leaves_the_consent(consent: bool | None) -> None:
    deleted = messages.read("users", b"u1", None)
    assert deleted == User("u1", {}, [], None)
    assert isinstance(deleted, User)
    assert deleted.after(User("u1", {"age": 30}, ["comedy"], consent)) == User("u1", {}, [], consent)
    assert deleted.after(None) == deleted


def test_what_a_profile_states_of_consent_holds_over_the_earlier() -> None:
    assert User("u1", consent=True).after(User("u1", consent=False)).consent is True
    assert User("u1", consent=False).after(User("u1", consent=True)).consent is False


@pytest.mark.parametrize("topic", ["interactions", "impressions"])
def test_only_compacted_topics_have_tombstones(topic: str) -> None:
    with pytest.raises(Undecodable):
        messages.read(topic, "u1", None)


@pytest.mark.parametrize("key", ["", None, "k" * 257])
@pytest.mark.parametrize(("topic", "field"), [("items", "item_id"), ("users", "user_id")])
def test_a_tombstone_needs_an_id_for_its_key(topic: str, field: str, key: str | None) -> None:
    with pytest.raises(InvalidEvent) as raised:
        messages.read(topic, key, None)
    assert raised.value.field == field


def test_bytes_that_are_no_event() -> None:
    with pytest.raises(Undecodable):
        messages.read("users", "u1", b"noise")
    with pytest.raises(UnknownSchema):
        messages.read("users", "u1", OTHER_SCHEMA)


@pytest.mark.parametrize("consent", [True, False])
def test_profiles_of_the_schema_with_a_plain_consent_are_still_read(consent: bool) -> None:
    file = Path(codec.__file__).parent / "avro" / "users.1.avsc"
    (fingerprint,) = (print_ for print_, (_, parsed) in Codec()._writers.items() if _consent_type(parsed) == "boolean")
    body = BytesIO()
    fields = {"user_id": "u1", "attributes": {"age": 30}, "interests": ["a"], "consent": consent}
    fastavro.schemaless_writer(body, fastavro.parse_schema(json.loads(file.read_text()), named_schemas={}), fields)
    value = codec.MARKER + fingerprint + body.getvalue()
    assert messages.read("users", "u1", value) == User("u1", {"age": 30}, ["a"], consent)


def _consent_type(schema: dict[str, list[dict[str, object]]]) -> object:
    return next((field["type"] for field in schema["fields"] if field["name"] == "consent"), None)
