"""Single-object encoding: round trips, other implementations' bytes, older schemas, and broken bytes."""

from __future__ import annotations

import json
import math
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from schemas import codec
from schemas.codec import HEADER_BYTES, MARKER, MAX_MESSAGE_BYTES, Codec
from schemas.digests import Digest
from schemas.errors import EventError, InvalidEvent, SchemaError, Undecodable, UnknownSchema
from schemas.events import Event, Impression, Interaction, Item, LabelledExample
from schemas.topics import EVENT_TOPICS, topic_of
from tests.schemas import strategies

AVRO = Path(codec.__file__).parent / "avro"
T0 = 1_767_225_600_000
CLICK = Interaction("e1", "click", "u1", T0, "i1", properties={"region": "DE"})


def declared(topic: str) -> str:
    return (AVRO / f"{topic}.avsc").read_text()


def apache(schema: str, fields: dict[str, Any]) -> bytes:
    """The fields as Apache's own implementation writes them, framed by the words of the specification."""
    parsed = avro.schema.parse(schema)
    assert isinstance(parsed, avro.schema.RecordSchema)
    out = BytesIO()
    avro.io.DatumWriter(parsed).write({f.name: fields[f.name] for f in parsed.fields}, avro.io.BinaryEncoder(out))
    return b"\xc3\x01" + rabin(canonical(parsed)).to_bytes(8, "little") + out.getvalue()


def canonical(schema: avro.schema.Schema) -> bytes:
    return json.dumps(schema.to_canonical_json(), separators=(",", ":"), ensure_ascii=False).encode()


def rabin(data: bytes) -> int:
    """CRC-64-AVRO by the pseudo-code of the specification, bit by bit."""
    empty = 0xC15D213AA4D7A795
    fingerprint = empty
    for byte in data:
        fingerprint ^= byte
        for _ in range(8):
            fingerprint = (fingerprint >> 1) ^ (empty & -(fingerprint & 1))
    return fingerprint


def folder_with(tmp_path: Path, **files: str) -> Path:
    """The current schemas and further ones: `interactions_1` becomes interactions.1.avsc."""
    for path in AVRO.glob("*.avsc"):
        (tmp_path / path.name).write_text(path.read_text())
    for name, text in files.items():
        (tmp_path / f"{name.replace('_', '.')}.avsc").write_text(text)
    return tmp_path


def changed(topic: str, name: str, **change: Any) -> str:
    """The topic's schema with one field changed, or taken away where nothing is said."""
    schema = json.loads(declared(topic))
    fields = [f if f["name"] != name else f | change for f in schema["fields"] if change or f["name"] != name]
    return json.dumps(schema | {"fields": fields})


# -- round trips -----------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", EVENT_TOPICS)
@given(data=st.data())
def test_an_event_comes_back_as_it_was(topic: str, data: st.DataObject) -> None:
    event = data.draw(strategies.OF_TOPIC[topic])
    again = codec.decode(topic, codec.encode(event))
    assert again == event
    assert repr(again) == repr(event)  # 1, 1.0 and True are equal, and different things


@pytest.mark.parametrize("topic", EVENT_TOPICS)
def test_the_header_is_the_marker_and_the_fingerprint(topic: str) -> None:
    event = next(iter(EXAMPLES[topic]))
    fingerprint = avro.schema.parse(declared(topic)).fingerprint("CRC-64-AVRO")
    assert codec.encode(event)[:HEADER_BYTES] == b"\xc3\x01" + fingerprint
    assert int.from_bytes(fingerprint, "little") == rabin(canonical(avro.schema.parse(declared(topic))))


EXAMPLES: dict[str, list[Event]] = {
    "interactions": [CLICK],
    "items": [Item("i1", "Heat", ["drama"], price=9.99)],
    "users": [codec.default().decode("users", apache(declared("users"), {
        "user_id": "u1", "attributes": {}, "interests": [], "consent": True}))],
    "impressions": [codec.default().decode("impressions", apache(declared("impressions"), {
        "request_id": "r1", "user_id": "u1", "timestamp": T0, "items": ["i1"], "surface": "home",
        "region": None, "device": None, "model_version": None, "variant": None, "propensities": [0.5],
        "features": None, "applied_offset": 7, "own_offsets": [8, 11], "explored": [0], "contexts": bytes(8),
        "context_id": "basic1", "images": ["red.jpg"], "segment": "drama"}))],
}  # fmt: skip


