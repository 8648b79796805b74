"""`freshet up`, `down`, `status`, `logs`."""

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from freshet.errors import ComponentError
from freshet.features import declared
from freshet.local import background
from freshet.local.flink import Flink
from freshet.local.kafka import Kafka
from freshet.local.processes import tail
from freshet.local.redis import Redis
from freshet.local.server import Server
from freshet.local.stack import Stack
from freshet.settings import Settings, check_all
from freshet.usage import Words

console = Console(highlight=False)

Name = Literal["kafka", "redis", "flink", "server", "feast"]

_MEANINGS = {
    "busy": "it runs and did not answer in time; it may be under load, so try again",
    "unhealthy": "its process runs, but its address does not answer, or it reports that it is not ready",
    "crashed": "its process has ended; `freshet up` starts it again",
}


def up(*, only: Words = (), without: Words = (), restore: bool = True) -> int:
    """Start the local stack and return when every component is healthy; running components are left as they
    are, with the settings that they were started with.

    Where features have been edited since the running job was started, one line names them and the command that
    applies them; the exit status is still 0. It is 1 where a component does not become healthy.

    Parameters
    ----------
    only
        Start these alone, as in `--only kafka,redis`.
    without
        Start all components except these.
    restore
        `--no-restore` starts the Flink job with empty state, reading the event log from its beginning.
    """
    settings = Settings()
    for problem in check_all():
        console.print(problem, style="yellow", soft_wrap=True)
    components = (Kafka(), Redis(), Flink(restore=restore), Server())
    stack = Stack(settings, report=_say, components=components)
    stack.up(only or None, without)
    running = {status.name for status in stack.status() if status.state == "running"}
    if "server" in running:
        console.print(f"the page is at {settings.http_url}, the API at {settings.http_url}/docs")
    for line in background.problems(settings, running):
        console.print(line, style="yellow", soft_wrap=True, markup=False)
    if "flink" in running:
        console.print(f"Flink's web page is at {settings.flink_url}")
        edited = declared.edited(settings)
        if edited:
            console.print(edited, style="yellow", soft_wrap=True)
    return 0


def down(*, only: Words = ()) -> int:
    """Stop everything in reverse order. The Flink job leaves a savepoint, from which the next `up` resumes.

    Parameters
    ----------
    only
        Stop these alone, as in `--only server`: the next `up` starts them with the settings of then.
    """
    stack = Stack(Settings(), report=_say)
    stack.down(only or None)
    return 0


def status() -> int:
    """Show each component, errors of background threads, and dead letters by topic and reason.

    Exit status 1 unless all components run and answer.
    """
    settings = Settings()
    found = Stack(settings).status()
    table = Table("component", "state", "address", "pid", "since", box=None, pad_edge=False, header_style="bold")
    colours = {"running": "green", "busy": "yellow", "stopped": "dim"}
    for one in found:
        since = f"{datetime.fromtimestamp(one.since):%Y-%m-%d %H:%M:%S}" if one.since else ""
        state = f"[{colours.get(one.state, 'red')}]{one.state}"
        table.add_row(one.name, state, one.address, str(one.pid or ""), since)
    console.print(table)
    if all(one.state == "stopped" for one in found):
        console.print(f"this is the stack of {settings.root}; set FRESHET_HOME for another one", soft_wrap=True)
    for one in found:
        if one.state in _MEANINGS:
            console.print(f"{one.name}: {_MEANINGS[one.state]} (`freshet logs {one.name}`)", soft_wrap=True)
    running = {one.name for one in found if one.state == "running"}
    if several := background.processes(settings, running):
        console.print(several, soft_wrap=True)
    for line in background.problems(settings, running):
        console.print(line, style="yellow", soft_wrap=True, markup=False)
    for line in _dead_letters(settings) if any((s.name, s.state) == ("kafka", "running") for s in found) else ():
        console.print(line, soft_wrap=True)
    return 0 if all(one.state == "running" for one in found) else 1


def _dead_letters(settings: Settings) -> list[str]:
    from follow.to_end import KafkaUnreadable
    from freshet.data import dead_letters

    try:
        return dead_letters.summary(settings.connection)
    except KafkaUnreadable:
        return []  # its state is in the table


def logs(
    name: Name | None = None,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative=())] = False,
    lines: Annotated[int, Parameter(name=["--lines", "-n"])] = 40,
) -> int:
    """Show the last lines of a component's log.

    Parameters
    ----------
    name
        The component; all components when left out.
    follow
        Print new lines as they are written, until Ctrl-C.
    lines
        Lines of each log.
    """
    found = sorted(Settings().logs.glob(f"{name or '*'}.log"))
    if not found:
        raise ComponentError(f"there is no log of {name}" if name else "there are no logs: nothing was started")
    for path in found:
        for line in tail(path, lines):
            _show(path, line, several=len(found) > 1)
    if follow:
        _follow(found)
    return 0


def _follow(paths: list[Path]) -> None:
    files = [(path, path.open(errors="replace")) for path in paths]
    try:
        for _, file in files:
            file.seek(0, 2)
        while True:
            quiet = True
            for path, file in files:
                for line in file:
                    quiet = False
                    _show(path, line.rstrip("\n"), several=len(files) > 1)
            if quiet:
                time.sleep(0.2)
    except KeyboardInterrupt:
        return
    finally:
        for _, file in files:
            file.close()


def _show(path: Path, line: str, *, several: bool) -> None:
    print(f"{path.stem:6} | {line}" if several else line, flush=True)


def _say(message: str) -> None:
    console.print(message, soft_wrap=True)
