"""Applies one record to one part in event time: shared by the Flink adapter's event clock and the replay driver.

    watermark ──due──due──> max(watermark, record's time)
                 │    │      │
                 row  row    apply, then row

Timers due up to the new watermark fire first, in order, on the state from before the record; then the record is applied
and the row is read as of the new watermark. A rejected record fires no timer.

An archived record also has the time at which the job took it. Where the event is ahead of that clock, its row holds
from when it was taken, as it did in the online store, although it is read as of the event's own time:

    taken      watermark = event time
      │  due      │
      row (of the new state, read as of the event time; timers up to the event time have no row of their own)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

from operators.contract import NO_ROW, WITHDRAWN, Operator, Record, Row, Signal
from operators.time import DAY
from schemas.events import Item, LabelledExample, User

LINGERS = 2 * DAY
"""How long after its last write a state that is over is kept, ms. While a backlog is read, every state in it may be
over by the wall clock, and later events of the same session need the earlier ones."""


class Emission(NamedTuple):
    """A row and the time from which it holds, epoch ms. Those of a part are in order of time."""

    row: Row
    at: int


class Step(NamedTuple):
    """The outcome of applying one record to one part."""

    emissions: list[Emission]
    forwarded: list[Signal] | None
    examples: Sequence[LabelledExample]


def apply(
    operator: Operator[Any],
    key: str,
    record: Record,
    one: Callable[[str, Record], list[Signal] | None],
    states: Callable[[], Mapping[str, Any]],
    drop: Callable[[str], None],
) -> list[Signal]:
    """Applies the record to every part that it changes, and its signals to the parts of the same key that they change;
    `one` applies a record to a part, `states` gives the key's states by part, `drop` drops a part with its row. Returns
    the signals, which go downstream to the operator's `listeners`."""
    event = record.event
    if type(event) is Signal and event.event_type == WITHDRAWN:
        _drop(operator, key, record, states(), drop)
        return []
    signals: list[Signal] = []
    for part in operator.parts(key, record):
        signals += one(part, record) or ()
    if type(event) is User:
        _drop(operator, key, record, states(), drop)
        # A withdrawal that the broker had before a later grant changes nothing, in other keys neither.
        withheld = operator.withholds(states())
        return signals if withheld else [signal for signal in signals if signal.event_type != WITHDRAWN]
    if operator.applies_own_signals:
        for signal in signals:
            following = record._replace(event=signal)
            for part in operator.parts(key, following):
                one(part, following)
    taken = record.taken
    return _not_ahead(signals, taken) if taken else signals


def _not_ahead(signals: list[Signal], taken: int) -> list[Signal]:
    """The signals as other keys get them: of an event from a clock that is ahead, they have the time of being taken.
    Other people's events are in those keys too, and a window that one clock moved ahead would lack them."""
    return [signal if signal.timestamp <= taken else signal._replace(timestamp=taken) for signal in signals]


def _drop(
    operator: Operator[Any], key: str, record: Record, states: Mapping[str, Any], drop: Callable[[str], None]
) -> None:
    for part in operator.dropped(key, states, record):
        drop(part)


def deleted(operator: Operator[Any], key: str, parts: Iterable[str]) -> Iterator[Row]:
    """Rows that delete those of the parts which have any."""
    rows = (operator.row(key, part, operator.new(part), 0) for part in parts)
    return (row._replace(values=()) for row in rows if row is not NO_ROW)


def refuse(operator: Operator[Any], key: str, record: Record, states: MutableMapping[str, Any]) -> list[str]:
    """Notes in the key's states, by part, that the operator has refused a record. Returns the parts whose rows that
    changes."""
    changed = []
    for part in operator.parts(key, record):
        state = states.get(part)
        state = operator.new(part) if state is None else state
        if operator.refuse(part, state, record):
            states[part] = state
            changed.append(part)
    return changed


def event_time(record: Record) -> int:
    """The record's event time, epoch ms; 0 for profiles and catalogue entries, which have none."""
    event = record.event
    return 0 if isinstance(event, (User, Item)) else event.timestamp


def timers(operator: Operator[Any], part: str, state: Any, since: int, until: int | None = None) -> Iterator[int]:
    """Times in (since, until] at which the part's row changes by itself, in order; without `until`, all of them."""
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

    Raises EventError, with the state unchanged and no emission, where the record is rejected.
    """
    before = operator.watermark(state)
    until = _no_later_than_taken(record, event_time(record))
    emissions = expire(operator, key, part, state, before, until) if until > before else []
    forwarded = operator.on_event(part, state, record)
    at = operator.watermark(state)
    examples = operator.on_timer(part, state, at)
    row = operator.row(key, part, state, at)
    if row is not NO_ROW:
        emissions.append(Emission(row, _no_later_than_taken(record, at)))
    return Step(emissions, forwarded, examples)


def _no_later_than_taken(record: Record, at: int) -> int:
    return min(at, record.taken) if record.taken else at
