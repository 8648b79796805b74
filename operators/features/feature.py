"""Features: declarations that are aggregations (contract.py), each a monoid under a scope.

A family (Count, Mean, TopK, …) defines an accumulator and how values enter it and merge, like Chronon's aggregators
(prepare, update, merge, finalize); the scope defines which events' values are aggregated together:

    read      event → value, or None where the event has none       of the signal alone
    zero      → accumulator of no event
    add       accumulator, value → accumulator                      may change the one it is given
    merge     accumulator, accumulator → accumulator                may change the first, never the second
    finalize  accumulator, time → one value a field                 changes nothing

The results of `add` and `merge` do not depend on the order of events, except for a float's last digit and a sketch's
error. Under decay a family also needs `add_weighted` and `scale`, and declares them by `weighted`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, NamedTuple

from operators.contract import Dtype, Field, Signal, World
from operators.features.entity import Entity
from operators.features.expressions import Expression, Kind, check
from operators.features.fields import INTERACTIONS
from operators.features.monoid import Take
from operators.features.scopes import LIFETIME, Scope
from operators.features.windows import Sliding
from operators.history import hash64
from schemas.errors import FeatureError, declared_at

NAME = re.compile(r"[a-z][a-z0-9_]*")
TEXT_BYTES = 40
"""length of a typical id; the contract allows 256 characters"""

DTYPES: dict[Kind, Dtype] = {"text": "string", "int": "int64", "number": "float64", "flag": "bool"}
LIST_DTYPES: dict[Kind, Dtype] = {
    "text": "string[]", "texts": "string[]", "int": "int64[]", "number": "float32[]", "flag": "bool[]",
}  # fmt: skip
TYPES: dict[Kind, Any] = {"text": str, "int": int, "number": float, "flag": bool}
EMPTY: dict[Kind, Any] = {"text": "", "int": 0, "number": 0.0, "flag": False}


class Column(NamedTuple):
    """One output field of a family: suffix to the feature's name, type and meaning."""

    suffix: str
    dtype: Dtype
    doc: str


