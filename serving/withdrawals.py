"""Who has withdrawn consent, as this server knows from requests and from the topic `users`.

The job writes the row of such a person later: until then the online store says that they consent. What is known here
holds meanwhile, for answers to others and for records of answers, until a later profile gives consent.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable

from schemas import messages
from schemas.clock import now_ms
from schemas.events import User
from schemas.topics import USERS

MOST = 100_000
"""people who are kept, those who withdrew last"""
DELETED_MS = 60_000
"""for how long a person whose profile was deleted, which withdraws nothing, is treated alike: answers under way, and a
row that the job has not written yet, have the profile"""


class Withdrawals:
    """Read by requests, and changed by them and by a follower's thread."""

    def __init__(
        self,
        delete: Callable[[str, int], object] = lambda user_id, until: None,
        most: int = MOST,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`delete(user_id, until)` is called where the records of answers made up to `until`, epoch ms, are to be
        deleted."""
        self._delete, self._most, self._clock = delete, most, clock
        self._lock = threading.Lock()
        self._of: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """when each withdrew, as of Kafka's time, and until when that holds; both epoch ms"""
        self._is_live = False
        """whether what is read from Kafka has happened just now"""

    def __contains__(self, user_id: object) -> bool:
        found = self._of.get(user_id)  # type: ignore[call-overload]
        return found is not None and self._clock() < found[1]

    def withdraw(self, user_id: str, at: int) -> None:
        """Somebody has withdrawn consent just now, `at` in Kafka's time, epoch ms."""
        self._hold(user_id, at, math.inf)
        self._delete(user_id, max(at, self._clock()))

    def allow(self, user_id: str, at: int) -> None:
        """Somebody has given consent, `at` in Kafka's time, epoch ms. Where they had withdrawn it, records of the time
        before are deleted."""
        with self._lock:
            held = self._of.get(user_id)
            if held is None or held[0] > at:
                return
            del self._of[user_id]
        if held[1] == math.inf:  # else only the profile was deleted
            self._delete(user_id, at)

    def on_record(self, topic: str, key: bytes, value: bytes | None, at: int) -> None:
        """Takes a record of `users` and Kafka's time of it; others change nothing. Until `set_live`, later ones may
        already stand in the topic, so that no more is deleted than what was recorded up to then.

        Raises EventError or UnicodeDecodeError where it cannot be read."""
        if topic != USERS:
            return
        event = None if value is None else messages.read(topic, key, value)
        until = max(at, self._clock()) if self._is_live else at
        if event is None:
            user_id = key.decode()
            self._hold(user_id, at, until + DELETED_MS)
            self._delete(user_id, until)
        elif isinstance(event, User) and event.consent is False:
            self._hold(event.user_id, at, math.inf)
            self._delete(event.user_id, until)
        elif isinstance(event, User) and event.consent:
            self.allow(event.user_id, at)

    def set_live(self) -> None:
        """The topic has been read to its end: whoever has withdrawn in it and not consented since has no records."""
        self._is_live = True
        with self._lock:
            held, now = list(self._of.items()), self._clock()
        for user_id, (at, until) in held:
            if until == math.inf:
                self._delete(user_id, max(at, now))

    def _hold(self, user_id: str, at: int, until: float) -> None:
        with self._lock:
            before = self._of.get(user_id, (at, until))
            self._of[user_id] = max(at, before[0]), max(until, before[1])
            self._of.move_to_end(user_id)
            while len(self._of) > self._most:
                self._of.popitem(last=False)
