"""One record through one part, in event time: what the Flink adapter and the replay driver share.

    watermark ──due──due──> max(watermark, record's time)
                 │    │      │
                 row  row    apply, then row

Timers due up to the new watermark fire first, in order, on the state from before the record; then
the record is applied and the row is read as of the new watermark. A rejected record fires nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from operators.contract import NO_ROW, Operator, Record, Row, Signal
from operators.time import DAY
from schemas.events import Item, LabelledExample, User

LINGERS = 2 * DAY
"""A state that is over is dropped so many ms after it was last written. By the wall clock all of a backlog may be over
while it is read, and what follows within the same session must find what came before."""


class Emission(NamedTuple):
    """A row and the event time, in epoch ms, as of which it was read."""

    row: Row
    at: int


class Step(NamedTuple):
    """What one record did to one part."""

    emissions: list[Emission]
    forwarded: list[Signal] | None
    examples: Sequence[LabelledExample]


def apply(
    operator: Operator[Any], key: str, record: Record, one: Callable[[str, Record], list[Signal] | None]
) -> list[Signal]:
    """Takes the record to every part that it changes, and what follows from it to the parts of the same key that this
    changes; `one` applies a record to a part. Returns what follows, for the operator's `listeners`."""
    signals = [signal for part in operator.parts(key, record) for signal in one(part, record) or ()]
    if not operator.hears_itself:
        return signals
    for signal in signals:
        following = record._replace(event=signal)
        for part in operator.parts(key, following):
            one(part, following)
    return signals


def event_time(record: Record) -> int:
    """The record's event time, epoch ms; 0 for profiles and catalogue entries, which have none."""
    event = record.event
    return 0 if isinstance(event, (User, Item)) else event.timestamp


def timers(operator: Operator[Any], part: str, state: Any, since: int, until: int | None = None) -> Iterator[int]:
    """Times in (since, until] at which the part's row changes by itself, in order; `until` None is for ever."""
    due = operator.due(part, state, since)
    while due is not None and (until is None or due <= until):
        yield due
        due = operator.due(part, state, due)


def expire(
    operator: Operator[Any], key: str, part: str, state: Any, since: int, until: int | None = None
) -> list[Emission]:
    """The row at each timer in (since, until], in order."""
    rows = ((operator.row(key, part, state, at), at) for at in timers(operator, part, state, since, until))
    return [Emission(row, at) for row, at in rows if row is not NO_ROW]


def step(operator: Operator[Any], key: str, part: str, state: Any, record: Record) -> Step:
    """Applies the record to the state in place.

    Raises EventError, state untouched and nothing emitted, where the record cannot be taken.
    """
    before = operator.watermark(state)
    ahead = event_time(record) > before
    emissions = expire(operator, key, part, state, before, event_time(record)) if ahead else []
    forwarded = operator.on_event(part, state, record)
    at = operator.watermark(state)
    examples = operator.on_timer(part, state, at)
    row = operator.row(key, part, state, at)
    if row is not NO_ROW:
        emissions.append(Emission(row, at))
    return Step(emissions, forwarded, examples)
