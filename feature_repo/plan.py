"""Snapshots of a repository's declarations as JSON, and the changes between two of them.

A declaration is identified by its entity and name. Its state is kept while its state key is the same, whatever else
changes; with another key the state is backfilled, as for a new feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from feature_repo import views
from feature_repo.repository import Repository
from operators.aggregator import Aggregator

Kind = Literal["new", "rebuilt", "changed", "removed"]
Snapshot = dict[str, Any]


class Change(NamedTuple):
    """The change of one feature or cross."""

    feature: str
    """entity.name, or a cross's name"""
    kind: Kind
    detail: str

    @property
    def rewrites(self) -> bool:
        """Whether the feature's rows have to be written again, from a backfilled state where it has none."""
        return self.kind != "removed"


def snapshot(repository: Repository) -> Snapshot:
    """The declarations, and the layout of the main path's views, as JSON takes them. A feature that servers keep as a
    column is marked: when it becomes one, the job has to send all its rows."""
    served = {value.feature for value in repository.reads.item}
    return {
        "views": {view.name: Aggregator(view).layout for view in views.ALL},
        "features": {
            f"{entity.name}.{feature.name}": {
                "state": feature.state_key,
                "fields": [[field.name, field.dtype, repr(field.default), field.doc] for field in feature.fields],
            }
            | ({"served": True} if feature in served else {})
            | ({"replaces": feature.replaces.name} if feature.replaces else {})
            for entity, features in repository.features.items()
            for feature in features
        },
        "crosses": {cross.name: repr(cross) for cross in repository.crosses},
    }


def changed_views(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Views of the main path whose saved states cannot be read any more."""
    return [name for name, layout in after["views"].items() if before["views"].get(name, layout) != layout]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The changes of features that applying `after` to a job of `before` makes, in the order of declaration, removals
    last."""
    was, now = before["features"], after["features"]
    known = {(_entity(name), feature["state"]) for name, feature in was.items()}
    found = []
    for name, feature in now.items():
        old = was.get(name)
        if old is not None and old["state"] == feature["state"]:
            if old != feature:
                found.append(Change(name, "changed", "other fields, description or readers; its state is kept"))
        elif (_entity(name), feature["state"]) in known:
            found.append(Change(name, "changed", "continues with the state of an equal declaration"))
        elif old is None:
            found.append(Change(name, "new", "its state is backfilled from the archive"))
        else:
            found.append(Change(name, "rebuilt", "another definition: its state is backfilled again from the archive"))
    found += [Change(name, "removed", "its state is dropped, key by key") for name in was.keys() - now.keys()]
    return found


def inputs(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The changes of crosses, in the order of declaration, removals last."""
    was, now = before.get("crosses", {}), after["crosses"]
    found = []
    for name, meaning in now.items():
        if name not in was:
            found.append(Change(name, "new", "an input of the next model from `freshet train`"))
        elif was[name] != meaning:
            found.append(Change(name, "changed", "the model in force has the old definition: run `freshet train`"))
    gone = [name for name in was if name not in now]
    return found + [Change(name, "removed", "not an input of the next model from `freshet train`") for name in gone]


def _entity(name: str) -> str:
    return name.partition(".")[0]
