"""One field of a declared feature, as crosses read it."""

from __future__ import annotations

from typing import NamedTuple

from operators.contract import Field
from operators.features import Entity, Feature

ANYTHING = ""
"""stands for any second key of a pair"""
USER = ("user_id",)
ITEM = ("item_id",)
USER_AND = ("user_id", ANYTHING)


class Value(NamedTuple):
    """A field of a declared feature, as a cross reads it."""

    feature: Feature
    field: Field

    @property
    def entity(self) -> Entity:
        return self.feature.entity

    @property
    def key(self) -> str:
        """Its unique name, view:field as in Feast."""
        return f"{self.entity.view}:{self.field.name}"

    @property
    def second(self) -> str:
        """The item field of a pair of the person and an item field; "" for other entities."""
        keys = self.entity.keys
        return str(keys[1]).removeprefix("event.") if len(keys) == 2 else ""