def fits_double(event: Event) -> bool:
    """Whether its numbers do: Apache's writer takes any number of a union for a double."""
    values = [*getattr(event, "attributes", {}).values(), *getattr(event, "properties", {}).values()]
    return all(not isinstance(value, int) or abs(value) <= 2**53 for value in values)


@given(strategies.events.filter(fits_double))
def test_what_apache_avro_writes_is_read(event: Event) -> None:
    topic = topic_of(event)
    assert codec.decode(topic, apache(declared(topic), structs.asdict(event))) == event


@given(strategies.events)
def test_apache_avro_reads_what_is_written(event: Event) -> None:
    schema = avro.schema.parse(declared(topic_of(event)))
    body = BytesIO(codec.encode(event)[HEADER_BYTES:])
    assert avro.io.DatumReader(schema).read(avro.io.BinaryDecoder(body)) == structs.asdict(event)
    assert body.read() == b""


# -- schemas that change ---------------------------------------------------------------------------


def test_a_first_version_is_read_by_todays_code(tmp_path: Path) -> None:
    """v1 had no request_id, and a referrer that nobody reads any more; its fields stood in another order."""
    schema = json.loads(changed("interactions", "request_id"))
    v1 = json.dumps(schema | {"fields": [*reversed(schema["fields"]), {"name": "referrer", "type": "string"}]})
    message = apache(v1, structs.asdict(CLICK) | {"referrer": "mail"})
    with pytest.raises(UnknownSchema):
        codec.decode("interactions", message)
    newer = Codec(folder_with(tmp_path, interactions_1=v1))
    assert newer.decode("interactions", message) == CLICK
    assert newer.encode(CLICK) == codec.encode(CLICK)  # the older schema is for reading alone


def test_an_impression_from_before_it_could_hold_features_is_read() -> None:
    event = Impression("r1", "u1", T0, ["i1", "i2"], region="DE")
    assert codec.decode("impressions", apache(declared("impressions.1"), structs.asdict(event))) == event


def test_an_impression_from_before_anything_was_explored_is_read() -> None:
    event = Impression("r1", "u1", T0, ["i1", "i2"], propensities=[0.5, 1.0], applied_offset=3, own_offsets=[4])
    assert codec.decode("impressions", apache(declared("impressions.3"), structs.asdict(event))) == event


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("explored", [1, 0]), ("explored", [0, 0]), ("explored", [2]), ("explored", [-1]), ("explored", []),
        ("contexts", b""), ("contexts", bytes(12)), ("contexts", bytes(8 * 17)), ("context_id", None),
        *(("contexts", struct.pack("<4f", 1, 0, x, 1)) for x in (3e38, -101, math.nan, math.inf)),
        ("images", ["a.jpg"]), ("images", ["a.jpg", ""]),
    ],
)  # fmt: skip
def test_what_is_logged_of_chance_fits_the_list(field: str, value: Any) -> None:
    event = Impression("r1", "u1", T0, ["i1", "i2"], explored=[0, 1], contexts=bytes(16), context_id="basic1",
                       images=[None, "b.jpg"], segment="drama")  # fmt: skip
    assert codec.decode("impressions", codec.encode(event)) == event
    with pytest.raises(InvalidEvent) as raised:
        codec.decode("impressions", codec.encode(structs.replace(event, **{field: value})))
    assert raised.value.field.startswith(field if (field, value) != ("explored", []) else "contexts")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("propensities", [0.5]), ("propensities", [0.5, 0.0]), ("propensities", [0.5, 1.5]), ("features", b""),
        ("features", bytes(12)), ("features", bytes(8 * 1025)), ("model_version", None), ("applied_offset", -2),
        ("own_offsets", [-1]),
    ],
)  # fmt: skip
def test_what_is_logged_of_a_list_fits_the_list(field: str, value: Any) -> None:
    """One propensity an item, and as many inputs of the ranker for each, of a model that has a name."""
    event = Impression("r1", "u1", T0, ["i1", "i2"], "home", None, None, "v1", None, [0.5, 1.0], bytes(16), 7)
    assert codec.decode("impressions", codec.encode(event)) == event
    with pytest.raises(InvalidEvent) as raised:
        codec.decode("impressions", codec.encode(structs.replace(event, **{field: value})))
    assert raised.value.field.startswith(field)


def test_a_digest_of_before_sponsored_items_were_labelled_stays_readable() -> None:
    digest = Digest("d", "u1", "email", "email", "2026-11-28", T0, ["i1"], ["A"], [0.5], [""], "de", "v1", "b")
    assert codec.decode("digests", apache(declared("digests.1"), structs.asdict(digest))) == digest
    labelled = structs.replace(digest, sponsored=["Advertisement"])
    assert codec.decode("digests", apache(declared("digests"), structs.asdict(labelled))) == labelled


