"""Server processes under measurement: more of them on one stack, on which cores they run, and their memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import psutil

from bench.errors import Unsound
from bench.stacks import Say
from freshet.local import ports, processes
from freshet.local.server import Server
from freshet.local.stack import Stack
from freshet.settings import Settings

PROCESSES_SETTING = "server_processes"
START_S = 1200.0


def has_setting(settings: Settings) -> bool:
    """Whether the server runs several processes on one port by a setting."""
    return PROCESSES_SETTING in type(settings).model_fields


def serving(stack: Stack, count: int, others: list[int]) -> list[int]:
    """Ports besides the first of `count` processes. With the setting they share the first one, after a restart."""
    if not has_setting(stack.settings):
        return others[: count - 1]
    os.environ[f"FRESHET_{PROCESSES_SETTING.upper()}"] = str(count)
    stack.settings = stack.settings.model_copy(update={PROCESSES_SETTING: count})
    stack.restart("server")
    return []


@contextmanager
def more_servers(stack: Stack, n: int, say: Say) -> Iterator[list[int]]:
    """Ports of `n` more servers on the same stack, stopped at the end; none where the setting starts them."""
    if has_setting(stack.settings):
        yield []
        return
    with ExitStack() as stops:
        found = []
        for number in range(n):
            port = ports.free_ports()["http_port"]
            settings = stack.settings.model_copy(update={"http_port": port})
            launch = Server().prepare(settings, say)
            env = {**processes.base_env(), **launch.env}
            name = f"server-{number + 2}"
            record = processes.spawn(name, launch.argv, env, settings.logs / f"{name}.log", settings.run)
            stops.callback(processes.forget, settings.run, name)
            stops.callback(processes.end, record, Server.grace)
            found.append((settings, record))
        for settings, record in found:
            await_ready(settings, record)
        yield [settings.http_port for settings, _ in found]


def await_ready(settings: Settings, record: processes.ProcessRecord) -> None:
    """Waits until the process serves on the settings' port. Raises Unsound where it ends, or after START_S."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            if Server().is_ready(settings):
                return
        except TimeoutError:
            pass
        if record.leader() is None or time.monotonic() > deadline:
            raise Unsound(f"{record.name} did not become ready")
        time.sleep(0.1)


def pin(settings: Settings, names: Iterable[str], cores: list[int]) -> None:
    for name in names:
        for process in _tree(settings, name):
            for thread in process.threads():
                psutil.Process(thread.id).cpu_affinity(cores)


def rss(settings: Settings) -> int:
    """Resident bytes of the server and its children."""
    return sum(process.memory_info().rss for process in _tree(settings, "server"))


def _tree(settings: Settings, name: str) -> list[psutil.Process]:
    record = processes.load(settings.run, name)
    assert record is not None
    return [psutil.Process(record.pid), *psutil.Process(record.pid).children(recursive=True)]
