"""Scopes: which events a value is made of, by arranging a feature's accumulators in time.

    Lifetime   ├──────────────────────────────────────────┤  all events
    Tumbling                   ├────────┤┈┈┈┈┈┈┈┈┤          the current (or the last whole) window, aligned to the epoch
    Sliding                         ├─────────────────────┤  the last W, in steps of a tile
    Session                                  ├────────────┤  the current session
    Decay           ▁▁▁▁▁▂▂▂▂▂▃▃▃▃▃▄▄▄▄▄▅▅▅▅▅▆▆▆▆▆▇▇▇▇▇█████  all events, their weights halved every half-life
    LastEvents                              ├ ×  × ×    × ┤  the last k events

Windows and decay are exact at the resolution of their tiles: an event counts from the start of its tile, and time
passes in whole tiles. Scopes use a feature as a Monoid (monoid.py). Windows are in windows.py.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import Struct

from operators.contract import Signal
from operators.decay import REBASE_AFTER
from operators.features.limits import within
from operators.features.monoid import Monoid, Take
from operators.membership import Membership, assign
from operators.time import DAY, label
from schemas.errors import FeatureError

A = TypeVar("A")

STEPS = 8
"""tiles in a half-life: a decayed value is within a factor of 2^(1/8), 9 %, of that of continuous decay"""
GONE = 16
"""half-lives after the last event when a decayed amount is read as zero, so that its timers end"""
HEAD_BYTES = 24
"""size of a state's own numbers, encoded"""


class Scope:
    """Arranges one feature's events. `state` is the scope's own state of the feature, for one key."""

    def __str__(self) -> str:
        """For people: "sliding 1h", "last_events 5"."""
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(self).__name__).lstrip("_")
        return " ".join([name, *(label(length) for length in list(vars(self).values())[:1])])

    decays: ClassVar[bool] = False
    needs_all_events: ClassVar[bool] = False
    """whether events that the feature's filter rejects change the state too; their value is None"""

    def state(self, accumulator: Any, value: Any) -> Any:
        """The type of state for accumulators and values of these types."""
        raise NotImplementedError

    def new(self, feature: Monoid) -> Any:
        """The state before the first event."""
        raise NotImplementedError

    def taker(self, feature: Monoid) -> Take:
        """The function that adds an event's value to a state."""
        raise NotImplementedError

    def read(self, feature: Monoid, state: Any, at: int) -> Any:
        """The accumulator as of `at`, which is never before the latest event; it must not be changed."""
        raise NotImplementedError

    def due(self, feature: Monoid, state: Any, at: int) -> int | None:
        """The first time after `at` when `read` may change without an event."""
        return None

    def bytes(self, accumulator: int, value: int) -> int:
        """Worst-case size of a state, from those of an accumulator and of a value."""
        raise NotImplementedError


class WholeState(Struct, Generic[A], array_like=True, gc=False):
    """One accumulator."""

    whole: A


@dataclass(frozen=True)
class Lifetime(Scope):
    """All events."""

    def state(self, accumulator: Any, value: Any) -> Any:
        return WholeState[accumulator]

    def new(self, feature: Monoid) -> WholeState[Any]:
        return WholeState(feature.zero())

    def taker(self, feature: Monoid) -> Take:
        add = feature.add

        def take(state: WholeState[Any], value: Any, signal: Signal) -> None:
            state.whole = add(state.whole, value)

        return take

    def read(self, feature: Monoid, state: WholeState[Any], at: int) -> Any:
        return state.whole

    def bytes(self, accumulator: int, value: int) -> int:
        return HEAD_BYTES + accumulator


class DecayState(Struct, Generic[A], array_like=True, gc=False):
    """An accumulator whose weights are relative to the tile `origin`; `newest` is the latest event's tile."""

    origin: int
    newest: int
    whole: A


