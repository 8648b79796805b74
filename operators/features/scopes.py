"""Which events a value is made of: scopes arrange a feature's accumulators in time.

    Lifetime   ├──────────────────────────────────────────┤  all there ever were
    Tumbling                   ├────────┤┈┈┈┈┈┈┈┈┤          the current (or the last whole) window, aligned to the epoch
    Sliding                         ├─────────────────────┤  the last W, in steps of a tile
    Session                                  ├────────────┤  the current session
    Decay           ▁▁▁▁▁▂▂▂▂▂▃▃▃▃▃▄▄▄▄▄▅▅▅▅▅▆▆▆▆▆▇▇▇▇▇█████  all, each half as much after every half-life
    LastEvents                              ├ ×  × ×    × ┤  the last k events

Windows and decay are exact at the resolution of their tiles: an event counts from the start of its tile, and time
passes in whole tiles. A scope knows a feature by `zero`, `add`, `merge` and, to decay, `scale` (see feature.py).
Windows are in windows.py.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from msgspec import Struct

from operators.contract import Signal
from operators.decay import REBASE_AFTER
from operators.time import DAY, MINUTE, label
from schemas.errors import FeatureError

if TYPE_CHECKING:
    from operators.features.feature import Composed

A = TypeVar("A")
Take: TypeAlias = Callable[[Any, Any, Signal], None]
"""Takes an event's value into a state, in place."""

SHORTEST, LONGEST = MINUTE, 90 * DAY
STEPS = 8
"""tiles in a half-life: a decayed value is within a factor of 2^(1/8), 9 %, of that of continuous decay"""
GONE = 16
"""half-lives after the last event when a decayed amount is nothing, so that its timers end"""
HEAD_BYTES = 24
"""a state's own numbers, encoded"""


class Scope:
    """How one feature's events are arranged."""

    def __str__(self) -> str:
        """For people: "sliding 1h", "last_events 5"."""
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(self).__name__).lstrip("_")
        return " ".join([name, *(label(length) for length in list(vars(self).values())[:1])])

    decays: ClassVar[bool] = False
    hears_all: ClassVar[bool] = False
    """whether events that the feature's filter refuses matter too (they are taken with the value None)"""

    def state(self, accumulator: Any, value: Any) -> Any:
        """The type of state for accumulators and values of these types."""
        raise NotImplementedError

    def new(self, feature: Composed) -> Any:
        raise NotImplementedError

    def taker(self, feature: Composed) -> Take:
        raise NotImplementedError

    def read(self, feature: Composed, state: Any, at: int) -> Any:
        """The accumulator as of `at` (never before the latest event); it is not to be changed."""
        raise NotImplementedError

    def due(self, feature: Composed, state: Any, at: int) -> int | None:
        """The first time after `at` when `read` may change without an event."""
        return None

    def bytes(self, accumulator: int, value: int) -> int:
        """Worst-case size of a state, from those of an accumulator and of a value."""
        raise NotImplementedError


def within(what: str, length: int, longest: int = LONGEST) -> None:
    if not isinstance(length, int) or not SHORTEST <= length <= longest:
        raise FeatureError(f"{what} of {length!r} ms; from 1 minute to {longest // DAY} days is possible")


class Whole(Struct, Generic[A], array_like=True, gc=False):
    """One accumulator."""

    whole: A


@dataclass(frozen=True)
class Lifetime(Scope):
    """Every event there ever was."""

    def state(self, accumulator: Any, value: Any) -> Any:
        return Whole[accumulator]

    def new(self, feature: Composed) -> Whole[Any]:
        return Whole(feature.zero())

    def taker(self, feature: Composed) -> Take:
        add = feature.add

        def take(state: Whole[Any], value: Any, signal: Signal) -> None:
            state.whole = add(state.whole, value)

        return take

    def read(self, feature: Composed, state: Whole[Any], at: int) -> Any:
        return state.whole

    def bytes(self, accumulator: int, value: int) -> int:
        return HEAD_BYTES + accumulator


class Decaying(Struct, Generic[A], array_like=True, gc=False):
    """An accumulator whose weights are relative to the tile `origin`; `newest` is the latest event's tile."""

    origin: int
    newest: int
    whole: A


