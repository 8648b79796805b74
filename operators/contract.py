"""The interfaces of operators and aggregations, and the records, signals and rows that pass through them.

An operator has the state of one key (a user, an item), divided into *parts* of one row of one feature view each: a user
has one part, an item has one overall and one for each region. It has no clock: `at` is always an argument, the wall
clock in production and event time in a replay.
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
    """One feature: its name in the view, type, value before any event, and meaning."""

    name: str
    dtype: Dtype
    default: Any
    doc: str = ""


NO_PROPERTIES: Mapping[str, Any] = {}


WITHDRAWN = "consent_withdrawn"
"""event type of the signal that drops the features of a person's sessions and requests"""


class Signal(NamedTuple):
    """An event as aggregations take it: flat, and enriched with the catalogue and the user's profile."""

    event_type: str
    """an interaction's event_type, or "impression" """
    timestamp: int
    item_id: str = ""
    region: str = ""
    partners: tuple[str, ...] | list[str] = ()
    """items of the same basket, where the signal is of one (operators/cooccurrence.py); of a picture, the segment and
    the picture (operators/picture_counts.py)"""
    contexts: tuple[int, ...] | list[int] = ()
    """places among CONTEXTS (operators/contexts.py) of an interaction"""
    session_id: str = ""
    categories: tuple[str, ...] | list[str] = ()
    brand: str = ""
    partition: int = -1
    offset: int = -1
    subject: User | Item | None = None
    """the profile or catalogue entry, where the record is one"""
    rating: float | None = None
    user_id: str = ""
    request_id: str = ""
    price: float | None = None
    """the item's, from the catalogue; the price paid is properties["price"]"""
    created_at: int | None = None
    """the item's, epoch ms"""
    properties: Mapping[str, Any] = NO_PROPERTIES
    item_attributes: Mapping[str, Any] = NO_PROPERTIES
    user_attributes: Mapping[str, Any] = NO_PROPERTIES
    context: tuple[float, ...] | list[float] = ()
    """what a linear bandit had of an arm (operators/bandit_counts.py)"""


NEVER = 2**53
"""epoch ms, after any broker's time"""


class Record(NamedTuple):
    """An event with its position in Kafka. Times are in epoch ms: when it `arrived` at the broker, and when the job had
    `taken` it, 0 where it does not come from the archive."""

    event: Interaction | Impression | User | Item | Signal
    topic: str = ""
    partition: int = -1
    offset: int = -1
    arrived: int = NEVER
    taken: int = 0


class Space(Protocol):
    """One embedding space: vectors of different spaces are never mixed."""

    @property
    def id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def vector(self, item_id: str) -> Vector | None:
        """Unit vector (dim,) of the item; None where the item and its content are unknown."""


class World(Protocol):
    """The catalogue and the embedding space that operators look up. The runner keeps them up to date."""

    def item(self, item_id: str) -> Item | None: ...

    @property
    def space(self) -> Space: ...


State = TypeVar("State")


Cells: TypeAlias = Mapping[str, bytes]
"""a state in named pieces, of which those that have not changed need not be stored again"""
NO_CELLS: Cells = {}


class Aggregation(Protocol[State]):
    """One group of features over the signals of one part."""

    @property
    def state(self) -> type[State]: ...

    @property
    def fields(self) -> tuple[Field, ...]: ...

    def new(self) -> State: ...

    def update(self, state: State, signal: Signal, world: World) -> None:
        """Applies the signal to the state, in place."""

    def values(self, state: State, at: int) -> tuple[Any, ...]:
        """One value for each field, as of `at`, which is never before the latest signal."""

    def due(self, state: State, at: int) -> int | None:
        """The first time after `at` when `values` changes without a signal, if any."""


def read_time(watermark: int, at: int) -> int:
    """The time as of which a part's row is read and its next change planned, epoch ms: `at`, or the part's watermark
    where that is later.

    A device's clock may be ahead of the job's. Such an event counts from when it is taken, and its window starts at its
    own time: a value is never read before the latest event in it. Every operator applies this in `row` and `due`,
    so that callers pass the time they have, whether that is a clock or the event time of a replay.
    """
    return at if at > watermark else watermark