@dataclass(frozen=True)
class Decay(Scope):
    """All events, their weights halved every `half_life` ms: forward decay (see operators/decay.py), with ages in whole
    tiles of an eighth of a half-life."""

    half_life: int
    decays: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within("a half-life", self.half_life, 365 * DAY)
        if self.half_life % STEPS:
            raise FeatureError(f"a half-life of {self.half_life} ms is not a multiple of {STEPS} ms")

    def state(self, accumulator: Any, value: Any) -> Any:
        return DecayState[accumulator]

    def new(self, feature: Monoid) -> DecayState[Any]:
        return DecayState(0, 0, feature.zero())

    def taker(self, feature: Monoid) -> Take:
        add, scale, tile = feature.add_weighted, feature.scale, self.half_life // STEPS

        def take(state: DecayState[Any], value: Any, signal: Signal) -> None:
            index = signal.timestamp // tile
            if not state.newest:
                state.origin = index
            if index > state.newest:
                state.newest = index
            age = (index - state.origin) / STEPS
            if age > REBASE_AFTER:
                state.whole = scale(state.whole, 2.0**-age)
                state.origin, age = index, 0.0
            state.whole = add(state.whole, value, 2.0**age)

        return take

    def read(self, feature: Monoid, state: DecayState[Any], at: int) -> Any:
        if feature.scale_free or not state.newest:
            return state.whole
        now = at // (self.half_life // STEPS)
        if now - state.newest > GONE * STEPS:
            return feature.zero()
        return feature.scale(state.whole, 2.0 ** ((state.origin - now) / STEPS))

    def due(self, feature: Monoid, state: DecayState[Any], at: int) -> int | None:
        tile = self.half_life // STEPS
        now = at // tile
        if feature.scale_free or not state.newest or now - state.newest > GONE * STEPS:
            return None
        return (now + 1) * tile

    def bytes(self, accumulator: int, value: int) -> int:
        return HEAD_BYTES + accumulator


class OpenSession(Struct, Generic[A], array_like=True, gc=False):
    """The current session and its accumulator; `last` is 0 before the first event."""

    id: str
    start: int
    last: int
    whole: A


@dataclass(frozen=True)
class Session(Scope):
    """The current session of a person: the event's session id decides, else a `gap` in ms between events of any kind.

    `gap` after its last event the session is over, and the value is that of no event. A late event of a session that
    has ended is left out (operators/membership.py).
    """

    gap: int
    needs_all_events: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within("a session's gap", self.gap, DAY)

    def state(self, accumulator: Any, value: Any) -> Any:
        return OpenSession[accumulator]

    def new(self, feature: Monoid) -> OpenSession[Any]:
        return OpenSession("", 0, 0, feature.zero())

    def taker(self, feature: Monoid) -> Take:
        add, zero, gap = feature.add, feature.zero, self.gap

        def take(state: OpenSession[Any], value: Any, signal: Signal) -> None:
            found = assign(state, signal.timestamp, signal.session_id, gap)
            if found is Membership.ENDED:
                return
            if found is Membership.NEW:
                state.whole = zero()
            if value is not None:
                state.whole = add(state.whole, value)

        return take

    def read(self, feature: Monoid, state: OpenSession[Any], at: int) -> Any:
        return state.whole if state.last and at <= state.last + self.gap else feature.zero()

    def due(self, feature: Monoid, state: OpenSession[Any], at: int) -> int | None:
        end = state.last + self.gap + 1
        return end if state.last and end > at else None

    def bytes(self, accumulator: int, value: int) -> int:
        return HEAD_BYTES + 48 + accumulator


class LastEventsState(Struct, Generic[A], array_like=True, gc=False):
    """(time, value) of the last k events, oldest first."""

    events: list[A]


@dataclass(frozen=True)
class LastEvents(Scope):
    """The last `k` events, by event time; of several at one instant, those of larger value."""

    k: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 10_000:
            raise FeatureError(f"the last {self.k} events; from 1 to 10,000 are possible")

    def __str__(self) -> str:
        return f"last {self.k} events"

    def state(self, accumulator: Any, value: Any) -> Any:
        return LastEventsState[tuple[int, value]]

    def new(self, feature: Monoid) -> LastEventsState[Any]:
        return LastEventsState([])

    def taker(self, feature: Monoid) -> Take:
        k = self.k

        def take(state: LastEventsState[Any], value: Any, signal: Signal) -> None:
            entry, events = (signal.timestamp, value), state.events
            if not events or entry >= events[-1]:
                events.append(entry)
            else:
                insort(events, entry)
            if len(events) > k:
                del events[0]

        return take

    def read(self, feature: Monoid, state: LastEventsState[Any], at: int) -> Any:
        acc = feature.zero()
        for _, value in state.events:
            acc = feature.add(acc, value)
        return acc

    def bytes(self, accumulator: int, value: int) -> int:
        return HEAD_BYTES + self.k * (10 + value)


LIFETIME = Lifetime()
