"""The latest profile of a person, and the latest catalogue entry of an item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from operators.contract import CellAggregation, Cells, Field, Record, Signal, World
from schemas.errors import StateError
from schemas.events import Item, User


class ProfileState(Struct, array_like=True, gc=False):
    """The latest profile, and its place in Kafka; `arrived` is the broker's time, epoch ms."""

    interests: list[str]
    country: str
    timezone: str
    consent: bool
    given: bool
    partition: int
    offset: int
    arrived: int


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ProfileState).decode


@dataclass(frozen=True)
class Profile(CellAggregation[ProfileState]):
    """The person's stated interests, country, time zone and consent, and which of their profiles said so."""

    state: type[ProfileState] = ProfileState
    head: Any = None

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("interests", "string[]", [], "stated interests"),
            Field("country", "string", "", "attributes.country of the profile"),
            Field("timezone", "string", "", "attributes.timezone of the profile, an IANA name"),
            Field("consent", "bool", True, "whether personalization is allowed"),
            Field("consent_given", "bool", False, "whether the last profile that states consent gives it"),
            Field("profile_partition", "int64", -1, "partition of that profile in Kafka"),
            Field("profile_offset", "int64", -1, "its offset"),
            Field("profile_arrived", "int64", 0, "when the broker had it, epoch ms"),
        )

    def new(self) -> ProfileState:
        return ProfileState([], "", "", True, False, -1, -1, 0)

    def split(self, state: ProfileState) -> tuple[None, Cells]:
        return None, {"profile": _pack(state)}

    def join(self, head: None, cells: Cells) -> ProfileState:
        try:
            return _unpack(cells["profile"])
        except (KeyError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"profile: {error}") from None

    def of_row(self, head: None, row: Mapping[str, Any]) -> ProfileState:
        return ProfileState(*(row[field.name] for field in self.fields))

    def take(self, state: ProfileState, record: Record, consent: bool, given: bool) -> None:
        """Takes the record of a profile in, instead of an earlier one; `consent` and `given` are the fields of those
        names from then on. Without consent nothing of the profile is kept but its place."""
        user = record.event
        if isinstance(user, User):
            state.interests = list(user.interests) if consent else []
            state.country = str(user.attributes.get("country", "")) if consent else ""
            state.timezone = str(user.attributes.get("timezone", "")) if consent else ""
            state.consent, state.given = consent, given
            state.partition, state.offset, state.arrived = record.partition, record.offset, record.arrived

    def values(self, state: ProfileState, at: int) -> tuple[Any, ...]:
        s = state
        return list(s.interests), s.country, s.timezone, s.consent, s.given, s.partition, s.offset, s.arrived

    def due(self, state: ProfileState, at: int) -> int | None:
        return None


class CatalogueEntryState(Struct, array_like=True, gc=False):
    """The latest catalogue entry's fields that features use."""

    title: str
    categories: list[str]
    brand: str
    price: float
    created_at: int
    available: bool


@dataclass(frozen=True)
class CatalogueEntry(CellAggregation[CatalogueEntryState]):
    """The item's entry in the catalogue."""

    state: type[CatalogueEntryState] = CatalogueEntryState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("title", "string", "", ""),
            Field("categories", "string[]", [], ""),
            Field("brand", "string", "", ""),
            Field("price", "float64", -1.0, "-1 where none is known"),
            Field("created_at", "int64", 0, "epoch ms; 0 where unknown"),
            Field("available", "bool", True, ""),
        )

    def new(self) -> CatalogueEntryState:
        return CatalogueEntryState("", [], "", -1.0, 0, True)

    def update(self, state: CatalogueEntryState, signal: Signal, world: World) -> None:
        item = signal.subject
        if isinstance(item, Item):
            state.title, state.categories = item.title, list(item.categories)
            state.brand = item.brand or ""
            state.price = -1.0 if item.price is None else float(item.price)
            state.created_at, state.available = item.created_at or 0, item.available

    def values(self, state: CatalogueEntryState, at: int) -> tuple[Any, ...]:
        s = state
        return s.title, list(s.categories), s.brand, s.price, s.created_at, s.available

    def due(self, state: CatalogueEntryState, at: int) -> int | None:
        return None
