"""Broken bodies of every kind that a client has ever posted, made from a seed."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from operators.time import DAY
from serving.ingest import MOST

Fields = dict[str, Any]
WRONG = {
    "event_id": [7, 1.5, None, True, [], {}, "", "x" * 257, "x" * 20_000],
    "event_type": [7, None, [], "clik", "", "CLICK", "click ", "\x00"],
    "user_id": [7, None, [], {"id": "u1"}, "", "u" * 300, "a\nb", "\x00", "a\x7f", "..", "."],
    "item_id": [7, None, ["i1"], "", "i" * 10_000],
    "session_id": [7, [], ""],
    "request_id": [7, {}, "r" * 257],
    "timestamp": [
        None, True, [], 1.5, -1, 0, 1_767_225_600, 2**53 + 1, -(2**62), 10**30, 1e308, "yesterday", "", "2026-13-01",
        "1767225600000", "0001-01-01", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00+99:00",
    ],
    "properties": [None, [], "price=1", 7, {f"p{n}": 1 for n in range(65)}],
    "properties.price": ["9.99", True, None, [], {"eur": 9}, 10**30, -5, -0.01],
    "properties.rating": [99, -1, "5"],
    "properties.quantity": [0, -1],
    "properties.region": [49, 1.5, False, ["DE"]],
    "properties.query": ["q" * 2049, "q" * 100_000],
    "properties.nested": [{"deep": {"deeper": {}}}, [[[]]], None],
}  # fmt: skip
"""field → values that it cannot have"""
UNKNOWN = ["colour", "Event_id", "eventId", "__class__", "event_id ", "$", "a.b", "日本", "constructor"]
REQUIRED = ["event_id", "event_type", "user_id", "timestamp"]
NO_OBJECT = [7, 1.5, None, True, "event", [], [[]], ["event_id", "e1"]]


class Bad(NamedTuple):
    """A document that must be refused, and the field that the refusal must name."""

    document: Any
    field: str


def good(event_id: str, user_id: str) -> Fields:
    """A sound interaction of now."""
    return {
        "event_id": event_id, "event_type": "click", "user_id": user_id, "item_id": "i1",
        "timestamp": int(time.time() * 1000), "properties": {"region": "DE", "price": 9.99},
    }  # fmt: skip


def bad(rng: random.Random, n: int) -> Bad:
    """A broken interaction."""
    fields = good(f"bad-{n}", f"user-{n % 50}")
    match n % 6:
        case 0:
            name = rng.choice(UNKNOWN)
            return Bad(fields | {name: rng.choice([1, "x", None, {}])}, name)
        case 1:
            name = rng.choice(REQUIRED)
            return Bad({k: v for k, v in fields.items() if k != name}, name)
        case 2:
            return Bad(rng.choice(NO_OBJECT), "")
        case 3:
            ahead = rng.choice([10 * 60_000, DAY, 4000 * DAY])
            return Bad(fields | {"timestamp": fields["timestamp"] + ahead}, "timestamp")
    field = rng.choice(list(WRONG))
    value = rng.choice(WRONG[field])
    name, _, entry = field.partition(".")
    return Bad(fields | {name: {entry: value} if entry else value}, field)


# -- bodies that are wrong as a whole --------------------------------------------------------------


def _text(rng: random.Random) -> bytes:
    return json.dumps([good(f"whole-{rng.randrange(10**9)}", "whole") for _ in range(rng.randrange(1, 4))]).encode()


def _truncated(rng: random.Random) -> bytes:
    text = _text(rng)
    return text[: rng.randrange(1, len(text))]


def _no_number(rng: random.Random) -> bytes:
    return _text(rng).replace(b"9.99", rng.choice([b"NaN", b"Infinity", b"-Infinity", b"1e", b"0x1", b"01", b"+1"]))


def _deep(rng: random.Random) -> bytes:
    depth = rng.choice([2_000, 100_000])
    return rng.choice([b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth])


def _encoded(rng: random.Random) -> bytes:
    text = _text(rng)
    return rng.choice([gzip.compress(text), text.decode().encode("utf-16"), b"\xef\xbb\xbf" + text, b"\xff" + text])


def _surrogate(rng: random.Random) -> bytes:
    return _text(rng).replace(b'"i1"', b'"\\ud800"')


def _of_another_type(rng: random.Random) -> bytes:
    return rng.choice([b"event_id=e1&event_type=click", b"<event/>", b"event_id: e1", b"{'event_id': 'e1'}", b"\x00"])


WHOLE: dict[str, Callable[[random.Random], bytes]] = {
    "truncated": _truncated,
    "no number": _no_number,
    "deep": _deep,
    "encoded": _encoded,
    "surrogate": _surrogate,
    "of another type": _of_another_type,
    "noise": lambda rng: rng.randbytes(rng.randrange(1, 300)),
    "more behind it": lambda rng: _text(rng) + rng.choice([b"x", b"{}", b"]", b"\x00"]),
    "nothing": lambda rng: rng.choice([b"", b" ", b"null", b"[]", b"{}", b"[null]"]),
    "too many": lambda rng: b"[" + b",".join([b"{}"] * (MOST + 1)) + b"]",
}
"""kind → a body of it; each is refused with a problem"""


def flipped(rng: random.Random, n: int) -> bytes:
    """A sound event with a few bytes changed: it may still be one."""
    body = bytearray(json.dumps(good(f"flipped-{n}", f"user-{n % 50}")).encode())
    for _ in range(rng.randrange(1, 4)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return bytes(body)
