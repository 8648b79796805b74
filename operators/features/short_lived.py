"""The ids of a person's sessions and requests, whose features are dropped once the person withdraws consent.

A session's features are kept under its own id, by another operator than the person's. This part of the user operator's
key holds the ids of the last SHORT_LIFE, as long as those features live at least, and signals each of them with
WITHDRAWN. It is there only where features of sessions or requests are declared.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from operators.contract import NO_ROW, WITHDRAWN, Cells, Operator, Record, Row, Signal
from operators.features.entity import SHORT_LIFE, SHORT_LIVED
from schemas.errors import StateError
from schemas.events import Impression, Interaction, User

MOST_IDS = 1000
"""ids of one field that are kept for one person; beyond, the one used least recently is dropped"""
STEP = SHORT_LIFE // 8
"""a later use of an id is noted once it is so much later: most events change nothing here"""


class Ids(Struct, array_like=True):
    """By field: id → the latest time at which it was noted, epoch ms, in order of noting."""

    watermark: int
    ids: dict[str, dict[str, int]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Ids).decode


class ShortLivedIds(Operator[Ids]):
    """Notes the ids of accepted events, and signals them when a profile withdraws consent."""

    name = "@short_lived"
    """as no entity is called, an entity's name being an identifier"""

    def __init__(self, fields: Sequence[str]) -> None:
        """`fields` are those of SHORT_LIVED that features are declared of."""
        self._fields = tuple(field for field in SHORT_LIVED if field in fields)

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        return () if type(record.event) is Signal else ("",)

    def new(self, part: str = "") -> Ids:
        return Ids(0, {field: {} for field in self._fields})

    def encode(self, part: str, state: Ids) -> Cells:
        return {"state": _encode(state)}

    def decode(self, part: str, cells: Cells) -> Ids:
        try:
            found = _decode(cells["state"])
        except (KeyError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{self.name}: {error}") from None
        return Ids(found.watermark, {field: found.ids.get(field, {}) for field in self._fields})

    def watermark(self, state: Ids) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: Ids, at: int, cells: Cells | None = None) -> Row:
        return NO_ROW

    def on_event(self, part: str, state: Ids, record: Record) -> list[Signal] | None:
        event = record.event
        if type(event) is User:
            return _withdrawn(state) if event.consent is False else None
        if not isinstance(event, (Interaction, Impression)):
            return None
        changed = False
        for field in self._fields:
            id = getattr(event, field, None)
            if id is not None:
                changed |= _note(state, state.ids[field], id, event.timestamp)
        return [] if changed else None

    def due(self, part: str, state: Ids, at: int) -> int | None:
        end = state.watermark + SHORT_LIFE
        return end if end > at else None

    def over(self, part: str, state: Ids, at: int) -> bool:
        return at >= state.watermark + SHORT_LIFE


def _note(state: Ids, ids: dict[str, int], id: str, at: int) -> bool:
    """Whether the state has changed."""
    noted = ids.get(id)
    if noted is not None and at < noted + STEP:
        return False
    ids.pop(id, None)
    ids[id] = at
    state.watermark = max(state.watermark, at)
    if noted is None:
        for expired in [known for known, last in ids.items() if last <= state.watermark - SHORT_LIFE - STEP]:
            if expired != id:
                del ids[expired]
        if len(ids) > MOST_IDS:
            del ids[next(iter(ids))]
    return True


def _withdrawn(state: Ids) -> list[Signal]:
    found = []
    for field, ids in state.ids.items():
        for id in ids:
            of_session, of_request = (id, "") if field == "session_id" else ("", id)
            found.append(Signal(WITHDRAWN, state.watermark, session_id=of_session, request_id=of_request))
    return found
