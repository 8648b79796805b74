"""`freshet digests`: messages to all or some people, from what a surface answers them."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from freshet.errors import DigestsError, InputError
from freshet.settings import Settings
from schemas.errors import InvalidEvent
from schemas.events import NAME_PATTERN

if TYPE_CHECKING:
    from freshet.digests.files import DigestFile
    from freshet.digests.run import RunReport
    from recommend.surface import Surface
    from serving.services import Services

app = App(name="digests", help="Messages to people, from what a surface answers them: see docs/digests.md.")
console = Console(highlight=False)
READY_S = 120.0
POLL_S = 0.05


@app.command(name="list")
def show_all() -> int:
    """List the surfaces that are sent as messages, with their caps and quiet hours."""
    from freshet.digests.run import channel_of
    from operators.time import label

    table = Table("surface", "channel", "items", "at most", "quiet", box=None, pad_edge=False, header_style="bold")
    for surface in _surfaces().values():
        digest = surface.digest
        assert digest
        caps = ", ".join(f"{cap.most} in {label(cap.within)}" for cap in digest.caps)
        quiet = "" if digest.quiet is None else f"{digest.quiet[0]}:00 to {digest.quiet[1]}:00"
        table.add_row(surface.name, channel_of(surface), f"{digest.least} to {surface.paging.default}", caps, quiet)
    console.print(table)
    return 0


@app.command
def run(
    *,
    surface: str,
    users: Path | None = None,
    everyone: Annotated[bool, Parameter(name="--all", negative=())] = False,
    where: str = "",
    period: str = "",
    out: Path | None = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Send digests to the people who are due: to the topic `digests`, and to files with --out. A person gets one a
    period, however often this is run; a run that was ended goes on where it stopped.

    The exit status is 1 where people were left out since the store or a stage failed.

    Parameters
    ----------
    surface
        The surface that answers, one that `freshet digests list` has.
    users
        A file with the ids of people, one a line; - reads standard input.
    everyone
        To all people in the online store.
    where
        A filter (docs/filters.md) over people: only those for whom it is true.
    period
        The name of the period; left out, the day in UTC.
    out
        A folder for files of JSON lines: digests, and the people who are deferred.
    dry_run
        Send nothing and log nothing as shown; files are named *.dry-run.jsonl.
    as_json
        Print the report as JSON.
    """
    found = _surfaces().get(surface)
    if found is None:
        raise InputError(f"no surface called {surface} is sent as messages; there are {', '.join(_surfaces())}")
    if (users is None) is not everyone:
        raise InputError("name the people: --users FILE, or --all")
    _check_period(period)
    settings = Settings()
    people = _of_file(users) if users is not None else _in_store(settings)

    def show(report: RunReport) -> None:
        _print(report, surface, as_json, dry_run)

    report = asyncio.run(_run(settings, found, people, period, where, out, dry_run, show))
    from freshet.digests.run import UNAVAILABLE

    return 1 if report.skipped[UNAVAILABLE] else 0


async def _run(
    settings: Settings,
    surface: Surface,
    people: Iterable[str],
    period: str,
    where: str,
    out: Path | None,
    dry_run: bool,
    show: Callable[[RunReport], None],
) -> RunReport:
    """The run; its report is shown also where the run ends with an error."""
    from freshet.digests.files import DeferredFile
    from freshet.digests.outbox import Outbox
    from freshet.digests.run import DigestRun, channel_of, check_model, horizon, period_of
    from freshet.digests.sent import Sent
    from schemas.clock import now_ms

    assert surface.digest
    named, period, channel = bool(period), period or period_of(now_ms()), channel_of(surface)
    async with AsyncExitStack() as opened:
        services = await started(settings, surface)
        opened.push_async_callback(services.stop)
        check_model(services)
        sent = opened.enter_context(closing(Sent()))
        outbox = Outbox(settings.connection, channel, alone=not dry_run)
        file = None if out is None else opened.enter_context(closing(_file(out, channel, period, dry_run)))
        for digest in outbox.sent(now_ms() - horizon(surface.digest, named)):
            sent.add(digest)
            if file is not None and not dry_run and (digest.channel, digest.period) == (channel, period):
                file.add(digest)
        work = DigestRun(services, surface, sent, None if dry_run else outbox, period=period, where=where, file=file)
        deferred = None
        if out is not None:
            deferred = opened.enter_context(closing(DeferredFile(_path(out, f"deferred-{channel}", period, dry_run))))
        opened.callback(lambda: show(work.report))
        await work.run(people, deferred)
    return work.report


