"""Runs all features of an entity as one operator.

The cost of an event depends little on how many features are declared:

    event type ─► the filters that this type may pass ─► each filter once ─► each value once ─► each state once

Features with equal filter, value, family and scope share a state. States are saved by their keys, so that after a
change of the repository the states of all features that are still declared are restored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from operators.contract import NEVER, Cells, Operator, Record, Row, Signal, View, World, read_time
from operators.features import sketches
from operators.features.entity import Entity
from operators.features.expressions import Read
from operators.features.feature import TEXT_BYTES, Feature
from operators.features.monoid import Take
from operators.keyed import REBUILD, STATE
from schemas.errors import FeatureError, InvalidEvent, StateError


class Cached(NamedTuple):
    """The values of one state's features from `since` to before `until`, epoch ms."""

    since: int
    until: int
    values: list[tuple[Any, ...]]


class EntityState(Struct):
    """State of one part: a state for each state key of the features, None before its first event.

    `cached` holds the latest values of each state's features until an event changes the state; it is not saved. Most
    events change few states, while a row has the values of all.
    """

    watermark: int
    states: list[Any]
    cached: list[Cached | None]


class Saved(Struct, array_like=True, gc=False):
    """An encoded EntityState: states by their keys."""

    watermark: int
    states: dict[int, Raw]


class Slot(NamedTuple):
    """One state: its place among the part's states, and the functions that make and change it."""

    place: int
    new: Callable[[], Any]
    take: Take


class Plan(NamedTuple):
    """The filters, values and states that an event of one type passes. A filter of None passes every event."""

    filtered: list[tuple[Read | None, list[tuple[Read, list[Slot]]]]]
    unfiltered: list[tuple[Read | None, Read, Slot]]
    """states whose scopes need the events that the filter rejects too"""


def reject(signal: Signal) -> bool:
    """The filter that no event passes."""
    return False


