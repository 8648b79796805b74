"""New features get their past before the job resumes: states from the archive, which the job takes as seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from freshet.features import declared, rewrite
from freshet.local.components import Reporter
from freshet.settings import Settings
from schemas.clock import now_ms

if TYPE_CHECKING:
    from feature_repo.repository import Repository
    from training.backfill import Backfill, RowFiles


def backfill(
    settings: Settings, repository: Repository, rows: RowFiles | None = None, earlier: Path | None = None
) -> Backfill:
    """The repository's features over nothing yet, or over seeds, with the catalogue that Kafka holds now."""
    from feature_repo.consent import ConsentSettings
    from streams import world
    from streams.backfilled import Backfilled
    from training.backfill import Backfill

    found = world.shared(settings.connection, settings.bundles)
    seeds = (lambda operator: Backfilled(earlier, operator).of) if earlier else None
    return Backfill(repository, found, rows.put if rows else None, seeds, ConsentSettings().opt_in)


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

    def __init__(self, settings: Settings, quiet: bool = False, by_flink: bool = False) -> None:
        """`by_flink` leaves to a batch job what is there when it first reads."""
        self._settings = settings
        self._quiet = quiet
        self.states = declared.to_seed(settings)
        self._read: set[Path] = set()
        self._keys: dict[str, set[str]] = {}
        self._by_flink = by_flink
        self._earlier: Path | None = None
        self._filled: Backfill | None = None

    def ahead(self) -> None:
        """Reads what is there already."""
        files = events(self._settings) - self._read
        if self._by_flink and self._earlier is None:
            self._earlier = self._batch(files)
        else:
            feed(self._backfill(), files, self._quiet)
        self._read |= files

    def _batch(self, files: set[Path]) -> Path:
        from freshet.features import distributed
        from operators.stepping import LINGERS
        from training.backfill import write_seeds

        settings, until = self._settings, now_ms() - LINGERS
        into = settings.seeds.with_name("seeds-ahead.db")
        with distributed.fill(settings, files, "states", self.states, until) as found:
            write_seeds(into, found.states())
        return into

    def _backfill(self) -> Backfill:
        from feature_repo import registry

        if self._filled is None:
            self._filled = backfill(self._settings, registry.declared().only(self.states), earlier=self._earlier)
        return self._filled

    def seed(self, report: Reporter) -> None:
        """Reads what has come since, and writes the seeds. The job has stopped with a savepoint: what it had accepted
        until then is in the archive, and nothing else."""
        from training.backfill import write_seeds

        self.ahead()
        filled = self._backfill()
        filled.finish(now_ms())
        self._keys = write_seeds(self._settings.seeds, filled.states(), self._earlier)
        if self._earlier:
            self._earlier.unlink()
        n = sum(map(len, self._keys.values()))
        more = " after those that Flink has read" if self._earlier else ""
        report(f"{filled.events:,} archived events{more} make the states of {n:,} keys")

    def refresh(self) -> None:
        """Has the job load every key that has a backfilled state, so that its rows are written and its timers set."""
        rewrite.send(self._settings, self._keys)
