"""Entities: the keys that features are grouped by, as expressions over an event."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

from operators.contract import Signal
from operators.features.expressions import Expression, check
from operators.features.fields import event
from operators.features.limits import within
from operators.time import DAY
from schemas.errors import FeatureError

JOINS = {"categories": "category", "interests": "interest"}
"""list-valued field → the name of one of its elements"""
SHORT_LIVED = ("session_id", "request_id")
"""fields with ever new values: the state of their entities would grow without limit"""
SHORT_LIFE = 2 * DAY
"""longer than the default allowed lateness, so that no late event finds its session's state dropped"""


@dataclass(frozen=True, eq=False)
class Entity:
    """A key of one field, or of two for a pair; a list-valued field gives one key for each element.

    An event that lacks one of the fields has no key of the entity, and its features ignore it.
    """

    name: str
    keys: tuple[Expression, ...]
    doc: str = ""
    life: int | None = None
    """how long after its latest event a key's state is dropped, ms; a later event is its first again. None keeps it for
    ever; SHORT_LIFE is the default where a key is one of SHORT_LIVED"""
    joins: tuple[str, ...] = field(init=False)
    """Feast's entities, one a key: event.user_id is "user", event.item.categories is "category" """

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise FeatureError(f"an entity's name is an identifier, and {self.name!r} is none")
        if not 1 <= len(self.keys) <= 2:
            raise FeatureError(f"{self.name} has {len(self.keys)} keys; an entity has one, or two for a pair")
        for key in self.keys:
            check(key, ("text", "texts"), f"a key of {self.name}")
            if self.life is None and key.fields[0] in SHORT_LIVED:
                object.__setattr__(self, "life", SHORT_LIFE)
        if self.life is not None:
            within(f"{self.name}: a life", self.life, 365 * DAY)
        last = [key.fields[0].split(".")[-1] for key in self.keys]
        object.__setattr__(self, "joins", tuple(JOINS.get(n, n.removesuffix("_id")) for n in last))

    @property
    def view(self) -> str:
        """The name of its feature view and of the service that reads it."""
        return f"{self.name}_features"

    @property
    def of_user(self) -> bool:
        """Whether the first key is the user's, by which the topics of events are keyed."""
        return self.keys[0].fields == ("user_id",)

    @property
    def short_lived(self) -> bool:
        """Whether the first key is the id of a session or request: of one person, and not the person's own."""
        return self.keys[0].fields[0] in SHORT_LIVED

    def __repr__(self) -> str:
        return f"Entity({self.name!r}, keys={self.keys})"

    def keys_of(self, signal: Signal) -> list[tuple[str, ...]]:
        """The event's keys of this entity, each once."""
        found: list[list[str]] = []
        for key in self.keys:
            value = key.read(signal)
            if value is None:
                return []
            found.append([value] if key.kind == "text" else list(dict.fromkeys(value)))
        if len(found) == 1:
            return [(value,) for value in found[0]]
        return list(product(*found))


user = Entity("user", (event.user_id,), "one person")
item = Entity("item", (event.item_id,), "one item")
session = Entity("session", (event.session_id,), "one session, by the id that the app gave it")
category = Entity("category", (event.item.categories,), "one category of items")
brand = Entity("brand", (event.item.brand,), "one brand")
region = Entity("region", (event.properties.region,), "one region, as events name it")
user_category = Entity("user_category", (event.user_id, event.item.categories), "one person and one category")
user_brand = Entity("user_brand", (event.user_id, event.item.brand), "one person and one brand")
item_region = Entity("item_region", (event.item_id, event.properties.region), "one item in one region")