class EntityOperator(Operator[EntityState]):
    """Signals of one entity → rows of its view. Of a pair, the first key is the operator's and the second the part."""

    def __init__(self, entity: Entity, features: Sequence[Feature], world: World) -> None:
        """Raises FeatureError where a feature is of another entity."""
        for feature in features:
            if feature.entity is not entity:
                raise FeatureError(f"{feature.name} is of {feature.entity.name}, not of {entity.name}", feature.where)
        self.entity = entity
        self.name = entity.name
        self._life = entity.life
        self.features = tuple(features)
        self.view: View[Any] = View(entity.view, entity.joins, self.features, entity.doc)
        slots = {f.state_key: f for f in features}  # one feature of each key; they change the state alike
        self._slots = tuple(slots.values())
        self._keys = tuple(slots)
        self._place = {key: place for place, key in enumerate(slots)}
        self._takes = [feature.taker(world) for feature in self._slots]
        self._of_slot = [tuple(f for f in features if f.state_key == key) for key in slots]
        self._order = [(self._place[f.state_key], self._of_slot[self._place[f.state_key]].index(f)) for f in features]
        self._defaults = [
            Cached(0, NEVER, [tuple(field.default for field in f.fields) for f in found]) for found in self._of_slot
        ]
        self._plans: dict[str, Plan] = {}
        self._encoder = msgspec.msgpack.Encoder(enc_hook=sketches.encode)
        self._decoder = msgspec.msgpack.Decoder(Saved)
        self._decoders = [msgspec.msgpack.Decoder(f.state, dec_hook=sketches.decode) for f in self._slots]

    # -- the contract's Operator ---------------------------------------------------------------

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        """The second keys of a pair, "" for a single key; none where the signal lacks this key."""
        assert isinstance(record.event, Signal)
        found = self.entity.keys_of(record.event)
        if len(self.entity.keys) == 1:
            return ("",) if (key,) in found else ()
        return tuple(second for first, second in found if first == key)

    def new(self, part: str = "") -> EntityState:
        return self._state(0, {})

    def encode(self, part: str, state: EntityState) -> Cells:
        known = {key: found for key, found in zip(self._keys, state.states, strict=True) if found is not None}
        return {STATE: self._encoder.encode((state.watermark, known))}

    def decode(self, part: str, cells: Cells) -> EntityState:
        """Drops the states of features that are no longer declared; new features begin with an empty state.

        Raises StateError where the cells cannot be decoded.
        """
        try:
            saved = self._decoder.decode(cells[STATE])
            states = {
                place: self._decoders[place].decode(raw)
                for key, raw in saved.states.items()
                if (place := self._place.get(key)) is not None
            }
        except (KeyError, msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            raise StateError(f"{self.view.name}: {error}; {REBUILD}") from None
        return self._state(saved.watermark, states)

    def adopt(self, part: str, state: EntityState, backfilled: Cells, saved: Cells | None) -> None:
        found = self.decode(part, backfilled)
        known = [None] * len(self._slots) if saved is None else self.decode(part, saved).states
        for place, own in enumerate(known):
            if own is None and found.states[place] is not None:
                state.states[place] = found.states[place]
                state.cached[place] = None
        state.watermark = max(state.watermark, found.watermark)

    def watermark(self, state: EntityState) -> int:
        return state.watermark

    def on_event(self, part: str, state: EntityState, record: Record) -> list[Signal]:
        """Applies a signal that has been admitted. It has no signals of its own."""
        signal = record.event
        if not isinstance(signal, Signal):
            raise InvalidEvent(f"a {type(signal).__name__} does not belong to the features of {self.entity.name}")
        if self.over(part, state, signal.timestamp):
            empty = self.new(part)
            state.states, state.cached = empty.states, empty.cached
        if signal.timestamp > state.watermark:
            state.watermark = signal.timestamp
        self._apply(state, signal)
        return []

    def row(self, key: str, part: str, state: EntityState, at: int, cells: Cells | None = None) -> Row:
        at = read_time(state.watermark, at)
        found = self._defaults if self.over(part, state, at) else self._values(state, at)
        values: list[Any] = []
        for place, which in self._order:
            values += found[place].values[which]
        return Row(self.view.name, (key, part) if part else (key,), tuple(values))

    def due(self, part: str, state: EntityState, at: int) -> int | None:
        at = read_time(state.watermark, at)
        if self.over(part, state, at):
            return None
        end = NEVER if self._life is None else state.watermark + self._life
        soonest = min((known.until for known in self._values(state, at)), default=NEVER)
        return None if soonest == end == NEVER else min(soonest, end)

    def over(self, part: str, state: EntityState, at: int) -> bool:
        return self._life is not None and (not state.watermark or at >= state.watermark + self._life)

    def state_bytes(self, text: int = TEXT_BYTES) -> int:
        """Worst-case size of one part's feature state, encoded, where a text takes `text` bytes."""
        return sum(10 + feature.state_bytes(text) for feature in self._slots)

    def _state(self, watermark: int, states: dict[int, Any]) -> EntityState:
        n = len(self._slots)
        cached = [None if place in states else default for place, default in enumerate(self._defaults)]
        return EntityState(watermark, [states.get(place) for place in range(n)], cached)

    def _values(self, state: EntityState, at: int) -> list[Cached]:
        """The values of each state's features as of `at`."""
        cached = state.cached
        for place, known in enumerate(cached):
            if known is None or not known[0] <= at < known[1]:
                cached[place] = self._read(state.states[place], self._of_slot[place], at)
        return cached  # type: ignore[return-value]

    def _read(self, state: Any, features: tuple[Feature, ...], at: int) -> Cached:
        first = features[0]
        if first.scope.decays:  # scale-free features read another accumulator
            values = [f.values(state, at) for f in features]
        else:
            acc = first.read(state, at)
            values = [f.finalize(acc, at) for f in features]
        until = NEVER
        for feature in features:
            due = feature.due(state, at)
            if due is not None and due < until:
                until = due
        return Cached(at, until, values)

    # -- applying a signal ---------------------------------------------------------------------

    def _apply(self, of: EntityState, signal: Signal) -> None:
        states, cached = of.states, of.cached
        plan = self._plans.get(signal.event_type)
        if plan is None:
            plan = self._plans[signal.event_type] = self._plan(signal.event_type)
        for passes, values in plan.filtered:
            if passes is not None and not passes(signal):
                continue
            for read, slots in values:
                value = read(signal)
                if value is None:
                    continue
                for place, new, take in slots:
                    state = states[place]
                    if state is None:
                        state = states[place] = new()
                    take(state, value, signal)
                    cached[place] = None
        for passes, read, (place, new, take) in plan.unfiltered:
            state = states[place]
            if state is None:
                state = states[place] = new()
            take(state, read(signal) if passes is None or passes(signal) else None, signal)
            cached[place] = None

    def _plan(self, event_type: str) -> Plan:
        """The plan for all events of this type."""
        filtered: dict[str, tuple[Read | None, dict[str, tuple[Read, list[Slot]]]]] = {}
        unfiltered: list[tuple[Read | None, Read, Slot]] = []
        for place, feature in enumerate(self._slots):
            known = feature.events.decide(event_type)
            passes = {True: None, False: reject, None: feature.events.read}[known]
            slot = Slot(place, feature.new, self._takes[place])
            if feature.scope.needs_all_events:
                unfiltered.append((passes, feature.reads.read, slot))
            elif known is not False:
                _, values = filtered.setdefault("" if known else repr(feature.events), (passes, {}))
                values.setdefault(repr(feature.reads), (feature.reads.read, []))[1].append(slot)
        return Plan([(passes, list(values.values())) for passes, values in filtered.values()], unfiltered)
