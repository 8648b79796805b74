"""Broken interactions of every kind that a client has ever sent, made from a seed."""

from __future__ import annotations

import math
import random
import time
from io import BytesIO
from typing import Any, NamedTuple

import fastavro

from operators.time import DAY
from schemas import codec
from schemas.events import Interaction
from schemas.topics import INTERACTIONS

FIELD_OF_KIND = {
    "unknown type": "event_type",
    "empty id": "event_id",
    "huge id": "event_id",
    "no item": "item_id",
    "far future": "timestamp",
    "far past": "timestamp",
    "too late": "timestamp",
    "nan": "properties.price",
    "text for number": "properties.price",
    "number for text": "properties.region",
    "huge text": "properties.query",
    "duplicate": "event_id",
    "wrong key": "user_id",
    "no key": "user_id",
}
WHOLE = ("truncated", "noise", "trailing bytes", "unknown schema", "wrong schema", "empty", "null", "not avro")
KINDS = (*FIELD_OF_KIND, *WHOLE)


class Bad(NamedTuple):
    """A message that must be refused, the kind of fault, and the field that the refusal must name."""

    key: bytes
    value: bytes | None
    kind: str

    @property
    def field(self) -> str:
        return FIELD_OF_KIND.get(self.kind, "")


def avro(fields: dict[str, Any]) -> bytes:
    """An interaction by its schema alone, whatever the contract says of its values."""
    found = codec.default()
    out = BytesIO()
    fastavro.schemaless_writer(out, found._readers[INTERACTIONS], fields)
    return found._headers[INTERACTIONS] + out.getvalue()


def good(n: int, user: str, now: int) -> dict[str, Any]:
    """The fields of a sound interaction."""
    return {
        "event_id": f"good-{n}", "event_type": "click", "user_id": user, "item_id": f"i{n % 50}",
        "timestamp": now, "session_id": None, "request_id": None, "properties": {"region": "DE"},
    }  # fmt: skip


def bad(rng: random.Random, n: int, users: list[str], sent: str) -> Bad:
    """A broken message; `sent` is the id of an event that `users[0]` has sent before."""
    kind = KINDS[n % len(KINDS)]
    now = int(time.time() * 1000)
    user = users[0] if kind in ("duplicate", "too late") else rng.choice(users)
    fields = good(0, user, now) | {"event_id": f"bad-{n}"}
    properties: dict[str, Any] = fields["properties"]
    key = user.encode()
    match kind:
        case "unknown type":
            fields["event_type"] = rng.choice(["clik", "", "CLICK", "\x00"])
        case "empty id":
            fields["event_id"] = ""
        case "huge id":
            fields["event_id"] = "x" * rng.randrange(257, 100_000)
        case "no item":
            fields["item_id"] = None
        case "far future":
            fields["timestamp"] = now + rng.choice([DAY, 400 * DAY, 10**5 * DAY])
        case "far past":
            fields["timestamp"] = rng.choice([0, -1, now // 1000, -(2**62)])
        case "too late":
            fields["timestamp"] = now - rng.randrange(3, 3000) * DAY
        case "nan":
            properties["price"] = rng.choice([math.nan, math.inf, -math.inf])
        case "text for number":
            properties["price"] = "9.99"
        case "number for text":
            properties["region"] = 49
        case "huge text":
            properties["query"] = "q" * (900_000 if rng.random() < 0.02 else rng.randrange(3000, 200_000))
        case "duplicate":
            fields["event_id"] = sent
        case "wrong key":
            key = b"somebody else"
        case "no key":
            key = b""
    value = avro(fields)
    match kind:
        case "truncated":
            value = value[: rng.randrange(1, len(value))]
        case "noise":
            value = rng.randbytes(rng.randrange(1, 300))
        case "trailing bytes":
            value += rng.randbytes(rng.randrange(1, 50))
        case "unknown schema":
            value = value[:2] + rng.randbytes(8) + value[10:]
        case "wrong schema":
            value = codec.default()._headers["users"] + value[10:]
        case "empty":
            value = b""
        case "not avro":
            value = b'{"event_id": "e1"}'
    return Bad(key, None if kind == "null" else value, kind)


def decoded(fields: dict[str, Any]) -> Interaction:
    """The typed event of sound fields."""
    return Interaction(**fields)
