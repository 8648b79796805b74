"""Assigns events to sessions: one rule for the main path's session and for declared features over sessions."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Span(Protocol):
    """The current session of a key: its id, first and last event times in epoch ms; `last` is 0 before any event."""

    id: str
    start: int
    last: int


class Membership(Enum):
    """The session that an event belongs to."""

    NEW = 0
    """one that begins with it: what was gathered of the one before is to be reset"""
    CURRENT = 1
    ENDED = 2
    """one that has ended: the event is left out"""


def assign(span: Span, at: int, session_id: str, gap: int) -> Membership:
    """Updates the span in place with an event at `at`, epoch ms, and returns the session that the event belongs to.

    The event's session id decides; without one, an event at most `gap` ms after the last one continues the session. One
    that is older than the session's start belongs to an earlier session: the decision is made when the event arrives.
    """
    same = session_id == span.id if session_id else at <= span.last + gap
    if not span.last or (not same and at > span.last):
        span.id = session_id or f"s-{at}"
        span.start = span.last = at
        return Membership.NEW
    if not same or (not session_id and at < span.start):
        return Membership.ENDED
    if at > span.last:
        span.last = at
    elif at < span.start:
        span.start = at
    return Membership.CURRENT
