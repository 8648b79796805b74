"""Reports, at the end of a command, the dead letters of the messages that it sent."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from freshet.data import dead_letters
from freshet.data.dead_letters import DUPLICATE, SentPlaces
from freshet.local.flink import Flink
from freshet.settings import Settings


def report(settings: Settings, sent: SentPlaces, began: int, console: Console) -> int:
    """Waits until the job has processed what was sent since `began`, epoch ms, and prints its dead letters; returns how
    many there are. Duplicates do not count. Where the job does not run, prints that and returns 0.

    Raises KafkaUnreadable.
    """
    if not sent.ends:
        return 0
    if not _runs(settings):
        console.print("the job does not run: `freshet status` counts those of them that it rejects", style="yellow")
        return 0
    if not _waited(settings, sent, console):
        console.print(
            "the job processes no messages: `freshet status` counts those of them that it rejects later", style="yellow"
        )
    found = dead_letters.of_sent(settings.connection, sent, began)
    for (topic, reason), number in found.most_common():
        if reason == DUPLICATE:
            console.print(f"{number:,} {topic} are duplicates of accepted ones, by their ids")
        else:
            console.print(f"[red]{number:,} {topic} were rejected by the job: {reason}[/] (topic {topic}.dlq)")
        if reason == "too_late":
            console.print(
                "  They are older than an accepted event of the same person by more than the allowed "
                "lateness (FRESHET_ALLOWED_LATENESS_HOURS); import older events first.",
                soft_wrap=True,
            )
    return sum(number for (_, reason), number in found.items() if reason != DUPLICATE)


def _runs(settings: Settings) -> bool:
    try:
        return Flink().is_ready(settings)
    except TimeoutError:
        return True  # it is at work


def _waited(settings: Settings, sent: SentPlaces, console: Console) -> bool:
    columns = TextColumn("the job takes them in"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def left(number: int) -> None:
            total = bar.tasks[0].total or number
            bar.update(task, total=total, completed=total - number)

        return dead_letters.wait_for_job(settings.connection, sent, left)
