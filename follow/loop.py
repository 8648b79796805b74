"""Runs a function repeatedly in a thread, goes on after any error, and reports its health."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from schemas.errors import FreshetError

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 5.0
STOP_S = 5.0
"""how long `stop` waits for the step that is under way"""
ERROR_TEXT = 500


@dataclass(frozen=True)
class LoopHealth:
    """The health of a loop."""

    name: str
    up: bool
    """whether its last step succeeded and its thread runs"""
    errors: int
    """errors since the process started, those of single records included"""
    last_error: str
    """the latest error, "" where there was none"""


class Loop:
    """Calls `step` again and again until it is stopped.

    An exception of `step` is logged, counted and followed by a pause that doubles from FIRST_RETRY_S to `longest_s`;
    nothing that `step` raises ends the loop. An error that repeats the one before is logged once.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        every_s: float = 0.0,
        longest_s: float = LAST_RETRY_S,
        on_error: Callable[[], object] = lambda: None,
        finishes: bool = False,
    ) -> None:
        """`every_s` is the pause after a step that succeeded; `on_error` cleans up after one that failed. With
        `finishes` a last step is taken when it is stopped."""
        self.name = name
        self._step = step
        self._every_s = every_s
        self._longest_s = longest_s
        self._on_error = on_error
        self._finishes = finishes
        self._stopping = threading.Event()
        self._failures = 0
        self._errors = 0
        self._last: BaseException | None = None
        self._last_text = ""
        self._thread = self._new_thread()

    @property
    def health(self) -> LoopHealth:
        """`up` before the first step too, and after a stop."""
        ended = self._thread.ident is not None and not self._thread.is_alive() and not self._stopping.is_set()
        return LoopHealth(self.name, self._failures == 0 and not ended, self._errors, self._last_text)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> Self:
        """Starts the thread, again after a stop too. Raises RuntimeError while the one before runs, which may be so
        after a `stop` that timed out: two of them would take steps at once."""
        if self._thread.is_alive():
            raise RuntimeError(f"{self.name}: the thread that was started before has not ended")
        if self._thread.ident is not None:
            self._stopping.clear()
            self._thread = self._new_thread()
        self._thread.start()
        return self

    def stop(self, patience_s: float = STOP_S) -> None:
        """Ends the loop after its present step; waits for that up to `patience_s`."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=patience_s)

    def run_once(self) -> bool:
        """Runs one step in the caller's thread, with the same handling of errors. Whether it succeeded."""
        try:
            self._step()
        except Exception as error:
            self.note(error)  # first, so that a loop that is not up says why
            self._failures += 1
            try:
                self._on_error()
            except Exception as another:
                self.note(another)
            return False
        if self._failures:
            log.info("%s works again", self.name)
        self._failures = 0
        return True

    def note(self, error: Exception, what: str = "") -> None:
        """Counts and logs an error that did not end the step, such as that of one record. The same exception object
        again (a problem that lasts) is not counted again."""
        if error is self._last:
            return
        text = f"{what}{': ' if what else ''}{type(error).__name__}: {error}"[:ERROR_TEXT]
        log.log(
            logging.DEBUG if text == self._last_text else logging.WARNING,
            "%s: %s", self.name, text, exc_info=None if _expected(error) else error,
        )  # fmt: skip
        self._last, self._last_text = error.with_traceback(None), text  # a traceback keeps whatever its frames hold
        self._errors += 1

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name=self.name, daemon=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self.run_once():
                pause = self._every_s
            else:
                pause = min(self._longest_s, FIRST_RETRY_S * 2 ** min(self._failures - 1, 20))
            if pause:
                self._stopping.wait(pause)
        if self._finishes:
            self.run_once()


class Looping:
    """What works in a loop of its own, `_loop`: it is started, stopped and asked for its health as the loop is."""

    _loop: Loop

    @property
    def health(self) -> LoopHealth:
        return self._loop.health

    def start(self) -> Self:
        self._loop.start()
        return self

    def stop(self) -> None:
        self._loop.stop()


def _expected(error: Exception) -> bool:
    """Whether the error is logged without a traceback: of the network, the disk, or invalid input."""
    return isinstance(error, (OSError, FreshetError)) or type(error).__module__.startswith("kafka.")