@dataclass(frozen=True)
class Decay(Scope):
    """Every event, weighing half as much after every `half_life` ms: forward decay (see operators/decay.py), with
    ages in whole tiles of an eighth of a half-life."""

    half_life: int
    decays: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within("a half-life", self.half_life, 365 * DAY)
        if self.half_life % STEPS:
            raise FeatureError(f"a half-life of {self.half_life} ms is not a multiple of {STEPS} ms")

    def state(self, accumulator: Any, value: Any) -> Any:
        return Decaying[accumulator]

    def new(self, feature: Composed) -> Decaying[Any]:
        return Decaying(0, 0, feature.zero())

    def taker(self, feature: Composed) -> Take:
        add, scale, tile = feature.add_weighted, feature.scale, self.half_life // STEPS

        def take(state: Decaying[Any], value: Any, signal: Signal) -> None:
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

    def read(self, feature: Composed, state: Decaying[Any], at: int) -> Any:
        if feature.scale_free or not state.newest:
            return state.whole
        now = at // (self.half_life // STEPS)
        if now - state.newest > GONE * STEPS:
            return feature.zero()
        return feature.scale(state.whole, 2.0 ** ((state.origin - now) / STEPS))

    def due(self, feature: Composed, state: Decaying[Any], at: int) -> int | None:
        tile = self.half_life // STEPS
        now = at // tile
        if feature.scale_free or not state.newest or now - state.newest > GONE * STEPS:
            return None
        return (now + 1) * tile

    def bytes(self, accumulator: int, value: int) -> int:
        return HEAD_BYTES + accumulator


class Open(Struct, Generic[A], array_like=True, gc=False):
    """The current session and its accumulator; `last` is 0 where there was none."""

    id: str
    start: int
    last: int
    whole: A


@dataclass(frozen=True)
class Session(Scope):
    """The current session of a person: the event's session id decides, else a `gap` in ms between events of any kind.

    `gap` after its last event the session is over, and the value that of no event. A late event of a session that has
    ended is left out: which session an event is of is decided when it arrives.
    """

    gap: int
    hears_all: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within("a session's gap", self.gap, DAY)

    def state(self, accumulator: Any, value: Any) -> Any:
        return Open[accumulator]

    def new(self, feature: Composed) -> Open[Any]:
        return Open("", 0, 0, feature.zero())

    def taker(self, feature: Composed) -> Take:
        add, zero, gap = feature.add, feature.zero, self.gap

        def take(state: Open[Any], value: Any, signal: Signal) -> None:
            at, given = signal.timestamp, signal.session_id
            same = given == state.id if given else at <= state.last + gap
            if not state.last or (not same and at > state.last):
                state.id = given or f"s-{at}"
                state.start = state.last = at
                state.whole = zero()
            elif not same or (not given and at < state.start):
                return
            if at > state.last:
                state.last = at
            elif at < state.start:
                state.start = at
            if value is not None:
                state.whole = add(state.whole, value)

        return take

    def read(self, feature: Composed, state: Open[Any], at: int) -> Any:
        return state.whole if state.last and at <= state.last + self.gap else feature.zero()

    def due(self, feature: Composed, state: Open[Any], at: int) -> int | None:
        end = state.last + self.gap + 1
        return end if state.last and end > at else None

    def bytes(self, accumulator: int, value: int) -> int:
        return HEAD_BYTES + 48 + accumulator


class Kept(Struct, Generic[A], array_like=True, gc=False):
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
        return Kept[tuple[int, value]]

    def new(self, feature: Composed) -> Kept[Any]:
        return Kept([])

    def taker(self, feature: Composed) -> Take:
        k = self.k

        def take(state: Kept[Any], value: Any, signal: Signal) -> None:
            entry, events = (signal.timestamp, value), state.events
            if not events or entry >= events[-1]:
                events.append(entry)
            else:
                insort(events, entry)
            if len(events) > k:
                del events[0]

        return take

    def read(self, feature: Composed, state: Kept[Any], at: int) -> Any:
        acc = feature.zero()
        for _, value in state.events:
            acc = feature.add(acc, value)
        return acc

    def bytes(self, accumulator: int, value: int) -> int:
        return HEAD_BYTES + self.k * (10 + value)


LIFETIME = Lifetime()
