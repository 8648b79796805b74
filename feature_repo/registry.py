"""Definitions → what everything else derives from: features by entity, their views and operators.

repository = collect(feature_repo.definitions.shop, feature_repo.definitions.video)
repository.views["user_features"].fields      # names, dtypes and defaults, as Feast gets them
repository.gate(world), repository.operators(world)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from operators.contract import View, World
from operators.features import Entity, EntityOperator, Feature, GatedOperator
from operators.features import user as each_user
from operators.time import hours
from schemas.errors import FeatureError


@dataclass(frozen=True)
class Repository:
    """Every declared feature, by entity, in the order of declaration. The user's entity is always there: its
    operator is the gate."""

    features: Mapping[Entity, tuple[Feature, ...]]

    @property
    def views(self) -> dict[str, View[Any]]:
        """By name: one view an entity, its fields in the order of `Row.values`."""
        return {view.name: view for view in map(self.view, self.features)}

    def view(self, entity: Entity) -> View[Any]:
        """The view of an entity's features."""
        return View(view_name(entity), entity.joins, self.features[entity], entity.doc)

    @property
    def user(self) -> Entity:
        """The entity that events come keyed by."""
        return next(entity for entity in self.features if entity.joins == each_user.joins)

    def attributes(self) -> tuple[str, ...]:
        """The attributes of a profile that a key, filter or value reads."""
        read = [key.fields for entity in self.features for key in entity.keys]
        for features in self.features.values():
            for feature in features:
                read += [feature.events.fields, feature.reads.fields]
        prefix = "user."
        return tuple(sorted({f.removeprefix(prefix) for fields in read for f in fields if f.startswith(prefix)}))

    def gate(self, world: World, lateness: int = hours(24), with_state: bool = False) -> GatedOperator:
        """The operator of the user's features, which lets events in; `lateness` is the allowed lateness in ms."""
        features = self.features[self.user]
        return GatedOperator(self.user, features, world, lateness, self.attributes(), with_state)

    def operators(self, world: World) -> dict[str, EntityOperator]:
        """Those of all other entities, by the entity's name; the gate's signals go to whom `Entity.keys_of` says."""
        return {
            entity.name: EntityOperator(entity, features, world)
            for entity, features in self.features.items()
            if entity is not self.user
        }


def view_name(entity: Entity) -> str:
    """What an entity's view is called."""
    return f"{entity.name}_features"


def collect(*modules: ModuleType) -> Repository:
    """The features that the modules hold at their top level, by themselves or in lists, tuples and dictionaries.

    Raises FeatureError, with the definition's line, where two share a name or a field's name.
    """
    by_entity: dict[Entity, dict[str, Feature]] = {}
    for feature in dict.fromkeys(f for module in modules for value in vars(module).values() for f in _within(value)):
        named = by_entity.setdefault(feature.entity, {})
        if feature.name in named:
            other = named[feature.name].where
            raise FeatureError(f"{feature.name} of {feature.entity.name} is declared at {other} too", feature.where)
        named[feature.name] = feature
    if not any(entity.joins == each_user.joins for entity in by_entity):
        by_entity[each_user] = {}
    _check_names(by_entity)
    return Repository({entity: tuple(named.values()) for entity, named in by_entity.items()})


def _within(value: Any) -> Iterator[Feature]:
    if isinstance(value, Feature):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _within(part)
    elif isinstance(value, dict):
        yield from _within(list(value.values()))


def _check_names(by_entity: Mapping[Entity, Mapping[str, Feature]]) -> None:
    entities: dict[str, Entity] = {}
    for entity, named in by_entity.items():
        first = next(iter(named.values()), None)
        where = first.where if first else ""
        if entities.setdefault(entity.name, entity) is not entity:
            raise FeatureError(f"there are two entities {entity.name}, of keys {entity.keys} and others", where)
        fields: dict[str, Feature] = {}
        for feature in named.values():
            for field in feature.fields:
                other = fields.setdefault(field.name, feature)
                if other is not feature:
                    raise FeatureError(
                        f"{feature.name} has a field {field.name}, and so has {other.name} ({other.where})",
                        feature.where,
                    )
