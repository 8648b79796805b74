"""All declarations as one value: features by entity, and crosses; views and operators derive from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from feature_repo.crosses import Cross
from feature_repo.reads import Reads
from operators.attribution import Attribution
from operators.contract import Operator, View, World
from operators.features import Entity, EntityOperator, Feature, WithFeatures


@dataclass(frozen=True)
class Repository:
    """Every declared feature, by entity, and every cross, in the order of declaration."""

    features: Mapping[Entity, tuple[Feature, ...]] = field(default_factory=dict)
    crosses: tuple[Cross, ...] = ()
    """declared inputs of the ranker"""

    @property
    def views(self) -> dict[str, View[Any]]:
        """By name: one view an entity, its fields in the order of `Row.values`."""
        return {view.name: view for view in map(self.view, self.features)}

    def view(self, entity: Entity) -> View[Any]:
        """The view of an entity's features."""
        return View(entity.view, entity.joins, self.features[entity], entity.doc)

    @property
    def others(self) -> tuple[Entity, ...]:
        """The entities whose first key is not the user's."""
        return tuple(entity for entity in self.features if not entity.of_user)

    def in_service(self, entity: Entity, promoted: Collection[str]) -> tuple[Feature, ...]:
        """The features that the entity's service returns: where some replace one another, the promoted one.

        `promoted` are full names, entity.name.
        """
        found = self.features[entity]
        chosen = {f for f in found if full_name(f) in promoted}
        replaced = {f.replaces for f in chosen}
        return tuple(f for f in found if (f.replaces is None or f in chosen) and f not in replaced)

    @property
    def reads(self) -> Reads:
        """The inputs of all crosses."""
        return Reads.of(self.crosses)

    def for_crosses(self) -> Repository:
        """This repository with the crosses, and only the features that they read."""
        read = {value.feature for cross in self.crosses for value in cross.values}
        kept = {e: tuple(f for f in found if f in read) for e, found in self.features.items()}
        return Repository({entity: found for entity, found in kept.items() if found}, self.crosses)

    def subset(self, state_keys: Collection[int]) -> Repository:
        """The features with these state keys, without crosses."""
        kept = {e: tuple(f for f in found if f.state_key in state_keys) for e, found in self.features.items()}
        return Repository({entity: found for entity, found in kept.items() if found})

    def extend_user(
        self, operator: Operator[Any], world: World, attribution: Attribution | None = None
    ) -> Operator[Any]:
        """The user operator with the features of users and of pairs with a user, and attribution where it is given."""
        own = [EntityOperator(entity, found, world) for entity, found in self.features.items() if entity.of_user]
        return WithFeatures(operator, own, self.others, attribution) if self.features or attribution else operator

    def extend_item(self, operator: Operator[Any], world: World) -> Operator[Any]:
        """The item operator with the features of all other entities."""
        own = [EntityOperator(entity, self.features[entity], world) for entity in self.others]
        return WithFeatures(operator, own) if own else operator


EMPTY = Repository()


def full_name(feature: Feature) -> str:
    """A feature's name among those of all entities."""
    return f"{feature.entity.name}.{feature.name}"
