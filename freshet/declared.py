"""What the running job was started with, and what the repository says now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from freshet.errors import ComponentError
from freshet.settings import Settings

if TYPE_CHECKING:
    from feature_repo.plan import Change

REBUILD = "start the job without its saved state, so that it reads the log anew: `freshet up --no-restore`"


def now() -> dict[str, Any]:
    """The repository's declarations. Raises FeatureError where they are wrong."""
    from feature_repo import plan, registry

    return plan.snapshot(registry.declared())


def applied(settings: Settings) -> dict[str, Any] | None:
    """Those that the job was last started with; None where none ever was."""
    try:
        found: dict[str, Any] = json.loads(settings.declared.read_text())
    except FileNotFoundError:
        return None
    return found


def remember(settings: Settings) -> None:
    """The job runs with what the repository says now."""
    settings.declared.write_text(json.dumps(now(), indent=1))


def changes(settings: Settings) -> list[Change]:
    """What a start of the job would change.

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
