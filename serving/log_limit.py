"""Limits how often a warning of one kind is logged: what goes wrong at each request must not fill the disk."""

from __future__ import annotations

import logging
import threading

from cachetools import LRUCache

EVERY_S = 60.0
PER_REQUEST = "recommend.trace", "serving.hydrate"
"""loggers that may warn at every request; what others log is rare, and each of it counts"""
KINDS = 1000
"""kinds that are told apart; beyond, the one that was logged least recently is logged again"""


class OncePerMinute(logging.Filter):
    """Passes a warning or an error once a minute, and says with the next one how many were left out.

    Messages of one logger are of one kind where their templates and all of their arguments but the last are equal: the
    last one is the detail, which may differ each time. Messages below a warning all pass.
    """

    def __init__(self, every_s: float = EVERY_S) -> None:
        super().__init__()
        self._every_s = every_s
        self._lock = threading.Lock()
        self._logged: LRUCache[tuple[str, ...], tuple[float, int]] = LRUCache(KINDS)
        """by kind: when it was logged, and how many were left out since"""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        args = record.args if isinstance(record.args, tuple) else ()
        kind = (record.name, str(record.msg), *map(str, args[:-1]))
        with self._lock:
            at, left_out = self._logged.get(kind, (float("-inf"), 0))
            if 0 <= record.created - at < self._every_s:
                self._logged[kind] = at, left_out + 1
                return False
            self._logged[kind] = record.created, 0
        if left_out:
            record.msg, record.args = "%s (%d more like it since the last one)", (record.getMessage(), left_out)
        return True
