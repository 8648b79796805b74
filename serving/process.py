"""Runs one server process under uvicorn, alone or as one of several on a port.

`python -m serving.process NUMBER FOLDER FD` is what the supervisor starts. Each process binds the port with
SO_REUSEPORT, so that the kernel distributes connections over the processes, and listens once its catalogue has been
read: a process that is starting takes no requests from the others.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from serving.app import create_app
from serving.health import answers_of
from serving.log_limit import PER_REQUEST, OncePerMinute
from serving.settings import ServingSettings
from serving.siblings import ALIVE, SERVING, Siblings
from serving.sockets import shared

SWITCH_S = 0.0005
"""Python's default of 5 ms between threads is longer than a whole feed takes"""
GRACE_S = 5
"""how long requests in work have to end after SIGTERM"""
BEAT_S = 1.0
POLL_S = 0.05


def run_alone(settings: ServingSettings) -> None:
    """Serves until SIGTERM or SIGINT."""
    log_to_stderr()
    uvicorn.run(application(settings), host=settings.host, port=settings.http_port, **options(settings))


def run_member(settings: ServingSettings, number: int, folder: Path, channel: socket.socket) -> None:
    """Serves as process `number` of several, until SIGTERM, SIGINT, or the supervisor's end.

    `folder` is where the processes find one another; `channel` is connected to the supervisor.
    """
    log_to_stderr(number)
    app = application(settings)
    server = Member(uvicorn.Config(app, **options(settings)), app, number, folder, channel)
    server.run(sockets=[shared(settings.host, settings.http_port)])


class Member(uvicorn.Server):
    """A process that reports to the supervisor, and stops when the supervisor has ended."""

    def __init__(
        self, config: uvicorn.Config, app: Starlette, number: int, folder: Path, channel: socket.socket
    ) -> None:
        super().__init__(config)
        self._services = app.state.services
        self._channel = channel
        self._folder = folder
        self._services.siblings = Siblings(number, folder, answers_of(self._services))
        self._inner = app.router.lifespan_context
        app.router.lifespan_context = self._lifespan

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, after the application's own start."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._report(SERVING)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        self._channel.setblocking(False)
        loop.add_reader(self._channel, self._on_channel)
        try:
            async with self._inner(app) as state, self._services.siblings:
                beat = asyncio.create_task(self._beat())
                try:
                    while not (self._services.ready or self.should_exit):
                        await asyncio.sleep(POLL_S)
                    yield state
                finally:
                    beat.cancel()
        finally:
            loop.remove_reader(self._channel)

    async def _beat(self) -> None:
        while True:
            self._report(ALIVE)
            await asyncio.sleep(BEAT_S)

    def _report(self, message: bytes) -> None:
        try:
            self._channel.send(message)
        except BlockingIOError:
            pass  # the supervisor has not read for long: it has enough signs of life
        except OSError:
            self.should_exit = True

    def _on_channel(self) -> None:
        """Stops the process: nothing is sent to this end, so that it is readable only after the supervisor has
        ended."""
        try:
            if self._channel.recv(64):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        asyncio.get_running_loop().remove_reader(self._channel)
        logging.getLogger(__name__).error("the supervisor has ended, so this process stops")
        shutil.rmtree(self._folder, ignore_errors=True)  # which the supervisor could not
        self.should_exit = True


def log_to_stderr(number: int | None = None) -> None:
    """Sets up logging to stderr, a warning of one kind once a minute; each line names the process where there are
    several."""
    which = "" if number is None else f"[{number}] "
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s %(levelname)s {which}%(name)s %(message)s")
    for name in PER_REQUEST:
        logging.getLogger(name).addFilter(OncePerMinute())
    logging.getLogger("kafka").setLevel(logging.ERROR)


def application(settings: ServingSettings) -> Starlette:
    sys.setswitchinterval(SWITCH_S)
    app = create_app(settings)
    # Objects that exist at the start stay: collecting over them again shows in the slowest requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    return app


def options(settings: ServingSettings) -> dict[str, Any]:
    return {
        "loop": "uvloop",
        "http": "httptools",
        "access_log": False,
        "log_config": None,
        "timeout_keep_alive": settings.keep_alive_s,
        "timeout_graceful_shutdown": GRACE_S,
    }


def main(arguments: list[str]) -> None:
    number, folder, fd = arguments
    os.set_inheritable(int(fd), False)
    run_member(ServingSettings(), int(number), Path(folder), socket.socket(fileno=int(fd)))


if __name__ == "__main__":
    main(sys.argv[1:])