def test_an_example_comes_back_as_it_was() -> None:
    example = LabelledExample(
        "r1", "u1", "i1", 3, T0, "home", "DE", None, "v1", "b", {"click": 2}, 1.5, 0.25, bytes(8), False
    )
    assert codec.decode("examples", codec.encode(example)) == example


def test_a_number_that_was_whole_becomes_a_fraction(tmp_path: Path) -> None:
    v1 = changed("items", "price", type=["null", "int"])
    message = apache(v1, structs.asdict(Item("i1", "Heat")) | {"price": 9})
    found = Codec(folder_with(tmp_path, items_1=v1)).decode("items", message)
    assert found == Item("i1", "Heat", price=9.0)
    assert type(found.price) is float


def test_an_older_schema_that_lacks_what_is_required_says_so(tmp_path: Path) -> None:
    v1 = changed("interactions", "user_id")
    message = apache(v1, structs.asdict(CLICK))
    with pytest.raises(Undecodable):
        Codec(folder_with(tmp_path, interactions_1=v1)).decode("interactions", message)


@pytest.mark.parametrize("text", ["{", '{"type": "record"}', '{"type": "nonsense"}'])
def test_a_file_that_is_no_schema_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(SchemaError, match=r"items\.1\.avsc"):
        Codec(folder_with(tmp_path, items_1=text))


def test_two_schemas_with_one_fingerprint_are_refused(tmp_path: Path) -> None:
    """A change of documentation alone is no new version: which of the two a message means could not be told."""
    with pytest.raises(SchemaError, match="same canonical form"):
        Codec(folder_with(tmp_path, interactions_1=changed("interactions", "user_id", doc="whoever it was")))


# -- broken bytes ----------------------------------------------------------------------------------


def test_unknown_fingerprint() -> None:
    with pytest.raises(UnknownSchema, match="0011223344556677") as raised:
        codec.decode("interactions", MARKER + bytes.fromhex("0011223344556677") + codec.encode(CLICK)[HEADER_BYTES:])
    assert raised.value.reason == "unknown_schema"


def test_a_message_of_another_topic() -> None:
    with pytest.raises(UnknownSchema, match="one of topic interactions"):
        codec.decode("users", codec.encode(CLICK))


@pytest.mark.parametrize("length", range(len(codec.encode(CLICK))))
def test_truncated_at_any_byte(length: int) -> None:
    with pytest.raises(Undecodable) as raised:
        codec.decode("interactions", codec.encode(CLICK)[:length])
    assert type(raised.value) is Undecodable


def test_bytes_left_over() -> None:
    with pytest.raises(Undecodable, match="3 bytes left"):
        codec.decode("interactions", codec.encode(CLICK) + b"abc")


@pytest.mark.parametrize("value", [b"", b"\xc3", b"\xc3\x01", b"{}", b"\x00", b"\x00\x00\x00\x00\x01\x00"])
def test_what_is_not_framed(value: bytes) -> None:
    with pytest.raises(Undecodable, match="C3 01"):
        codec.decode("interactions", value)


def test_a_message_above_the_limit_is_not_even_tried() -> None:
    with pytest.raises(Undecodable, match="the limit is"):
        codec.decode("interactions", codec.encode(CLICK) + bytes(MAX_MESSAGE_BYTES))


@pytest.mark.parametrize("topic", EVENT_TOPICS)
@given(noise=st.binary(max_size=300), framed=st.booleans())
def test_noise_raises_an_event_error_and_nothing_else(topic: str, noise: bytes, framed: bool) -> None:
    head = codec.encode(EXAMPLES[topic][0])[:HEADER_BYTES] if framed else b""
    with suppress(EventError):
        codec.decode(topic, head + noise)


@given(event=strategies.events, data=st.data())
def test_one_changed_byte_gives_a_sound_event_or_an_event_error(event: Event, data: st.DataObject) -> None:
    topic, value = topic_of(event), bytearray(codec.encode(event))
    value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = codec.decode(topic, bytes(value))
    except EventError:
        return
    assert codec.decode(topic, codec.encode(found)) == found


def test_the_contract_holds_behind_the_schema() -> None:
    fields = structs.asdict(CLICK)
    for name, wrong in (("event_type", "clik"), ("user_id", ""), ("timestamp", T0 // 1000), ("item_id", None)):
        with pytest.raises(InvalidEvent) as raised:
            codec.decode("interactions", apache(declared("interactions"), fields | {name: wrong}))
        assert raised.value.field == name
