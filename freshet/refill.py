"""New features get their past before the job resumes: states from the archive, which the job takes as seeds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from freshet import declared
from freshet.components import Report
from freshet.settings import Settings

if TYPE_CHECKING:
    from feature_repo.registry import Repository
    from training.backfill import Backfill, RowFiles


def backfill(settings: Settings, repository: Repository, rows: RowFiles | None = None) -> Backfill:
    """The repository's features over nothing yet, with the catalogue that Kafka holds now."""
    from streams import world
    from training.backfill import Backfill

    found = world.shared(settings.kafka, settings.bundles)
    return Backfill(repository, found, rows.put if rows else None)


def events(settings: Settings) -> set[Path]:
    """The archive's finished files."""
    from training import archive

    return archive.finished(settings.archive / "events")


def feed(filled: Backfill, files: set[Path], quiet: bool = False) -> None:
    """Takes the files' events in, with a line of progress."""
    from training import archive

    columns = SpinnerColumn(), TextColumn("{task.completed:,.0f} archived events"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True, quiet=quiet), transient=True) as progress:
        filled.feed(progress.track(archive.read(files)))


class Refill:
    """Reads the archive, most of it while the job still runs, and leaves seeds. Needs Kafka, for the catalogue."""

    def __init__(self, settings: Settings, quiet: bool = False) -> None:
        from feature_repo import registry

        self._settings = settings
        self._quiet = quiet
        self.states = declared.to_seed(settings)
        self._filled = backfill(settings, registry.declared().only(self.states))
        self._read: set[Path] = set()
        self._keys: dict[str, set[str]] = {}

    def ahead(self) -> None:
        """Reads what is there already."""
        files = events(self._settings) - self._read
        feed(self._filled, files, self._quiet)
        self._read |= files

    def seed(self, report: Report) -> None:
        """Reads what has come since, and writes the seeds. The job has stopped with a savepoint: what it had accepted
        until then is in the archive, and nothing else."""
        from training.backfill import write_seeds

        self.ahead()
        self._filled.finish(time.time_ns() // 1_000_000)
        self._keys = write_seeds(self._settings.seeds, self._filled.states())
        n = sum(map(len, self._keys.values()))
        report(f"{self._filled.events:,} archived events make the states of {n:,} keys")

    def wake(self) -> None:
        """Has the job load every key, so that rows are written and timers set of those that nobody touches."""
        from freshet.producer import Producer
        from schemas.topics import WAKE

        with Producer(self._settings) as producer:
            for operator, found in self._keys.items():
                for key in found:
                    producer.send(WAKE[operator], key.encode(), b"")
            producer.flush()