async def started(settings: Settings, surface: Surface) -> Services:
    """The server's services, in this process, once the catalogue and the rules have been read. People near one another
    are kept, and waited for, only for a surface that is made from them. Raises DigestsError where something
    cannot be read."""
    from recommend.favourites import ALIKE
    from serving.services import Services
    from serving.settings import ServingSettings

    serving = ServingSettings(
        kafka=settings.kafka, kafka_security=settings.kafka_security, bundles=settings.bundles,
        feature_store=settings.feature_store, bundle_poll_s=3600,
    )  # fmt: skip
    services = Services.of(serving if ALIKE in surface.reads else serving.model_copy(update={"people": 0}))
    await services.start()
    try:
        async with asyncio.timeout(READY_S):
            while not services.complete:
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        await services.stop()
        missing = [name for name in services.degraded if name in ("catalogue", "rules")]
        raise DigestsError(
            f"the {' and the '.join(missing)} cannot be read within {READY_S:.0f} s; is Kafka up? See `freshet status`"
        ) from None
    if not services.store.healthy:
        await services.stop()
        raise DigestsError("the online store does not answer; see `freshet status`")
    try:
        await _people_read(services)
    except DigestsError:
        await services.stop()
        raise
    return services


async def _people_read(services: Services) -> None:
    """Waits until the people who were active have been read, where any are kept: without them nobody is like anybody,
    and everybody would get what the surface falls back to. Raises DigestsError where reading them does not go on."""
    if services.pipeline.model is None:  # there is no space for them, and no digest without a model
        return
    fewest, deadline = math.inf, time.monotonic() + READY_S
    while (waiting := services.people_wait) != 0:
        if waiting is not None and waiting < fewest:  # those who are put back, and new ones, are no progress
            fewest, deadline = waiting, time.monotonic() + READY_S
        if time.monotonic() > deadline:
            raise DigestsError(
                f"the people that this surface is made from cannot be read: no progress within {READY_S:.0f} s; see "
                "`freshet status`"
            )
        await asyncio.sleep(POLL_S)


def _surfaces() -> dict[str, Surface]:
    """The surfaces that are sent as messages, by name."""
    from recommend.surfaces import declared

    return {surface.name: surface for surface in declared() if surface.digest is not None}


def _file(out: Path, channel: str, period: str, dry_run: bool) -> DigestFile:
    from freshet.digests.files import DigestFile

    return DigestFile(_path(out, f"digests-{channel}", period, dry_run), anew=dry_run)


def _path(out: Path, name: str, period: str, dry_run: bool) -> Path:
    return out / f"{name}-{period}{'.dry-run' if dry_run else ''}.jsonl"


def _check_period(period: str) -> None:
    """Raises InputError where it cannot be a part of a file's name and of a message."""
    import re

    if period and (len(period) > 64 or not re.match(NAME_PATTERN, period) or "/" in period or period[0] == "."):
        raise InputError(f"--period: {period[:80]!r}: up to 64 characters, without '/', and not beginning with '.'")


def _of_file(path: Path) -> Iterator[str]:
    """The ids in a file. Raises InputError where it cannot be read, or a line is no id: before the first id is given,
    unless it is a pipe, which can be read only once."""
    if str(path) != "-" and not path.is_fifo():
        for _ in _ids(path):
            pass
    return _ids(path)


def _ids(path: Path) -> Iterator[str]:
    from schemas.events import User, from_fields

    try:
        lines = sys.stdin if str(path) == "-" else path.open(encoding="utf-8")
        with lines:
            for number, line in enumerate(lines, 1):
                if user_id := line.strip():
                    try:
                        from_fields(User, {"user_id": user_id})
                    except InvalidEvent as error:
                        raise InputError(f"{path}: line {number}: {error}") from None
                    yield user_id
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None


def _in_store(settings: Settings) -> Iterator[str]:
    """The people in the online store. Raises DigestsError where it does not answer."""
    from redis.exceptions import RedisError

    from feature_repo.stored_people import people

    try:
        yield from people(settings.feature_store, settings.redis_access)
    except RedisError as error:
        raise DigestsError(f"the online store does not answer: {error}; start the run again") from None


def _print(report: RunReport, surface: str, as_json: bool, dry_run: bool) -> None:
    from freshet.digests.files import iso

    found: dict[str, Any] = {
        "surface": surface, "dry_run": dry_run, "people": report.people, "sent": report.sent, "items": report.items,
        "deferred": report.deferred, "next_at": None if report.next_at is None else iso(report.next_at),
        "skipped": dict(sorted(report.skipped.items())), "seconds": round(report.seconds, 2),
        "people_per_second": round(report.per_second, 1),
    }  # fmt: skip
    if as_json:
        print(json.dumps(found))
        return
    would = "would be sent" if dry_run else "sent"
    console.print(f"{report.people} people: {report.sent} digests of {report.items} items {would}")
    if report.deferred:
        console.print(f"{report.deferred} deferred by quiet hours: run again from {found['next_at']} on")
    for reason, n in found["skipped"].items():
        console.print(f"{n} skipped: {reason}")
    console.print(f"{report.seconds:.1f} s, {report.per_second:.0f} people/s")
