"""What came of an impression: the join of what a person was shown and what they did with it.

    impression  t ├──────── window ────────┤── late ──┤ ─► one example for each item shown
    interactions    ×        ×                 ×(its time is within the window, it came late)

A part of the user operator's key, behind its gate: it takes every record that was admitted, once, and no other. Of
what a bandit policy chose, it sends signals downstream at once (operators/bandit_counts.py). Time is the person's own,
as at the gate: an impression is closed by the next of their events that lies beyond its window and the allowance for
late ones, so that a replay of the log closes it at the same event. Where the person does nothing more, the clock closes
it, as long after it was taken (`on_timer`).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from operators.bandit_counts import REWARDED, signals_of
from operators.contract import NO_ROW, Cells, Operator, Record, Row, Signal
from operators.time import END, minutes
from schemas.controls import FEEDBACK
from schemas.errors import StateError
from schemas.events import FLOAT_BYTES, Impression, Interaction, LabelledExample
from schemas.properties import MOST_WATCHED_S

MOST_ITEMS = 2000
"""shown items that are open for one person; beyond, the oldest impressions are closed before their time. More than two
pages of the most rows and items (docs/page.md), one after the other"""
MOST_BYTES = 1 << 20
"""of ranker's inputs that are logged with them; beyond, the same. Never less than one message of Kafka holds"""
MOST_EARLY = 50
"""interactions of one person that wait for the impression which they name"""


class Open(Struct, array_like=True, gc=False):
    """An impression within its window. `until` is when the clock closes it, 0 before the clock has seen it; `labels`
    and `watched` by position."""

    shown: Impression
    until: int = 0
    labels: dict[int, dict[str, int]] = {}
    watched: dict[int, float] = {}

    @property
    def at(self) -> int:
        return self.shown.timestamp


class Early(Struct, array_like=True, gc=False):
    """An interaction that names an impression which has not come yet: the two are of different topics."""

    at: int
    item_id: str
    event_type: str
    request_id: str
    watched: float | None
    until: int = 0


class Attributed(Struct, array_like=True):
    """`pending` in the order of the times shown; `closed` leaves with the next `on_timer` and is never saved."""

    watermark: int
    pending: list[Open]
    early: list[Early]
    closed: list[LabelledExample]
    signals: list[Signal] = []
    """leave with the event that they are of, and are never saved"""


def held(state: Attributed) -> Iterator[Open | Early]:
    """All that waits for something."""
    yield from state.pending
    yield from state.early


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, list[Open], list[Early]]).decode


