"""Loads the definitions of a package into a `Repository`: features by entity, crosses, their views and operators.

repository = load("feature_repo.definitions")  # every module of the package
repository.views["user_features"].fields      # names, dtypes and defaults, as Feast gets them
repository.extend_user(world), repository.extend_item(world)
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from traceback import extract_tb
from types import ModuleType
from typing import Any

from feature_repo.crosses import Cross
from feature_repo.inputs import NAMES
from feature_repo.repository import Repository
from operators.features import Entity, Feature
from schemas.errors import FeatureError

DEFINITIONS = "feature_repo.definitions"


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
    """file:line in the definitions where the error was raised; the package where that cannot be found."""
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
    """The repository of the package that `package_name` gives."""
    return load(package_name())


def collect(*modules: ModuleType) -> Repository:
    """The features and crosses at the top level of the modules, alone or in lists, tuples and dictionaries.

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
    owners: dict[str, str] = dict.fromkeys(NAMES, "feature_repo/inputs.py")
    for cross in crosses:
        if cross.name in owners:
            raise FeatureError(f"there is an input {cross.name} already ({owners[cross.name]})", cross.where)
        owners[cross.name] = cross.where
        for value in cross.values:
            if value.feature not in declared:
                raise FeatureError(
                    f"{cross.name} reads {value.feature.name}, which no module of definitions holds", cross.where
                )
