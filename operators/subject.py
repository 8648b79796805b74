"""What is said about the person or the item themselves, rather than done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from operators.contract import Field, Signal, World
from schemas.events import Item, User


class ProfileState(Struct, array_like=True, gc=False):
    """The latest profile."""

    interests: list[str]
    country: str
    consent: bool


@dataclass(frozen=True)
class Profile:
    """The person's stated interests, country and consent."""

    state: type[ProfileState] = ProfileState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("interests", "string[]", [], "stated interests"),
            Field("country", "string", "", "attributes.country of the profile"),
            Field("consent", "bool", True, "whether personalization is allowed"),
        )

    def new(self) -> ProfileState:
        return ProfileState([], "", True)

    def update(self, state: ProfileState, signal: Signal, world: World) -> None:
        if isinstance(signal.subject, User):
            state.interests = list(signal.subject.interests)
            state.country = str(signal.subject.attributes.get("country", ""))
            state.consent = signal.subject.consent

    def values(self, state: ProfileState, at: int) -> tuple[Any, ...]:
        return list(state.interests), state.country, state.consent

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
class CatalogueEntry:
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
