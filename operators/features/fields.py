"""The fields of an event, with those of its item and user: `event.item.brand`, `event.properties.price`.

A field that does not exist is a FeatureError at its declaration, which names the most similar one.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from operators.contract import Signal
from operators.features.expressions import KINDS, Expression, Kind, nearest
from operators.gate import IMPRESSION
from schemas.errors import FeatureError
from schemas.properties import NUMERIC_PROPERTIES, TEXT_PROPERTIES


def _column(name: str, position: str, kind: Kind) -> Expression:
    """A field that is a column of the signal; an empty text is missing."""
    place = itemgetter(Signal._fields.index(position))
    always = name in ("event.event_type", "event.user_id", "event.timestamp")
    plain = always or kind in ("number", "int")
    return Expression(name, kind, place if plain else lambda s: place(s) or None, (name.removeprefix("event."),))


def _entry(name: str, position: str, key: str, kind: Kind) -> Expression:
    """An entry of a map that apps fill freely: a value of another type is missing."""
    place = itemgetter(Signal._fields.index(position))
    wanted = {"text": (str,), "texts": (list, tuple), "int": (int,), "number": (int, float), "flag": (bool,)}[kind]

    def read(s: Signal) -> Any:
        value = place(s).get(key)
        return value if type(value) in wanted and value not in ("", []) else None

    return Expression(name, kind, read, (name.removeprefix("event."),))


class Fields:
    """A group of fields: its attributes are expressions or further groups."""

    def __init__(self, path: str, known: Mapping[str, Expression | Fields]) -> None:
        self._path, self._known = path, dict(known)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = self._known.get(name)
        if found is None:
            open_ended = " (with_fields declares further ones)" if "properties" in self._path else ""
            raise FeatureError(f"{self._path} has no field {name!r}{nearest(name, self._known)}{open_ended}")
        return found

    def __dir__(self) -> list[str]:
        return sorted(self._known)


class Event(Fields):
    """The fields of an interaction, or of one shown item of an impression (its type is "impression")."""

    def __init__(
        self,
        properties: Mapping[str, type] | None = None,
        item: Mapping[str, type] | None = None,
        user: Mapping[str, type] | None = None,
    ) -> None:
        declared: dict[str, type] = dict.fromkeys(NUMERIC_PROPERTIES, float)
        declared |= dict.fromkeys((*TEXT_PROPERTIES, "model_version", "variant"), str)
        declared |= properties or {}
        self._declared = (properties or {}, item or {}, user or {})
        super().__init__(
            "event",
            {
                "event_type": _column("event.event_type", "event_type", "text"),
                "timestamp": _column("event.timestamp", "timestamp", "int"),
                "user_id": _column("event.user_id", "user_id", "text"),
                "item_id": _column("event.item_id", "item_id", "text"),
                "session_id": _column("event.session_id", "session_id", "text"),
                "request_id": _column("event.request_id", "request_id", "text"),
                "properties": _entries("event.properties", "properties", declared),
                "item": Fields(
                    "event.item",
                    {
                        "categories": _column("event.item.categories", "categories", "texts"),
                        "brand": _column("event.item.brand", "brand", "text"),
                        "price": _column("event.item.price", "price", "number"),
                        "created_at": _column("event.item.created_at", "created_at", "int"),
                        "attributes": _entries("event.item.attributes", "item_attributes", item or {}),
                    },
                ),
                "user": _entries("event.user", "user_attributes", {"country": str, "timezone": str, **(user or {})}),
            },
        )

    def with_fields(
        self,
        properties: Mapping[str, type] | None = None,
        item: Mapping[str, type] | None = None,
        user: Mapping[str, type] | None = None,
    ) -> Event:
        """The event with more properties, item attributes and user attributes: name → str, int, float, bool or, for
        items and users, list. Such as `event.with_fields(properties={"coupon": str}).properties.coupon`."""
        for given in (properties, item, user):
            for name, kind in (given or {}).items():
                if kind not in KINDS:
                    raise FeatureError(f"{name} is of type {kind!r}; one of str, int, float, bool and list is needed")
        p, i, u = self._declared
        return Event({**p, **(properties or {})}, {**i, **(item or {})}, {**u, **(user or {})})


def _entries(path: str, position: str, declared: Mapping[str, type]) -> Fields:
    return Fields(
        path, {name: _entry(f"{path}.{name}", position, name, KINDS[kind]) for name, kind in declared.items()}
    )


event = Event()
INTERACTIONS = event.event_type != IMPRESSION
"""all events but impressions"""
EVERYTHING = INTERACTIONS | (event.event_type == IMPRESSION)
