"""Settings of the Python interpreter inside Flink, whose lock the threads of all operators share."""

from __future__ import annotations

import _xxsubinterpreters  # type: ignore[import-not-found]
import gc
import logging
import sys

SWITCH_S, SWITCH_WHEN_LATE_S = 0.0005, 0.005
LATE_MS = 1_000
COLLECT_AFTER = 10_000, 10, 1_000

# Flink's threads enter Python with states that PyGILState does not know of, and modules made with nanobind
# (datasketches) end the process where its check fails. CPython leaves the check off from when a second interpreter is
# made (its issue 10915): this one does nothing else. It must be there before any such module is loaded, so at import;
# and only within Flink, since a process with two cannot fork.
if "_pemja" in sys.modules:
    _OTHER = _xxsubinterpreters.create()


def share() -> None:
    """Makes threads switch within a millisecond."""
    sys.setswitchinterval(SWITCH_S)
    # A full collection walks all that was ever imported, and every state: 200 ms, every few seconds. States hold no
    # cycles, so it can be rare, and what is there at the start need not be looked at again.
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    # kafka-python's event loop warns whenever somebody else had the interpreter for 0.1 s. Nothing is wrong then.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)


def pace(behind_ms: int) -> None:
    """Sets the interval between switches of threads. Python's own 5 ms are the whole budget of an on-time event, which
    waits for the lock after each call into the JVM; where events are late anyway, frequent switches only cost time."""
    wanted = SWITCH_WHEN_LATE_S if behind_ms > LATE_MS else SWITCH_S
    if sys.getswitchinterval() != wanted:
        sys.setswitchinterval(wanted)