class CellAggregation(Aggregation[State], Protocol[State]):
    """An aggregation whose state is encoded in parts: what it remembers for long is split off its *head* into cells, so
    that an event rewrites the head and few of the cells. Without a long memory the head is the whole state.
    """

    def update(self, state: State, signal: Signal, world: World) -> None:
        """As in `Aggregation`. Leave it out where signals change nothing: the aggregator then skips it."""
        return

    @property
    def head(self) -> type[Any]:
        """The type of the head, as msgspec reads it."""
        return self.state

    @property
    def cells(self) -> tuple[Field, ...]:
        """The cells that a row holds as well, for a server to continue from; names are the view's own."""
        return ()

    def split(self, state: State) -> tuple[Any, Cells]:
        """The head, and the cells by name. A cell that is the same as before should be the same object."""
        return state, NO_CELLS

    def join(self, head: Any, cells: Cells) -> State:
        """The state that `split` made these of. Raises StateError where they do not belong together."""
        return head

    def of_row(self, head: Any, row: Mapping[str, Any]) -> State:
        """The same from a row, field name → value: where the row's features say what a cell would, it has no cell."""
        return self.join(head, {cell.name: row[cell.name] for cell in self.cells})


class Operator(Protocol[State]):
    """A pure state machine that runs in Flink through one adapter, and over logs through one replay driver. Methods
    with a body are optional."""

    name: str
    applies_own_signals: bool = False
    """whether a record's signals also change parts of the record's own key"""
    owners: Collection[str] = ("",)
    """owners (`owner`) of its parts. A saved part of another owner belongs to nothing that is still declared"""

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        """The parts of the key that the record changes."""

    def new(self, part: str) -> State: ...

    def encode(self, part: str, state: State) -> Cells:
        """The whole state in cells. One that has not changed since the last call is mostly the same object, so that
        comparing two encodings costs little."""

    def decode(self, part: str, cells: Cells) -> State:
        """The state of these cells. Raises StateError where they are of another declaration, or broken."""

    def adopt(self, part: str, state: State, backfilled: Cells, saved: Cells | None) -> None:
        """Copies into `state` what the encoded state `backfilled` has and `saved` lacks. `saved` is the encoded state
        that `state` was restored from."""
        return

    def refuse(self, part: str, state: State, record: Record) -> bool:
        """Notes that `on_event` has refused the record, so that a row says how far the log has been read. Returns
        whether the row has changed."""
        return False

    def withholds(self, states: Mapping[str, Any]) -> bool:
        """Whether the key whose states these are is a person without consent, of whom nothing is to be kept."""
        return False

    def dropped(self, key: str, states: Mapping[str, Any], record: Record | None = None) -> Collection[str]:
        """The parts among `states`, those of the key, that are to be dropped with their rows since consent is missing.

        To be called after a profile has been applied, for a signal WITHDRAWN, which is not applied, and without a
        record once a key has been loaded.
        """
        return ()

    def on_event(self, part: str, state: State, record: Record) -> list[Signal] | None:
        """Applies the record to a part of its key, in place. Returns its signals, which go to other parts of the key
        and downstream to other keys (`listeners`); None where the part has not changed.

        Raises EventError, with the state unchanged, where the record is rejected.
        """

    def listeners(self, signal: Signal) -> Iterable[str]:
        """The keys of the downstream operator that a signal goes to, each once."""
        return ()

    def watermark(self, state: State) -> int:
        """The latest event time in the state, epoch ms."""

    def row(self, key: str, part: str, state: State, at: int, cells: Cells | None = None) -> Row:
        """The part's row in the online store as of `read_time(watermark, at)`; `cells` is the encoded state where the
        caller has it."""

    def on_timer(self, part: str, state: State, at: int) -> Sequence[LabelledExample]:
        """The examples that are complete by `at` or by what was applied, each returned once. To be called before
        `row`."""
        return ()

    def due(self, part: str, state: State, at: int) -> int | None:
        """The first time after `read_time(watermark, at)` when the row or what `on_timer` returns changes by itself."""

    def over(self, part: str, state: State, at: int) -> bool:
        """Whether the state equals a new one from `at` on, so that it may be dropped."""
        return False


MARK = "\0"
"""first character of the names of declared parts (features/declared.py), and of no other part"""


def owner(part: str) -> str:
    """The entity that a declared part belongs to; "" for the operator's own parts."""
    return part.split(MARK, 2)[1] if part.startswith(MARK) else ""


class Row(NamedTuple):
    """One whole row of one view. Values are absolute, so that writing it twice changes nothing. Without any, the row is
    deleted."""

    view: str
    key: tuple[str, ...]
    values: tuple[Any, ...]


NO_ROW = Row("", (), ())
"""returned by parts without a row; it is not written"""


@dataclass(frozen=True)
class View(Generic[State]):
    """A feature view: entities, and the aggregations that make its rows."""

    name: str
    entities: tuple[str, ...]
    aggregations: tuple[Aggregation[Any], ...]
    doc: str = ""
    extra: tuple[Field, ...] = ()
    """fields that the operator appends to those of the aggregations"""

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every field in the order of `Row.values`."""
        return tuple(f for a in self.aggregations for f in a.fields) + self.extra


Weights: TypeAlias = dict[str, float]
