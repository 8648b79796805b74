"""Communication between the server processes on one port.

They share a folder that only their user can read. In it the supervisor writes the state of each process
(`processes.json`), and each process listens on a Unix socket of its own (`1.sock`), where it answers one request a
connection: the other processes read its health and metrics for their own answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

log = logging.getLogger(__name__)

ALIVE, SERVING = b".", b"s"
"""what a process sends to the supervisor: every second, and once it listens on the port"""
ANSWER_S = 0.5
"""how long another process has to answer; one that installs a model may take longer, and is left out"""
STATES = "processes.json"
SIZE = 8
"""bytes of an answer's length, before the answer: half of one is none"""


class ProcessState(Struct, frozen=True):
    """The state of one server process, written by the supervisor."""

    number: int
    """1 for the first"""
    pid: int | None
    """None between its end and its next start"""
    state: str
    """`starting`, `serving`, or `ended` (it is started again after a pause)"""
    restarts: int = 0
    last_exit: str = ""
    """how it ended the last time"""


def write_states(folder: Path, states: list[ProcessState]) -> None:
    """Replaces the file of states."""
    aside = folder / f"{STATES}.tmp"
    aside.write_bytes(msgspec.json.encode(states))
    aside.replace(folder / STATES)


class Siblings:
    """Context manager that answers the other processes' requests and sends them requests."""

    def __init__(self, number: int, folder: Path, answers: Mapping[str, Callable[[], bytes]]) -> None:
        """`number` is this process's own; `answers` has its answers, by request."""
        self.number = number
        self._folder = folder
        self._answers = answers
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        path = self._socket(self.number)
        path.unlink(missing_ok=True)  # of a process before this one that was killed
        self._server = await asyncio.start_unix_server(self._answer, path)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
            self._socket(self.number).unlink(missing_ok=True)

    def states(self) -> list[ProcessState]:
        """All processes in order, this one included; empty after the end of the supervisor, which removes the
        folder."""
        try:
            return msgspec.json.decode((self._folder / STATES).read_bytes(), type=list[ProcessState])
        except (OSError, msgspec.MsgspecError):
            return []

    async def ask(self, question: str) -> dict[int, bytes]:
        """The answers of the other processes that arrive in time, by number."""
        others = [state.number for state in self.states() if state.number != self.number and state.pid]
        answers = await asyncio.gather(*(self._ask(number, question) for number in others))
        return {number: answer for number, answer in zip(others, answers, strict=True) if answer}

    async def _ask(self, number: int, question: str) -> bytes | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._socket(number))
                try:
                    writer.write(f"{question}\n".encode())
                    return await reader.readexactly(int.from_bytes(await reader.readexactly(SIZE)))
                finally:
                    writer.close()
        except (OSError, EOFError):  # no answer in time, none at all, or half of one
            return None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                question = (await reader.readline()).decode().strip()
                if question in self._answers:
                    answer = self._answers[question]()
                    writer.write(len(answer).to_bytes(SIZE) + answer)
                    await writer.drain()
        except OSError:
            pass  # who asked did not wait
        except Exception:
            log.exception("no answer to another process")
        finally:
            writer.close()

    def _socket(self, number: int) -> Path:
        return self._folder / f"{number}.sock"
