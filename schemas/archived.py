"""Events as the archive keeps them: JSON as msgspec writes it, and what came first of one moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from schemas.topics import EVENT_TYPES_OF, IMPRESSIONS, INTERACTIONS, USERS

RANK = {USERS: 0, IMPRESSIONS: 1, INTERACTIONS: 2}
"""what of one millisecond probably came first: who somebody is, what they were shown, what they did"""

_decoders: dict[str, Callable[[str | bytes], Any]] = {
    topic: msgspec.json.Decoder(kind).decode for topic, kind in EVENT_TYPES_OF.items()
}


def decode(topic: str, event: str | bytes) -> Any:
    """The event of a topic in the archive's column `event`."""
    return _decoders[topic](event)
