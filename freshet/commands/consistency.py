"""`freshet features consistency`: compares the ranker's inputs as logged with those that a replay computes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from freshet.features import refill
from freshet.settings import Settings
from schemas.errors import BundleError, FreshetError

if TYPE_CHECKING:
    from operators.contract import Record
    from schemas.bundle import Bundle
    from training.consistency import Comparison


class NothingToCompare(FreshetError):
    """No impression in the archive has features that can be computed again."""


def consistency(
    *,
    within: float = 7.0,
    most: int = 500,
    at_least: float = 0.9999,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: bool = False,
) -> int:
    """Compare the ranker's inputs, as feeds logged them, with those computed from the archive, input by input. Exit
    status 1 where too few values are equal.

    Parameters
    ----------
    within
        How many seconds old the item columns and store rows of a server may be: as long as rows take from the job to
        the server.
    most
        Compare this many of the last impressions; of those served within `--within`, at most 16, since every state
        that a server can have read is held in memory for each of them.
    at_least
        The share of values that must be equal.
    as_json
        Print JSON instead of a table.
    quiet
        No progress.
    """
    from feature_repo import registry
    from training import archive
    from training.consistency import compare
    from training.log import items_from_kafka

    settings = Settings()
    files = refill.events(settings)
    with _bar(quiet) as bar:
        total = archive.count(files)

        def progress(pass_: str, records: Iterable[Record]) -> Iterable[Record]:
            return bar.track(records, total=total, description=pass_, update_period=1)

        report = compare(
            lambda: archive.read(files),
            items_from_kafka(settings.connection),
            _bundles(settings),
            registry.declared(),
            round(within * 1000),
            most,
            progress=progress,
        )
    if not report.impressions:
        reasons = ", ".join(f"{n} because {reason}" for reason, n in report.skipped.items())
        raise NothingToCompare(f"there is no impression to compare in {settings.archive}: {reasons or 'none at all'}")
    print(_json(report)) if as_json else _show(report)
    if report.overall.share >= at_least:
        return 0
    if not as_json:
        print(f"Fewer than {at_least:.2%} are equal. Feeds served while the job read a backlog (such as an import)")
        print(f"used rows more than {within:g} s old (--within). --most limits the comparison to the last feeds.")
    return 1


def _bar(quiet: bool) -> Progress:
    """On the standard error: three passes over the archive, each with the time that is left."""
    columns = TextColumn("{task.description:24}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True, quiet=quiet), transient=True)


def _bundles(settings: Settings) -> Callable[[str], Bundle | None]:
    from schemas import bundle

    def load(version: str) -> Bundle | None:
        try:
            return bundle.load(settings.bundles / version)
        except BundleError:
            return None

    return load


def _json(report: Comparison) -> str:
    rows = {row.name: row._asdict() | {"share": row.share} for row in (*report.rows, report.overall)}
    return json.dumps({"impressions": report.impressions, "skipped": report.skipped, "inputs": rows}, indent=1)


def _show(report: Comparison) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("input", overflow="fold")
    for title in ("values", "equal", "equal, a moment before", "order unknown", "different", "share equal"):
        table.add_column(title, justify="right", min_width=7)  # whole numbers also where the terminal is narrow
    for row in (*report.rows, report.overall):
        table.add_row(row.name, *(f"{n:,}" for n in row[1:]), f"{row.share:.4%}")
    console.print(table)
    console.print(f"{report.impressions:,} impressions compared")
    for reason, n in report.skipped.items():
        console.print(f"{n:,} not compared: {reason}", style="dim")
