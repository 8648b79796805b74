"""Definitions → what everything else derives from: features by entity, their views and operators.

repository = load("feature_repo.definitions")  # every module in there
repository.views["user_features"].fields      # names, dtypes and defaults, as Feast gets them
repository.beside_user(world), repository.beside_item(world)
"""

from __future__ import annotations

import json
import os
import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

from feature_repo.crosses import Cross, Reads
from operators.attribution import Attribution
from operators.contract import Operator, View, World
from operators.features import Entity, EntityOperator, Feature, WithFeatures
from schemas.errors import FeatureError


@dataclass(frozen=True)
class Repository:
    """Every declared feature, by entity, and every cross, in the order of declaration."""

    features: Mapping[Entity, tuple[Feature, ...]] = field(default_factory=dict)
    crosses: tuple[Cross, ...] = ()
    """inputs of the ranker beside the main path's"""

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
        """The features that the entity's service gives: where some replace one another, the promoted one.

        `promoted` are full names, entity.name.
        """
        found = self.features[entity]
        chosen = {f for f in found if full_name(f) in promoted}
        replaced = {f.replaces for f in chosen}
        return tuple(f for f in found if (f.replaces is None or f in chosen) and f not in replaced)

    @property
    def reads(self) -> Reads:
        """What crosses read."""
        return Reads.of(self.crosses)

    def for_crosses(self) -> Repository:
        """The crosses, and of the features those that they read."""
        read = {value.feature for cross in self.crosses for value in cross.values}
        kept = {e: tuple(f for f in found if f in read) for e, found in self.features.items()}
        return Repository({entity: found for entity, found in kept.items() if found}, self.crosses)

    def only(self, state_keys: Collection[int]) -> Repository:
        """The features of these states, and no more."""
        kept = {e: tuple(f for f in found if f.state_key in state_keys) for e, found in self.features.items()}
        return Repository({entity: found for entity, found in kept.items() if found})

    def beside_user(
        self, operator: Operator[Any], world: World, attribution: Attribution | None = None
    ) -> Operator[Any]:
        """The user operator with the features of users and of pairs with a user, and attribution where it is given."""
        own = [EntityOperator(entity, found, world) for entity, found in self.features.items() if entity.of_user]
        return WithFeatures(operator, own, self.others, attribution) if self.features or attribution else operator

    def beside_item(self, operator: Operator[Any], world: World) -> Operator[Any]:
        """The item operator with the features of all other entities."""
        own = [EntityOperator(entity, self.features[entity], world) for entity in self.others]
        return WithFeatures(operator, own) if own else operator


EMPTY = Repository()
DEFINITIONS = "feature_repo.definitions"
PROMOTED = "promoted.json"


def modules(package: str) -> list[ModuleType]:
    """The modules of a package of definitions. Raises FeatureError, with the line, where one cannot be imported."""
    try:
        folder = import_module(package)
        return [import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules(folder.__path__)]
    except FeatureError:
        raise
    except Exception as error:  # a definition is code, and may be wrong in any way
        raise FeatureError(f"{type(error).__name__}: {error}", _line_of(error, package)) from error


def _line_of(error: Exception, package: str) -> str:
    """file:line of the definitions where the error came up, the package where that is not known."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    inside = os.sep + package.replace(".", os.sep) + os.sep
    frames = [frame for frame in extract_tb(error.__traceback__) if inside in frame.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else package


def load(package: str) -> Repository:
    """The features that the modules of a package declare. Raises FeatureError as `modules` and `collect`."""
    return collect(*modules(package))


def package_name() -> str:
    """FRESHET_DEFINITIONS, or `feature_repo.definitions` where it is not set."""
    return os.environ.get("FRESHET_DEFINITIONS") or DEFINITIONS


def declared() -> Repository:
    """What the package of that name declares."""
    return load(package_name())


def full_name(feature: Feature) -> str:
    """A feature's name among those of all entities."""
    return f"{feature.entity.name}.{feature.name}"


def promoted(home: Path) -> frozenset[str]:
    """The full names of features that have taken the place of what they replace, as kept in `home`."""
    try:
        return frozenset(json.loads((home / PROMOTED).read_text()))
    except FileNotFoundError:
        return frozenset()


def keep_promoted(home: Path, names: Collection[str]) -> None:
    """Keeps them for `promoted`."""
    aside = home / f".{PROMOTED}"
    aside.write_text(json.dumps(sorted(names)))
    aside.replace(home / PROMOTED)


def promote(repository: Repository, feature: Feature, before: Collection[str]) -> frozenset[str]:
    """What is promoted once the service gives this feature: of all that in the end replaces the same one, it alone, and
    what stands between."""
    every = [f for found in repository.features.values() for f in found]
    beside = {full_name(f) for f in every if _line(f)[-1] is _line(feature)[-1]}
    kept = {full_name(f) for f in every} & set(before) - beside
    return frozenset(kept | {full_name(f) for f in _line(feature) if f.replaces})


def _line(feature: Feature) -> list[Feature]:
    """The feature, what it replaces, what that replaces …"""
    found = [feature]
    while found[-1].replaces is not None:
        found.append(found[-1].replaces)
    return found


def collect(*modules: ModuleType) -> Repository:
    """The features and crosses that the modules hold at their top level, by themselves or in lists, tuples and
    dictionaries.

    Raises FeatureError, with the definition's line, where two share a name or a field's name, and where a cross reads
    what no module holds.
    """
    found = dict.fromkeys(f for module in modules for value in vars(module).values() for f in _within(value))
    by_entity: dict[Entity, dict[str, Feature]] = {}
    for feature in found:
        if not isinstance(feature, Feature):
            continue
        named = by_entity.setdefault(feature.entity, {})
        if feature.name in named:
            other = named[feature.name].where
            raise FeatureError(f"{feature.name} of {feature.entity.name} is declared at {other} too", feature.where)
        named[feature.name] = feature
    _check_names(by_entity)
    crosses = tuple(cross for cross in found if isinstance(cross, Cross))
    _check_crosses(crosses, found)
    return Repository({entity: tuple(named.values()) for entity, named in by_entity.items()}, crosses)


def _within(value: Any) -> Iterator[Feature | Cross]:
    if isinstance(value, (Feature, Cross)):
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
        owners: dict[str, Feature] = {}
        for feature in named.values():
            for column in feature.fields:
                other = owners.setdefault(column.name, feature)
                if other is not feature:
                    raise FeatureError(
                        f"{feature.name} has a field {column.name}, and so has {other.name} ({other.where})",
                        feature.where,
                    )


def _check_crosses(crosses: Sequence[Cross], declared: Collection[Feature | Cross]) -> None:
    from feature_repo.ranking import NAMES  # it reads views, which are made of repositories

    owners: dict[str, str] = dict.fromkeys(NAMES, "feature_repo/ranking.py")
    for cross in crosses:
        if cross.name in owners:
            raise FeatureError(f"there is an input {cross.name} already ({owners[cross.name]})", cross.where)
        owners[cross.name] = cross.where
        for value in cross.values:
            if value.feature not in declared:
                raise FeatureError(
                    f"{cross.name} reads {value.feature.name}, which no module of definitions holds", cross.where
                )
