"""The controls that a person has over their answers, and what an event of each has to say.

A control is an interaction of the type `feedback`: `properties.control` names it, and it takes one more field at most.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from schemas.errors import InvalidEvent
from schemas.faults import ID_PATTERN, NO_CONTROL, NOT_AN_ID

FEEDBACK = "feedback"
"""the event type of controls"""
PROPERTIES = "properties."
CONTROL = f"{PROPERTIES}control"
ITEM, CATEGORY, BRAND, OF = "item_id", f"{PROPERTIES}category", f"{PROPERTIES}brand", f"{PROPERTIES}of"

HIDE, LESS_LIKE = "hide", "less_like"
NOT_CATEGORY, NOT_BRAND = "not_category", "not_brand"
MORE_CATEGORY, MORE_BRAND, INTEREST = "more_category", "more_brand", "interest"
EXPLORE, UNDO, RESET = "explore", "undo", "reset"

TAKES: dict[str, str | None] = {
    HIDE: ITEM,
    LESS_LIKE: ITEM,
    NOT_CATEGORY: CATEGORY,
    NOT_BRAND: BRAND,
    MORE_CATEGORY: CATEGORY,
    MORE_BRAND: BRAND,
    INTEREST: CATEGORY,
    EXPLORE: None,
    UNDO: OF,
    RESET: None,
}
"""control → the field that it takes, None where it takes none"""

LONGEST = 256
"""characters of a name or an id"""
_ID = re.compile(ID_PATTERN)
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


def check_control(event_id: str, item_id: str | None, properties: Mapping[str, Any]) -> None:
    """The rules of a feedback. Raises InvalidEvent naming the field and the fix."""
    control = properties.get("control")
    if control is None:
        raise InvalidEvent(f"is required where event_type is {FEEDBACK}: {_either()}", CONTROL)
    if not isinstance(control, str) or control not in TAKES:
        near = get_close_matches(control, TAKES, 1) if isinstance(control, str) else []
        raise InvalidEvent(f"must be {_either()}{f'; did you mean {near[0]}?' if near else ''}", CONTROL)
    takes = TAKES[control]
    for path in (ITEM, CATEGORY, BRAND, OF):
        given = item_id if path == ITEM else properties.get(path.removeprefix(PROPERTIES))
        if path == takes:
            if given is None:
                raise InvalidEvent(f"is required where control is {control}", path)
            if path != ITEM:
                _check_named(given, path)
        elif given is not None:
            raise InvalidEvent(f"must be left out where control is {control}, which takes {takes or 'nothing'}", path)
    if takes == OF and properties["of"] == event_id:
        raise InvalidEvent("is this event's own event_id; it must be that of the control to undo", OF)


def target(item_id: str | None, properties: Mapping[str, Any]) -> str:
    """The item, category, brand or event that a control which was checked is about; "" where it takes nothing."""
    takes = TAKES[properties["control"]]
    if takes is None:
        return ""
    return (item_id or "") if takes == ITEM else str(properties[takes.removeprefix(PROPERTIES)])


def _check_named(given: Any, path: str) -> None:
    what = "the event_id of a control" if path == OF else f"the name of a {path.removeprefix('properties.')}"
    if not isinstance(given, str) or not 1 <= len(given) <= LONGEST:
        raise InvalidEvent(f"must be {what}: text of 1 to {LONGEST} characters", path)
    if path == OF and not _ID.search(given):
        raise InvalidEvent(NOT_AN_ID, path)
    if _CONTROL_CHARACTERS.search(given):
        raise InvalidEvent(NO_CONTROL, path)


def _either() -> str:
    *most, last = TAKES
    return f"{', '.join(most)} or {last}"
