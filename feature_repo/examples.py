"""Examples beside declarations: events of one key, and what a feature says after them.

Example(user_views_1h, [Interaction("e1", "view", "u1", T, "i1")], value=1)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from operators.contract import Record, Space, Vector
from operators.features import EntityOperator, Feature
from operators.gate import Door, Gate
from operators.space import EmptySpace
from schemas.errors import EventError, FeatureError
from schemas.events import Impression, Interaction, Item, User

TOLERANCE = 1e-6
EXAMPLE_SPACE = "example"


@dataclass(frozen=True)
class Example:
    """Events in the order of their arrival, the key that is asked about (by default the first that they are about), and
    the value at `at`, epoch ms (by default at the latest event). A feature of several fields has a tuple of values."""

    feature: Feature
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
    """What came of an example: `problem` is "" where it holds."""

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


class _World:
    def __init__(self, example: Example) -> None:
        self.space: Space = _Space(example.space) if example.space else EmptySpace()
        self._items = {item.item_id: item for item in example.items}

    def item(self, item_id: str) -> Item | None:
        return self._items.get(item_id)


class _Kept:
    def __init__(self) -> None:
        self.watermark, self.did, self.shown, self.profile = 0, Door.new(), Door.new(), dict[str, Any]()


def within(*modules: ModuleType) -> Iterator[Example]:
    """The examples that modules hold at their top level, by themselves or in lists."""
    for module in modules:
        for value in vars(module).values():
            for part in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(part, Example):
                    yield part


def check(example: Example) -> Outcome:
    """Plays the example through the gate and the operator of its entity."""
    world, feature = _World(example), example.feature
    gate, operator = Gate(world), EntityOperator(feature.entity, [feature], world)
    kept: dict[str, _Kept] = {}
    key, state = example.key, None
    latest = 0
    for event in example.events:
        try:
            signals = gate.take(kept.setdefault(event.user_id, _Kept()), Record(event))
        except EventError as error:
            return Outcome(example, f"an event of the example is refused: {error}")
        for signal in signals:
            latest = max(latest, signal.timestamp)
            for found in feature.entity.keys_of(signal):
                key = key or found
                if found == key:
                    part = "".join(found[1:])
                    state = operator.new(part) if state is None else state
                    operator.on_event(part, state, Record(signal))
    if key is None:
        return Outcome(example, f"no event is about any {feature.entity.name}")
    part = "".join(key[1:])
    at = latest if example.at is None else example.at
    values = operator.row(key[0], part, operator.new(part) if state is None else state, at).values
    found_value: Any = values[0] if len(values) == 1 else values
    return Outcome(example, "" if _same(found_value, example.value) else f"is {found_value!r}, not {example.value!r}")


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, (int, float)) and isinstance(b, (int, float)) and abs(a - b) <= TOLERANCE
    return bool(a == b)
