"""Avro single-object encoding: C3 01, the writer schema's CRC-64-AVRO fingerprint, the body.

https://avro.apache.org/docs/1.12.0/specification/#single-object-encoding. The Apache `avro`
package parses and fingerprints schemas at load time, where strictness matters; `fastavro` does
the per-message work, where speed does. Each `<topic>.avsc` is a topic's current schema; a file
`<topic>.<anything>.avsc` is an older one, kept so that messages written with it stay readable.
"""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import avro.schema
import fastavro
from msgspec import structs

from schemas.errors import SchemaError, Undecodable, UnknownSchema
from schemas.events import from_fields
from schemas.topics import TYPES_OF, AvroRecord, topic_of

MARKER = b"\xc3\x01"
HEADER_BYTES = 10
MAX_MESSAGE_BYTES = 1 << 20


class Codec:
    """Encodes and decodes events with the schemas of one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """Raises SchemaError where a file is not Avro or two topics share a fingerprint."""
        self._readers: dict[str, Any] = {}
        self._writers: dict[bytes, tuple[str, Any]] = {}
        self._headers: dict[str, bytes] = {}
        for path in sorted((folder or Path(__file__).parent / "avro").glob("*.avsc")):
            topic = path.name.split(".")[0]
            text = path.read_text()
            try:
                fingerprint = avro.schema.parse(text).fingerprint("CRC-64-AVRO")
                parsed = fastavro.parse_schema(json.loads(text), named_schemas={})
            except (avro.errors.AvroException, ValueError) as error:
                raise SchemaError(f"{path.name}: {error}") from error
            if fingerprint in self._writers:
                raise SchemaError(f"{path.name}: same canonical form as another schema")
            self._writers[fingerprint] = (topic, parsed)
            if path.name == f"{topic}.avsc":
                self._readers[topic] = parsed
                self._headers[topic] = MARKER + fingerprint

    def encode(self, event: AvroRecord) -> bytes:
        """The event as one Kafka value."""
        topic = topic_of(event)
        out = BytesIO()
        out.write(self._headers[topic])
        fastavro.schemaless_writer(out, self._readers[topic], structs.asdict(event))
        return out.getvalue()

    def decode(self, topic: str, value: bytes) -> Any:
        """The event in a Kafka value of `topic`.

        Raises Undecodable, UnknownSchema or InvalidEvent; never anything else.
        """
        return from_fields(TYPES_OF[topic], self.fields(topic, value))

    def fields(self, topic: str, value: bytes) -> dict[str, Any]:
        """The value's fields, resolved to the topic's current schema, not yet validated."""
        if len(value) > MAX_MESSAGE_BYTES:
            raise Undecodable(f"{len(value)} bytes; the limit is {MAX_MESSAGE_BYTES}")
        writer, start = self._writer(topic, value)
        reader = self._readers[topic]
        body = BytesIO(value)
        body.seek(start)
        try:
            found = fastavro.schemaless_reader(body, writer, None if writer is reader else reader)
        except Exception as error:  # hostile bytes raise whatever the decoder trips over
            raise Undecodable(f"body does not match its schema ({type(error).__name__})") from None
        if body.tell() != len(value):
            raise Undecodable(f"{len(value) - body.tell()} bytes left after the body")
        if not isinstance(found, dict):
            raise Undecodable("body is not a record")
        return found

    def _writer(self, topic: str, value: bytes) -> tuple[Any, int]:
        if value[:2] == MARKER and len(value) >= HEADER_BYTES:
            known = self._writers.get(value[2:HEADER_BYTES])
            if known is None:
                raise UnknownSchema(f"no schema has fingerprint {value[2:HEADER_BYTES].hex()}")
            if known[0] != topic:
                raise UnknownSchema(f"the schema is one of topic {known[0]}, not of {topic}")
            return known[1], HEADER_BYTES
        raise Undecodable("does not start with the single-object marker C3 01")


@cache
def default() -> Codec:
    """The codec of the schemas in this folder."""
    return Codec()


def encode(event: AvroRecord) -> bytes:
    """`default().encode`."""
    return default().encode(event)


def decode(topic: str, value: bytes) -> Any:
    """`default().decode`."""
    return default().decode(topic, value)