@dataclass(frozen=True, eq=False)
class Feature:
    """A declaration: entity, filter of events and scope.

    `window` is a duration in ms (a sliding window) or a Scope; without one, all events count. Features
    compare by identity, and their declarations by `state_key`.
    """

    name: str
    _: KW_ONLY
    entity: Entity
    events: Expression = INTERACTIONS
    window: int | Scope = LIFETIME
    doc: str = ""
    replaces: Feature | None = None
    """the feature that this one replaces in the entity's service once it is promoted; until then both are computed"""
    scope: Scope = field(init=False, repr=False)
    where: str = field(init=False, repr=False)
    """the declaration's "file:line" """
    state_key: int = field(init=False, repr=False)
    """hash of everything that the state depends on. Features with the same key share a state, and a saved state is
    restored as long as a feature with its key is declared, whatever else is added, removed or renamed"""
    reads: Expression = field(init=False, repr=False)
    """the event's value, as the family aggregates it"""

    def __post_init__(self) -> None:
        self._set("where", declared_at())
        if not NAME.fullmatch(self.name):
            raise FeatureError(f"a feature's name is of a-z, 0-9 and _, and {self.name!r} is not")
        if not isinstance(self.entity, Entity):
            raise FeatureError(f"{self.name}: entity is {self.entity!r}, which is none")
        if self.replaces is not None and getattr(self.replaces, "entity", None) is not self.entity:
            raise FeatureError(f"{self.name} replaces {self.replaces!r}, which is no feature of {self.entity.name}")
        self._set("scope", self.window if isinstance(self.window, Scope) else Sliding(self.window))
        self._set("reads", self.value())
        check(self.events, ("flag",), f"{self.name}: events")
        self.check()
        ends = () if self.entity.life is None else (self.entity.life,)
        declared = (self.entity.keys, type(self).family(), self.layout(), self.scope, self.events, self.reads, *ends)
        self._set("state_key", hash64(repr(declared)))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @classmethod
    def family(cls) -> str:
        """The name of the state's layout; families with the same accumulators share it."""
        return cls.__name__

    def layout(self) -> tuple[Any, ...]:
        """Parameters that the state depends on, other than filter, value and scope."""
        return ()

    def value(self) -> Expression:
        """The expression of an event's value. Raises FeatureError where it is of the wrong type."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises FeatureError where the declaration is not valid."""

    # -- the contract's Aggregation ------------------------------------------------------------

    @property
    def state(self) -> Any:
        """The state's type."""
        raise NotImplementedError

    @property
    def fields(self) -> tuple[Field, ...]:
        raise NotImplementedError

    def new(self) -> Any:
        raise NotImplementedError

    def taker(self, world: World) -> Take:
        """The function that adds a value to a state; where the scope needs all events, those rejected have None."""
        raise NotImplementedError

    def read(self, state: Any, at: int) -> Any:
        """The accumulator as of `at`. Without decay it is the same for all features of one state key."""
        raise NotImplementedError

    def finalize(self, acc: Any, at: int) -> tuple[Any, ...]:
        raise NotImplementedError

    def due(self, state: Any, at: int) -> int | None:
        raise NotImplementedError

    def update(self, state: Any, signal: Signal, world: World) -> None:
        value = self.reads.read(signal) if self.events.read(signal) else None
        if value is not None or self.scope.needs_all_events:
            self.taker(world)(state, value, signal)

    def values(self, state: Any, at: int) -> tuple[Any, ...]:
        return self.finalize(self.read(state, at), at)

    def state_bytes(self, text: int = TEXT_BYTES) -> int:
        """Worst-case size of one key's state as it is saved, where a text takes `text` bytes."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Composed(Feature):
    """A monoid under a scope. Families override the methods below."""

    weighted: ClassVar[bool] = False
    """whether values may have weights, as decay needs"""
    scale_free: ClassVar[bool] = False
    """whether the fields are the same where all weights change by one factor, so that decay needs no timers"""
    ages: ClassVar[bool] = False
    """whether the fields change with time while the accumulator does not (`changes` returns when)"""
    take: Take = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scope.decays and not self.weighted:
            raise FeatureError(
                f"{self.name}: {type(self).__name__} has no weights that could decay; give it a window instead"
            )
        if self.scope.needs_all_events and not any("user_id" in key.fields for key in self.entity.keys):
            raise FeatureError(
                f"{self.name}: a session is one person's, and a {self.entity.name} has many at once; "
                "the scope needs an entity keyed by user_id (of entity=session, a lifetime is the session)"
            )
        names = Counter(f"{self.name}{column.suffix}" for column in self.columns())
        twice = [name for name, n in names.items() if n > 1]
        if twice:
            raise FeatureError(f"{self.name}: two of its fields would be called {twice[0]}; take one of them out")
        self._set("take", self.scope.taker(self))

    def accumulator(self) -> Any:
        """The accumulator's type."""
        raise NotImplementedError

    def value_type(self) -> Any:
        """The type of the values of `reads`, as LastEvents stores them."""
        return TYPES[self.reads.kind]

    def columns(self) -> Sequence[Column]:
        raise NotImplementedError

    def zero(self) -> Any:
        raise NotImplementedError

    def add(self, acc: Any, value: Any) -> Any:
        return self.add_weighted(acc, value, 1)

    def add_weighted(self, acc: Any, value: Any, weight: float) -> Any:
        raise NotImplementedError

    def scale(self, acc: Any, factor: float) -> Any:
        """A new accumulator in which every value counts `factor` times as much."""
        raise NotImplementedError

    def merge(self, acc: Any, other: Any) -> Any:
        raise NotImplementedError

    def merged(self, found: list[Any]) -> Any:
        """All accumulators as one; they are left as they are."""
        if len(found) == 1:
            return found[0]
        acc = self.zero()
        for other in found:
            acc = self.merge(acc, other)
        return acc

    def changes(self, acc: Any, at: int) -> int | None:
        """The first time after `at` when `finalize` changes though the accumulator does not."""
        return None

    def accumulator_bytes(self, text: int) -> int:
        """Worst-case size of one accumulator, encoded."""
        raise NotImplementedError

    def value_bytes(self, text: int) -> int:
        """Worst-case size of one value, encoded."""
        return {"text": text + 2, "texts": 64 * (text + 2) + 3}.get(self.reads.kind, 9)

    @property
    def state(self) -> Any:
        return self.scope.state(self.accumulator(), self.value_type())

    @property
    def fields(self) -> tuple[Field, ...]:
        defaults = self.finalize(self.zero(), 0)
        return tuple(
            Field(f"{self.name}{column.suffix}", column.dtype, default, self.doc or column.doc)
            for column, default in zip(self.columns(), defaults, strict=True)
        )

    def new(self) -> Any:
        return self.scope.new(self)

    def taker(self, world: World) -> Take:
        return self.take

    def read(self, state: Any, at: int) -> Any:
        return self.scope.read(self, state, at)

    def due(self, state: Any, at: int) -> int | None:
        by_scope = self.scope.due(self, state, at)
        if not self.ages:
            return by_scope
        by_value = self.changes(self.read(state, at), at)
        if by_scope is None or by_value is None:
            return by_value if by_scope is None else by_scope
        return min(by_scope, by_value)

    def state_bytes(self, text: int = TEXT_BYTES) -> int:
        return self.scope.bytes(self.accumulator_bytes(text), self.value_bytes(text))


def each(of: Expression) -> Expression:
    """The expression's texts as a tuple, whether it is one text or a list: for families over names."""
    read = of.read
    if of.kind == "texts":
        return Expression(f"each({of})", "texts", lambda s: None if (v := read(s)) is None else tuple(v), of.fields)
    return Expression(f"each({of})", "texts", lambda s: None if (v := read(s)) is None else (v,), of.fields)


def timed(read: Callable[[Signal], Any], of: Expression) -> Expression:
    """(time, value) of the event: for families that depend on the order of events."""
    return Expression(
        f"timed({of})",
        of.kind,
        lambda s: None if (v := read(s)) is None else (s.timestamp, v),
        ("timestamp", *of.fields),
    )
