"""Following a person: what an event of it has to say.

`follow` and `unfollow` are interactions without an item; `properties.followed` is the id of the other person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from schemas.errors import InvalidEvent
from schemas.faults import ID_PATTERN, NOT_AN_ID

FOLLOW, UNFOLLOW = "follow", "unfollow"
FOLLOWS = frozenset({FOLLOW, UNFOLLOW})
FOLLOWED = "properties.followed"
LONGEST = 256
"""characters of an id"""
_ID = re.compile(ID_PATTERN)


def check_follow(kind: str, user_id: str, item_id: str | None, properties: Mapping[str, Any]) -> None:
    """The rules of a follow and an unfollow. Raises InvalidEvent naming the field and the fix."""
    followed = properties.get("followed")
    if followed is None:
        raise InvalidEvent(f"is required where event_type is {kind}: the user_id of the other person", FOLLOWED)
    if not isinstance(followed, str) or not 1 <= len(followed) <= LONGEST:
        raise InvalidEvent(f"must be the user_id of a person: text of 1 to {LONGEST} characters", FOLLOWED)
    if not _ID.search(followed):
        raise InvalidEvent(NOT_AN_ID, FOLLOWED)
    if followed == user_id:
        raise InvalidEvent("is this event's own user_id; nobody follows themselves", FOLLOWED)
    if item_id is not None:
        raise InvalidEvent(f"must be left out where event_type is {kind}, which takes {FOLLOWED}", "item_id")


def followed(properties: Mapping[str, Any]) -> str:
    """The person whom an event that was checked is about."""
    return str(properties["followed"])
