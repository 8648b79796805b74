"""`freshet features backfill`: rows of declared features as of every moment, from the archive."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from freshet.errors import FeaturesError
from freshet.features import declared, distributed, refill
from freshet.settings import Settings
from schemas.clock import now_ms

console = Console(highlight=False)


def backfill(*names: str, out: Path | None = None, flink: bool = False, quiet: bool = False) -> int:
    """Write the rows of declared features as of every event, from the archive, for Feast's `get_historical_features`.

    Parameters
    ----------
    names
        Features; the rows are those of their entities' views. All features where none is named.
    out
        Folder of the Parquet files; where Feast's views look for them where not given.
    flink
        Run it as a batch job of Flink, for archives that are too large for one process: in a mini cluster of its own,
        or on the cluster that FRESHET_FLINK_RUN names.
    quiet
        No progress.
    """
    from feature_repo import registry
    from feature_repo.repository import Repository
    from training.backfill import RowFiles

    settings, repository = Settings(), registry.declared()
    entities = [declared.named(repository, name)[0] for name in names] or list(repository.features)
    asked = Repository({entity: repository.features[entity] for entity in entities})
    files = refill.events(settings)
    if not files:
        raise FeaturesError(
            f"there are no archived events in {settings.archive}: the job writes them with each checkpoint"
        )
    folder = out or settings.archive
    now = now_ms()
    with RowFiles(folder, asked.views.values()) as rows:
        if flink:
            states = {feature.state_key for _, feature in declared.features(asked)}
            with distributed.fill(settings, files, "rows", states, now) as filled:
                for row, at in filled.rows():
                    rows.put(row, at)
        else:
            here = refill.backfill(settings, asked, rows)
            refill.feed(here, files, quiet)
            here.finish(now)
    for view, n in rows.written.items():
        console.print(f"{folder / view}.parquet: {n:,} rows", soft_wrap=True)
    return 0
