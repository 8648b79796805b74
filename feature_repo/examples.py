"""Examples next to declarations: a few events, and the expected value of a feature or cross after them.

Example(user_views_1h, [Interaction("e1", "view", "u1", T, "i1")], value=1)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from feature_repo.candidates import Candidates, Request
from feature_repo.columns import ItemColumns
from feature_repo.crosses import Cross
from feature_repo.item_vectors import HeldVectors
from feature_repo.reads import Reads
from feature_repo.value import Value
from operators.contract import Record, Space, Vector
from operators.features import EntityOperator, Feature
from operators.gate import Admissions, Gate
from operators.space import EmptySpace
from schemas.errors import EventError, FeatureError
from schemas.events import Impression, Interaction, Item, User

TOLERANCE = 1e-6
EXAMPLE_SPACE = "example"


@dataclass(frozen=True)
class Example:
    """Events in the order of their arrival, the key whose value is checked (by default the first that they concern),
    and the value at `at`, epoch ms (by default at the latest event). A feature of several fields has a tuple of values.
    The key of a cross is a person and a candidate (by default those of the first event)."""

    feature: Feature | Cross
    events: Sequence[Interaction | Impression | User]
    value: Any
    at: int | None = None
    key: tuple[str, ...] | None = None
    items: Sequence[Item] = ()
    """the catalogue"""
    space: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """item id → its vector, scaled to length 1, in a space of the id "example"; without it no bundle is there yet"""
    where: str = field(init=False)
    """the example's "file:line" """

    def __post_init__(self) -> None:
        caller = sys._getframe(2)  # beyond the __init__ that the dataclass makes
        object.__setattr__(self, "where", f"{caller.f_code.co_filename}:{caller.f_lineno}")
        vectors = self.space.values()
        if len({len(vector) for vector in vectors}) > 1 or not all(map(any, vectors)):
            raise FeatureError("the vectors of an example's space are of one length, and none is zero", self.where)


class Outcome(NamedTuple):
    """The result of an example: `problem` is "" where it holds."""

    example: Example
    problem: str


class _Space:
    """A few vectors, given by hand."""

    id = EXAMPLE_SPACE

    def __init__(self, vectors: Mapping[str, Sequence[float]]) -> None:
        given = {item_id: np.asarray(vector, np.float32) for item_id, vector in vectors.items()}
        self.dim = len(next(iter(given.values())))
        self._vectors = {item_id: vector / np.linalg.norm(vector) for item_id, vector in given.items()}

    def vector(self, item_id: str) -> Vector | None:
        return self._vectors.get(item_id)


class _ExampleWorld:
    def __init__(self, example: Example) -> None:
        self.space: Space = _Space(example.space) if example.space else EmptySpace()
        self._items = {item.item_id: item for item in example.items}

    def item(self, item_id: str) -> Item | None:
        return self._items.get(item_id)


class _GateState:
    def __init__(self) -> None:
        self.watermark, self.did, self.shown, self.profile = 0, Admissions(), Admissions(), dict[str, Any]()


def within(*modules: ModuleType) -> Iterator[Example]:
    """The examples at the top level of modules, alone or in lists."""
    for module in modules:
        for value in vars(module).values():
            for part in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(part, Example):
                    yield part


def check(example: Example) -> Outcome:
    """Runs the example through admission and the operator of its entity; for a cross, those of all features it
    reads."""
    try:
        found = _cross(example) if isinstance(example.feature, Cross) else _feature(example, example.feature)
    except EventError as error:
        return Outcome(example, f"an event of the example is refused: {error}")
    except _Nobody as error:
        return Outcome(example, str(error))
    return Outcome(example, "" if _same(found, example.value) else f"is {found!r}, not {example.value!r}")


def _feature(example: Example, feature: Feature) -> Any:
    played = _Played(feature, example)
    key = example.key or next(iter(played.states), None)
    if key is None:
        raise _Nobody(f"no event is about any {feature.entity.name}")
    values = played.values(key)
    return values[0] if len(values) == 1 else values


def _cross(example: Example) -> float:
    cross: Any = example.feature
    if example.key is None and not example.events:
        raise _Nobody("no event says whose example it is: give it a key")
    first = example.events[0] if example.events else None
    user_id, item_id = example.key or (first.user_id, getattr(first, "item_id", None) or "")  # type: ignore[union-attr]
    played = {value.feature: _Played(value.feature, example) for value in cross.values}

    def read(value: Value, *key: str) -> Any:
        names = [field.name for field in value.feature.fields]
        return played[value.feature].values(key)[names.index(value.field.name)]

    reads = Reads.of([cross])
    space = _ExampleWorld(example).space
    columns = ItemColumns(1, reads)
    vectors = np.zeros((len(example.items), space.dim), np.float32)
    for item in example.items:
        row, vector = columns.put_item(item), space.vector(item.item_id)
        if vector is not None:
            vectors[row] = vector
    columns.put_values(item_id, {value.field.name: read(value, item_id) for value in reads.item})

    def pairs(view: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        return {name: {v.field.name: read(v, user_id, name) for v in reads.pairs[view]} for name in names}

    at = example.at or max((event.timestamp for event in example.events if not isinstance(event, User)), default=0)
    request = Request(
        {value.key: read(value, user_id) for value in reads.user},
        columns,
        at,
        space=HeldVectors(space.id, vectors),
        pairs=pairs,
    )
    return float(cross(Candidates(request, columns.rows([item_id])))[0])


class _Nobody(Exception):
    """No event of the example has the entity's key."""


class _Played:
    """The value of one feature for each key after the example's events. Raises EventError where one is refused."""

    def __init__(self, feature: Feature, example: Example) -> None:
        world = _ExampleWorld(example)
        self._operator = EntityOperator(feature.entity, [feature], world)
        self.states: dict[tuple[str, ...], Any] = {}
        self._at = example.at
        self._latest = 0
        gate, kept = Gate(world), dict[str, _GateState]()
        for event in example.events:
            for signal in gate.take(kept.setdefault(event.user_id, _GateState()), Record(event)):
                self._latest = max(self._latest, signal.timestamp)
                for key in feature.entity.keys_of(signal):
                    part = "".join(key[1:])
                    state = self.states.get(key)
                    if state is None:
                        state = self.states[key] = self._operator.new(part)
                    self._operator.on_event(part, state, Record(signal))

    def values(self, key: tuple[str, ...]) -> tuple[Any, ...]:
        """One value a field; the defaults for a key without events."""
        part = "".join(key[1:])
        state = self.states.get(key)
        at = self._latest if self._at is None else self._at
        return self._operator.row(key[0], part, self._operator.new(part) if state is None else state, at).values


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, (int, float)) and isinstance(b, (int, float)) and abs(a - b) <= TOLERANCE
    return bool(a == b)
