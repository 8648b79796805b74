"""The declarations that the running job was started with, compared with those of the repository now."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from freshet.errors import ComponentError, FeaturesError
from freshet.settings import Settings
from schemas.errors import FreshetError

if TYPE_CHECKING:
    from feature_repo.plan import Change
    from feature_repo.repository import Repository
    from operators.features import Entity, Feature

REBUILD = (
    "start the job without its saved state, so that it reads the log anew: `freshet down; freshet up --no-restore`"
)
_NAMED = 5


def now() -> dict[str, Any]:
    """A snapshot of the repository's declarations. Raises FeatureError where they are wrong."""
    from feature_repo import plan, registry

    return plan.snapshot(registry.declared())


def applied(settings: Settings) -> dict[str, Any] | None:
    """The snapshot that the job was last started with; None before the first start."""
    try:
        found: dict[str, Any] = json.loads(settings.declared.read_text())
    except FileNotFoundError:
        return None
    return found


def remember(settings: Settings, backfilled: Collection[int] = ()) -> None:
    """Records that the job runs with the declarations of now, and which states it was given a backfill for."""
    settings.declared.write_text(json.dumps(now() | {"backfilled": sorted(backfilled)}, indent=1))


def edited(settings: Settings) -> str:
    """One line with the features that were edited since the running job was started and the command that applies them;
    "" where there are none."""
    try:
        found = [*changes(settings), *inputs(settings)]
    except FreshetError as error:
        return f"the job runs with the declarations of its start; the current ones cannot be applied: {error}"
    if not found:
        return ""
    names = [f"{change.feature} ({change.kind})" for change in found[:_NAMED]]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"features edited since the job was started: {', '.join(names)}{more}; `freshet features apply` applies them"


def to_backfill(settings: Settings) -> set[int]:
    """Keys of the states to backfill at the next start: those of new and changed features, and those that were
    backfilled before, since a key takes its backfilled state only when it is loaded."""
    before, after = applied(settings), now()
    found = {after["features"][change.feature]["state"] for change in changes(settings) if change.rewrites}
    return found | set((before or {}).get("backfilled", ()))


def inputs(settings: Settings) -> list[Change]:
    """The changes of crosses since the job last started."""
    from feature_repo import plan

    before = applied(settings)
    return [] if before is None else plan.inputs(before, now())


def changes(settings: Settings) -> list[Change]:
    """The changes of features that a start of the job would apply.

    Raises ComponentError where the main path's saved state could not be read any more.
    """
    from feature_repo import plan

    before, after = applied(settings), now()
    if before is None:
        return []
    unreadable = plan.changed_views(before, after)
    if unreadable:
        raise ComponentError(f"the saved state is of another {' and '.join(unreadable)}; {REBUILD}")
    return plan.changes(before, after)


def features(repository: Repository) -> list[tuple[Entity, Feature]]:
    """All features, each with its entity."""
    return [(entity, feature) for entity, features in repository.features.items() for feature in features]


def named(repository: Repository, name: str) -> tuple[Entity, Feature]:
    """The feature called `name` or entity.name. Raises FeaturesError where there is none, or several."""
    found = [
        (entity, feature)
        for entity, feature in features(repository)
        if name in (feature.name, f"{entity.name}.{feature.name}")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise FeaturesError(f"{name} is declared for {', '.join(e.name for e, _ in found)}: use entity.{name}")
    near = ", ".join(feature.name for _, feature in features(repository)) or "none are declared"
    raise FeaturesError(f"no feature is called {name}; there are {near}")
