"""Reads events from JSON strictly: an unknown or wrong field is an error that names it.

`timestamp` and `created_at` are ISO 8601 (UTC where there is no offset) or epoch milliseconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.errors import InvalidEvent, Undecodable
from schemas.events import from_fields
from schemas.topics import EVENT_TYPES_OF

TIME_FIELDS = ("timestamp", "created_at")


def loads(topic: str, text: bytes | str) -> Any:
    """The event of `topic` in one JSON document. Raises Undecodable or InvalidEvent."""
    try:
        return parse(topic, msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"not JSON: {error}") from None


def parse(topic: str, document: Any) -> Any:
    """The event of `topic` in one decoded JSON object. Raises InvalidEvent naming the field."""
    if not isinstance(document, dict):
        raise InvalidEvent("an event is a JSON object")
    fields = dict(document)
    for name in TIME_FIELDS:
        value = fields.get(name)
        if isinstance(value, str):
            fields[name] = _millis(name, value)
        elif isinstance(value, float) and value.is_integer():
            fields[name] = int(value)  # to JSON, 1.0 is a whole number
    return from_fields(EVENT_TYPES_OF[topic], fields)


def _millis(name: str, text: str) -> int:
    try:
        if text.isdecimal() and len(text) != len("20260101"):
            raise ValueError  # milliseconds in quotes, which would be read as a day of the year 1711
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC)
        return round(time.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidEvent("must be ISO 8601 or epoch milliseconds (a number, without quotes)", name) from None
