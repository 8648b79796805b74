"""What this server has shown lately, by person: the stream's rows show it some hundreds of milliseconds later."""

from __future__ import annotations

import time
from collections.abc import Callable

from cachetools import TTLCache

from operators.shown import appended
from recommend.rotation import OWN
from schemas.events import Impression
from serving.hydrate import Person

TOTAL_BYTES = 64 << 20
"""of all people: some 10,000 who have just seen several pages, or 100,000 who have seen a list"""
PER_PERSON = 400
"""entries, those that are dropped last by operators/shown.py: two of the longest lists"""
FIXED_BYTES = 600
"""that a person takes beside the cell, about"""


class OwnShown:
    """Bounded by bytes, entries of a person, and age; the person to whom nothing was shown for the longest time is
    forgotten first. What was shown through another server, or another process of this one, is in a person's answers
    once the stream has it. Used from the event loop alone."""

    def __init__(self, keep_s: float, timer: Callable[[], float] = time.monotonic, total: int = TOTAL_BYTES) -> None:
        """`timer` gives seconds; `total` is in bytes."""
        self._of: TTLCache[str, bytes] = TTLCache(total, keep_s, timer, lambda cell: len(cell) + FIXED_BYTES)

    def add(self, shown: Impression) -> None:
        """Takes an impression. Nobody reads it of a person without consent (`over`)."""
        self._of[shown.user_id] = appended(self._of.get(shown.user_id, b""), shown, PER_PERSON)

    def forget(self, user_id: str) -> None:
        """Drops what is held of a person."""
        self._of.pop(user_id, None)

    def over(self, user_id: str, person: Person) -> Person:
        """The person with what is held of them: as a set, so that nothing counts twice that the row has by now. Of one
        whose row says that they do not consent it is dropped, so that a new consent begins without."""
        if not person.consent:
            if not person.degraded:
                self.forget(user_id)
            return person
        cell = self._of.get(user_id)
        return person if cell is None else person._replace(features={**person.features, OWN: cell})
