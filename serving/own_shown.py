"""What this server has shown lately, by person: the stream's rows show it some hundreds of milliseconds later."""

from __future__ import annotations

import time
from collections.abc import Callable

from cachetools import TTLCache

from operators.shown import Entry, entries_of, pack
from recommend.rotation import OWN
from schemas.events import Impression
from serving.hydrate import Person

PEOPLE = 10_000
PER_PERSON = 400
"""entries, the newest: two of the longest lists"""


class OwnShown:
    """Bounded by people, entries and age. What was shown through another server, or another process of this one, is in
    a person's answers once the stream has it. Used from the event loop alone."""

    def __init__(self, keep_s: float, timer: Callable[[], float] = time.monotonic) -> None:
        """`timer` gives seconds."""
        self._of: TTLCache[str, dict[Entry, None]] = TTLCache(PEOPLE, keep_s, timer)

    def add(self, shown: Impression) -> None:
        """Takes an impression. Nobody reads it of a person without consent (`over`)."""
        entries = self._of.get(shown.user_id, {}) | dict.fromkeys(entries_of(shown))
        while len(entries) > PER_PERSON:
            del entries[next(iter(entries))]
        self._of[shown.user_id] = entries

    def forget(self, user_id: str) -> None:
        """Drops what is held of a person."""
        self._of.pop(user_id, None)

    def over(self, user_id: str, person: Person) -> Person:
        """The person with what is held of them: as a set, so that nothing counts twice that the row has by now."""
        entries = self._of.get(user_id)
        if not entries or not person.consent:
            return person
        return person._replace(features={**person.features, OWN: pack(entries)})
