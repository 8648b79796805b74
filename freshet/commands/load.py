"""`freshet import`: sends files of JSON lines to Kafka."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from freshet.commands.refused import report
from freshet.data import files, importer
from freshet.data.dead_letters import SentPlaces
from freshet.data.producer import Producer
from freshet.data.rejections import RejectedLines, collected
from freshet.errors import InputError
from freshet.settings import Settings
from schemas import topics
from schemas.clock import now_ms


def load(
    *,
    items: Path | None = None,
    users: Path | None = None,
    interactions: Path | None = None,
    impressions: Path | None = None,
    rejects: Path | None = None,
    restart: Annotated[bool, Parameter(negative=())] = False,
    wait: bool = True,
) -> int:
    """Send files of JSON lines (plain or gzip) to Kafka. An interrupted import resumes when it is called again.

    A file of events that is not in the order of time is sorted first. Exit status 1 if a line was rejected, now or by
    an earlier run over the same file, or if the job rejected an event that this run sent.

    Parameters
    ----------
    items
        One item a line: {"item_id": "i9", "title": "…", "categories": ["comedy"], …}
    users
        One user a line: {"user_id": "u1", "attributes": {"age": 30}, …}
    interactions
        One event a line: {"event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": "i9", "timestamp": …}
    impressions
        One shown list a line: {"request_id": "r1", "user_id": "u1", "timestamp": …, "items": ["i9", "i3"]}
    rejects
        Write each rejected line's number and reason to this file, as JSON lines.
    restart
        Start at the first line again, whatever was sent before.
    wait
        Wait until a checkpoint of the running job covers what was sent, and report the messages that it rejected.
    """
    chosen = [
        (topics.ITEMS, items),
        (topics.USERS, users),
        (topics.IMPRESSIONS, impressions),
        (topics.INTERACTIONS, interactions),
    ]
    named = [(topic, path) for topic, path in chosen if path is not None]
    for _, path in named:
        files.check(path)
    if not named:
        raise InputError("nothing to import: name a file with --items, --users, --interactions or --impressions")
    return run(Settings(), named, rejects=rejects, restart=restart, wait=wait)


def run(
    settings: Settings,
    named: list[tuple[str, Path]],
    *,
    rejects: Path | None = None,
    restart: bool = False,
    wait: bool = False,
) -> int:
    """Import files in the given order; returns the exit status. With `wait`, as of `load`."""
    console = Console(highlight=False)
    sent, began = SentPlaces(), now_ms()
    records = importer.Records(settings.root / "imports")
    if restart:
        for topic, path in named:
            records.forget(path, topic)
    before = {topic: records.load(path, topic) for topic, path in named}
    with ExitStack() as stack:
        rejections = stack.enter_context(collected(rejects, "w" if restart else "a"))
        sender = stack.enter_context(Producer(settings, sent.add))
        bar = stack.enter_context(_bar(console))
        results = [_one(bar, topic, path, sender, records, rejections) for topic, path in named]
    rejections.show(console)
    for result in results:
        console.print(_summary(before[result.topic], result), soft_wrap=True)
    refused = report(settings, sent, began, console) if wait else 0
    return 1 if refused or any(result.rejected for result in results) else 0


def _summary(before: importer.Progress, result: importer.Progress) -> str:
    """How many lines of a file this run sent and rejected, and how many earlier runs did."""
    sent, rejected = result.accepted - before.accepted, result.rejected - before.rejected
    earlier = f" (earlier: {before.accepted:,} sent, {before.rejected:,} rejected)" if before.line else ""
    return f"{result.path}: {sent:,} sent to {result.topic}, {rejected:,} rejected{earlier}"


def _one(
    bar: Progress,
    topic: str,
    path: Path,
    sender: Producer,
    records: importer.Records,
    rejections: RejectedLines,
) -> importer.Progress:
    before = records.load(path, topic)
    task = bar.add_task(topic, total=path.stat().st_size, lines=f"{before.line:,} lines")
    if before.done:
        bar.console.print(f"{path} has been imported already ({before.line:,} lines); --restart sends it again")
    elif before.line:
        bar.console.print(f"{path}: resuming after line {before.line:,}")

    def advanced(progress: importer.Progress, position: int) -> None:
        bar.update(task, completed=position, lines=f"{progress.line:,} lines")

    result = importer.load(path, topic, sender, records, rejected=rejections.add, advanced=advanced)
    bar.update(task, completed=path.stat().st_size)
    if result.by_time and not before.done:
        bar.console.print(f"{path} was not in the order of time; it was sorted before it was sent", soft_wrap=True)
    return result


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[lines]}"),
    )
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