class Attribution(Operator[Attributed]):
    """An interaction labels an item of the impression that it names, else of the latest one that shows the item, if it
    happened within `window` of it; `late` is for how much longer it may come. Both in ms.
    """

    name = "@attribution"
    """as no entity is called, an entity's name being an identifier"""

    def __init__(self, window: int = minutes(30), late: int = minutes(5), since: int = 0) -> None:
        """`since`, epoch ms, is when whoever runs this began to listen: before `since + late` the clock closes nothing,
        as what came while nobody listened has still to be read."""
        self.window = window
        self.late = late
        self.since = since

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        return () if type(record.event) is Signal else ("",)

    def new(self, part: str = "") -> Attributed:
        return Attributed(0, [], [], [])

    def encode(self, part: str, state: Attributed) -> Cells:
        return {"state": _encode((state.watermark, state.pending, state.early))}

    def decode(self, part: str, cells: Cells) -> Attributed:
        try:
            return Attributed(*_decode(cells["state"]), [])
        except (KeyError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{self.name}: {error}") from None

    def watermark(self, state: Attributed) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: Attributed, at: int, cells: Cells | None = None) -> Row:
        return NO_ROW

    def on_event(self, part: str, state: Attributed, record: Record) -> list[Signal] | None:
        event = record.event
        if type(event) is Interaction:
            if not (state.pending or state.early or event.request_id):
                return None
            self._pass(state, event.timestamp)
            if event.item_id is not None:
                self._did(state, event, event.item_id)
        elif type(event) is Impression:
            self._pass(state, event.timestamp)
            self._showed(state, event)
        else:
            return None
        found, state.signals = state.signals, []
        return found

    def on_timer(self, part: str, state: Attributed, at: int) -> list[LabelledExample]:
        """Hands out the examples of all that is closed by `at`, epoch ms. How long something is held counts from when
        it is first seen here, so that what is read from a backlog has its time too; the end of a log closes all."""
        settled = self.since + self.late
        for each in held(state):
            if not each.until:
                each.until = self._beyond(each.at if at >= END else max(each.at, at))
            if each.until <= at < settled:
                each.until = settled
        over = [each for each in state.pending if each.until <= at]
        if over:
            state.pending = [each for each in state.pending if each.until > at]
        if state.early:
            state.early = [each for each in state.early if each.until > at]
        found, state.closed = state.closed, []
        return found + [example for each in over for example in examples(each)]

    def due(self, part: str, state: Attributed, at: int) -> int | None:
        return min((each.until for each in held(state) if each.until > at), default=None)

    def over(self, part: str, state: Attributed, at: int) -> bool:
        return not (state.pending or state.early or state.closed)

    # -- in the person's own time --------------------------------------------------------------

    def _beyond(self, at: int) -> int:
        """The first moment at which nothing of what was shown at `at` can come any more."""
        return at + self.window + self.late + 1

    def _pass(self, state: Attributed, at: int) -> None:
        """An event of theirs at `at` closes what lies too far before it."""
        state.watermark = max(state.watermark, at)
        while state.pending and self._beyond(state.pending[0].at) <= at:
            state.closed += examples(state.pending.pop(0))
        if state.early:
            state.early = [each for each in state.early if self._beyond(each.at) > at]

    def _showed(self, state: Attributed, shown: Impression) -> None:
        new = Open(shown)
        if shown.explored or shown.images:
            state.signals += [s for place in range(len(shown.items)) for s in signals_of(shown, place, taken=False)]
        for each in state.early:
            if each.request_id == shown.request_id:
                self._label(state, new, each)
        state.early = [each for each in state.early if each.request_id != shown.request_id]
        insort(state.pending, new, key=lambda each: each.at)
        count = sum(len(each.shown.items) for each in state.pending)
        size = sum(len(each.shown.features or b"") for each in state.pending)
        while count > MOST_ITEMS or size > MOST_BYTES:
            oldest = state.pending.pop(0)
            count -= len(oldest.shown.items)
            size -= len(oldest.shown.features or b"")
            state.closed += examples(oldest, complete=False)

    def _did(self, state: Attributed, event: Interaction, item_id: str) -> None:
        watched = event.properties.get("watch_seconds")
        did = Early(
            event.timestamp, item_id, _label_of(event), event.request_id or "",
            float(watched) if isinstance(watched, (int, float)) else None,
        )  # fmt: skip
        for each in reversed(state.pending):
            shown = each.shown
            if shown.request_id == did.request_id:
                self._label(state, each, did)
                return
            if not did.request_id and each.at <= did.at and item_id in shown.items:
                self._label(state, each, did)
                return
        if did.request_id:
            state.early.append(did)
            del state.early[:-MOST_EARLY]

    def _label(self, state: Attributed, each: Open, did: Early) -> None:
        """Counts it, unless the list does not show the item or its window had ended. What names a list came after it,
        whatever the clock of the person's device says."""
        shown = each.shown
        if did.at > each.at + self.window or did.item_id not in shown.items:
            return
        position = shown.items.index(did.item_id)
        counts = each.labels.setdefault(position, {})
        if did.event_type in REWARDED and not REWARDED & counts.keys():
            state.signals += signals_of(shown, position, taken=True)
        counts[did.event_type] = counts.get(did.event_type, 0) + 1
        if did.watched is not None:
            each.watched[position] = min(each.watched.get(position, 0.0) + did.watched, MOST_WATCHED_S)


def _label_of(event: Interaction) -> str:
    """The event's type; of a feedback which control it is, since hiding an item is not liking it."""
    return str(event.properties["control"]) if event.event_type == FEEDBACK else event.event_type


def examples(each: Open, complete: bool = True) -> list[LabelledExample]:
    """What an impression has become, in the order of its positions."""
    shown, labels, watched = each.shown, each.labels, each.watched
    features: Any = shown.features
    width = len(features) // len(shown.items) if features is not None else FLOAT_BYTES
    return [
        LabelledExample(
            shown.request_id, shown.user_id, item_id, position, shown.timestamp, shown.surface, shown.region,
            shown.device, shown.model_version, shown.variant, labels.get(position, {}), watched.get(position),
            shown.propensities[position] if shown.propensities is not None else None,
            features[position * width : (position + 1) * width] if features is not None else None,
            complete,
        )
        for position, item_id in enumerate(shown.items)
    ]  # fmt: skip
