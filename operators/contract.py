"""What an operator is, and what passes through it.

An operator owns the state of one key (a user, an item), cut into *parts* that each make one row
of one feature view: a user has one part, an item has one overall and one for each region. It has
no clock: `at` is always given, by the wall clock in production and by event time in a replay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from schemas.events import Impression, Interaction, Item, LabelledExample, User

Vector: TypeAlias = npt.NDArray[np.float32]
Dtype: TypeAlias = Literal[
    "int64", "float32", "float64", "string", "bool", "bytes", "int64[]", "float32[]", "string[]", "bool[]"
]


@dataclass(frozen=True, slots=True)
class Field:
    """One feature: its name in the view, type, value where nothing is known, and meaning."""

    name: str
    dtype: Dtype
    default: Any
    doc: str = ""


NOTHING: Mapping[str, Any] = {}


class Signal(NamedTuple):
    """An event as aggregations see it: flat, and enriched with the catalogue."""

    event_type: str
    """an interaction's event_type, or "impression" """
    timestamp: int
    item_id: str = ""
    region: str = ""
    session_id: str = ""
    categories: tuple[str, ...] | list[str] = ()
    brand: str = ""
    partition: int = -1
    offset: int = -1
    subject: User | Item | None = None
    """the profile or catalogue entry, where that is what arrived"""
    rating: float | None = None
    user_id: str = ""
    request_id: str = ""
    price: float | None = None
    """the item's, from the catalogue; what was paid is properties["price"]"""
    created_at: int | None = None
    """the item's, epoch ms"""
    properties: Mapping[str, Any] = NOTHING
    item_attributes: Mapping[str, Any] = NOTHING
    user_attributes: Mapping[str, Any] = NOTHING


class Record(NamedTuple):
    """An event with its place in Kafka. Times are in epoch ms: when it `arrived` at the broker, and when the job had
    `taken` it, where it is archived."""

    event: Interaction | Impression | User | Item | Signal
    topic: str = ""
    partition: int = -1
    offset: int = -1
    arrived: int = 2**53
    taken: int = 0


class Space(Protocol):
    """One embedding space: vectors of different spaces are never mixed."""

    @property
    def id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def vector(self, item_id: str) -> Vector | None:
        """Unit vector (dim,) of the item, or None where even its content is unknown."""

    def text_vector(self, text: str) -> Vector | None:
        """Unit vector (dim,) of what a text says, or None where all of its words are unknown."""


class World(Protocol):
    """What operators may look up, kept up to date by whoever runs them."""

    def item(self, item_id: str) -> Item | None: ...

    @property
    def space(self) -> Space: ...


State = TypeVar("State")


class Aggregation(Protocol[State]):
    """One family of features over the signals of one part."""

    @property
    def state(self) -> type[State]: ...

    @property
    def fields(self) -> tuple[Field, ...]: ...

    def new(self) -> State: ...

    def update(self, state: State, signal: Signal, world: World) -> None:
        """Takes the signal in, in place."""

    def values(self, state: State, at: int) -> tuple[Any, ...]:
        """One value a field, as of `at` (never before the latest signal)."""

    def due(self, state: State, at: int) -> int | None:
        """The first time after `at` when `values` changes without a signal, if any."""


class Operator(Protocol[State]):
    """Runs in Flink through one adapter and over logs through one replay driver. What few operators have a use for does
    nothing where they do not say otherwise."""

    name: str
    hears_itself: bool = False
    """whether what follows from a record changes parts of the same key"""
    owners: Collection[str] = ("",)
    """whose parts (`owner`) it has: one that was saved of another is of nothing that is still declared"""

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        """Which parts of the key the record changes."""

    def new(self, part: str) -> State: ...

    def encode(self, part: str, state: State) -> bytes: ...

    def decode(self, part: str, blob: bytes) -> State: ...

    def adopt(self, part: str, state: State, seed: bytes, saved: bytes | None) -> None:
        """Takes from the encoded state `seed` what the encoded state `saved` knew nothing of, into `state`, which is
        `saved` and what may have come since."""
        return

    def on_event(self, part: str, state: State, record: Record) -> list[Signal] | None:
        """Applies the record to a part of its key, in place. Returns what follows from it: signals, which concern
        other parts of the key and other keys (`listeners`); None where the part is as it was.

        Raises EventError, state untouched, where the record cannot be taken.
        """

    def listeners(self, signal: Signal) -> Iterable[str]:
        """The keys of the next operator that a signal of this one concerns, each once."""
        return ()

    def watermark(self, state: State) -> int:
        """The latest event time that the state has seen."""

    def row(self, key: str, part: str, state: State, at: int, encoded: bytes | None = None) -> Row:
        """What the online store holds for this part as of `at`; `encoded` is the state's, where it is known already."""

    def on_timer(self, part: str, state: State, at: int) -> Sequence[LabelledExample]:
        """What follows from its being `at`, and from what was applied: examples, each handed out once. Asked before the
        row is."""
        return ()

    def due(self, part: str, state: State, at: int) -> int | None:
        """The first time after `at` when the row, or what `on_timer` says, changes by itself."""

    def over(self, part: str, state: State, at: int) -> bool:
        """Whether the state says no more than a new one, from `at` on: it may be dropped."""
        return False


MARK = "\0"
"""begins the names of parts that are beside an operator's own (features/beside.py), and of no other"""


def owner(part: str) -> str:
    """The entity of whose features the part is, "" for the operator's own parts."""
    return part.split(MARK, 2)[1] if part.startswith(MARK) else ""


class Row(NamedTuple):
    """One whole row of one view: absolute values, so that writing it twice changes nothing."""

    view: str
    key: tuple[str, ...]
    values: tuple[Any, ...]


NO_ROW = Row("", (), ())
"""what a part says that makes none: nobody writes it"""


@dataclass(frozen=True)
class View(Generic[State]):
    """A feature view: whose rows, made of which aggregations."""

    name: str
    entities: tuple[str, ...]
    aggregations: tuple[Aggregation[Any], ...]
    doc: str = ""
    extra: tuple[Field, ...] = ()
    """fields that the operator itself adds after the aggregations'"""

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every field in the order of `Row.values`."""
        return tuple(f for a in self.aggregations for f in a.fields) + self.extra


Weights: TypeAlias = dict[str, float]
