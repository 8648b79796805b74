"""What an answer leaves to be done once it is sent: its metrics, and what is logged as shown."""

from __future__ import annotations

from collections.abc import Callable

from starlette.background import BackgroundTask


class Afterwards(BackgroundTask):
    """Work in the event loop's thread as soon as the response is written: no request that comes later is answered
    before it is done. The caller does not wait for it."""

    def __init__(self, work: Callable[[], object]) -> None:
        """`work` takes a fraction of a millisecond and does not block."""
        super().__init__(work)
        self._work = work

    async def __call__(self) -> None:
        self._work()
