"""The log that training reads: accepted events in the order of their effective times, with the catalogue as it was at
each.

An event's *effective time* is its own time or that of the person's latest earlier event, whichever is later: a late
event changes a person's features when it is accepted, not when it happened. The running job reads values as of the same
time, so that a replay in this order gives what a server had.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from operators.contract import NEVER, Record, View
from operators.keyed import UserOperator
from operators.space import EmptySpace
from operators.time import DEFAULT_LATENESS
from schemas.errors import Duplicate, EventError
from schemas.events import Impression, Interaction, Item, User
from training.profile_times import ProfileTimes


class TimedEvent(NamedTuple):
    """An event and its effective time, epoch ms."""

    at: int
    event: Interaction | Impression


class LogAdmission:
    """Applies the job's admission rules to a log: rejects late, future and repeated events."""

    def __init__(self, lateness: int | None = DEFAULT_LATENESS) -> None:
        """`lateness` is the allowed lateness in ms; None accepts everything."""
        self._operator = UserOperator(View("accepted", ("user",), ()), _Nothing(), lateness)
        self._states: dict[str, object] = {}
        self.refused: Counter[str] = Counter()
        """reason → how many events were refused for it"""

    def accepts(self, record: Record) -> bool:
        """Whether the job accepts the record, after those of earlier calls."""
        event = record.event
        if isinstance(event, Item):
            return True
        state = self._states.get(event.user_id)
        if state is None:
            state = self._states[event.user_id] = self._operator.new()
        try:
            self._operator.on_event("", state, record)
        except EventError as error:
            if record.taken and not isinstance(error, Duplicate):
                return True  # the job has taken it, by the rules of then
            self.refused[error.reason] += 1
            return False
        return True


class _Nothing:
    """A world without items: admission reads no catalogue."""

    space = EmptySpace()

    def item(self, item_id: str) -> Item | None:
        return None


@dataclass(frozen=True)
class Log:
    """Accepted events in the order of their effective times, the catalogue, and profiles.

    It has nothing of people without consent: `of` and `taken`, which make logs, leave them out.
    """

    interactions: Sequence[Interaction]
    items: Sequence[Item]
    impressions: Sequence[Impression] = ()
    users: Sequence[User] = ()
    """in their order"""
    user_times: Sequence[int] = ()
    """epoch ms from which each profile holds; 0 for a person's first one, unless it came after events of theirs that
    were sent as they happened. Empty where all of them are 0"""
    known_since: Mapping[str, int] = field(default_factory=dict)
    """item id → epoch ms at which its catalogue entry was stored, of those that do not say when they were created"""
    refused: Mapping[str, int] = field(default_factory=dict)
    """reason → how many events were left out for it"""
    ahead: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(person, id of the event or request) → epoch ms at which it was taken, of those whose clock was ahead of that"""

    @classmethod
    def of(
        cls,
        interactions: Iterable[Interaction],
        items: Iterable[Item],
        impressions: Iterable[Impression] = (),
        users: Iterable[User] = (),
        *,
        now: int | None = None,
        opt_in: bool = False,
    ) -> Log:
        """The log of events in any order; events of one time keep their order.

        Repeated ids are left out, and so are events more than five minutes after `now` (epoch ms), where given; no
        event is late, as all of them are sorted first. `opt_in` leaves out people who have not given consent.
        """
        arrived = NEVER if now is None else now
        events: list[Interaction | Impression] = [*impressions, *interactions]
        events.sort(key=lambda event: event.timestamp)
        records = (Record(event, arrived=arrived) for event in (*users, *events))
        return cls.taken(records, items, opt_in=opt_in)

    @classmethod
    def taken(
        cls,
        records: Iterable[Record],
        items: Iterable[Item],
        known_since: Mapping[str, int] | None = None,
        *,
        lateness: int | None = DEFAULT_LATENESS,
        opt_in: bool = False,
        withdrawn: Iterable[str] = (),
    ) -> Log:
        """The log of records of users, impressions and interactions in the order in which the job applies them.

        `lateness` is the job's allowed lateness, ms. `withdrawn` are people known to have withdrawn consent elsewhere.
        """
        admission, consent = LogAdmission(lateness), Consent(opt_in)
        accepted: list[tuple[Interaction | Impression, int]] = []
        profiles: list[tuple[int, User, int]] = []
        times: defaultdict[str, ProfileTimes] = defaultdict(ProfileTimes)
        ahead: dict[tuple[str, str], int] = {}
        for record in records:
            event = record.event
            if isinstance(event, User):
                consent.take(event, record.arrived)
                profiles.append((times[event.user_id].profile(record.arrived), event, record.arrived))
            elif isinstance(event, (Interaction, Impression)) and admission.accepts(record):
                accepted.append((event, record.arrived))
                taken = record.taken or record.arrived
                if taken < event.timestamp:
                    ahead[identity(event)] = taken
                times[event.user_id].event(event.timestamp, record.arrived)
        consent.withdraw(withdrawn)
        profiles = [profile for profile in profiles if consent.covers(profile[1].user_id, profile[2])]
        profiles.sort(key=lambda profile: profile[0])
        kept = [event for event, arrived in accepted if consent.covers(event.user_id, arrived)]
        refused = Counter(admission.refused)
        if len(kept) < len(accepted):
            refused["no_consent"] = len(accepted) - len(kept)
        ordered = sorted(effective(kept), key=lambda timed: timed.at)
        return cls(
            [timed.event for timed in ordered if isinstance(timed.event, Interaction)],
            list(items),
            [timed.event for timed in ordered if isinstance(timed.event, Impression)],
            [user for _, user, _ in profiles],
            [at for at, _, _ in profiles],
            known_since or {},
            refused,
            ahead,
        )

    def cut(self, share: float) -> int:
        """The number of events in the first `share` of the log."""
        return round(len(self.interactions) * share)

    @cached_property
    def times(self) -> list[int]:
        """Effective time of each interaction, epoch ms, ascending."""
        return [timed.at for timed in effective(self.interactions)]

    @cached_property
    def shown_times(self) -> list[int]:
        """Effective time of each impression."""
        return [timed.at for timed in effective(self.impressions)]

    @cached_property
    def arrivals(self) -> list[tuple[int, Item]]:
        """(epoch ms, item), ascending: when each item begins to exist. That is when it was created, else when its entry
        was stored (0 where nothing says when), and never later than it is shown first, or than 1 ms after the first
        interaction with it. Items that events name and the catalogue lacks are among them."""
        first: dict[str, int] = {}
        for at, event in zip(self.shown_times, self.impressions, strict=True):
            for item_id in event.items:
                first.setdefault(item_id, at)
        for at, interaction in zip(self.times, self.interactions, strict=True):
            if interaction.item_id:
                # From just after: a candidate at its own first event would be a positive that shows by its novelty.
                first[interaction.item_id] = min(at + 1, first.get(interaction.item_id, at + 1))
        entries = {item.item_id: item for item in self.items}
        found = []
        for item_id in dict.fromkeys((*entries, *first)):
            item = entries.get(item_id) or Item(item_id)
            since = first[item_id] if item_id not in entries else self._since(item)
            found.append((min(since, first.get(item_id, since)), item))
        return sorted(found, key=lambda arrival: arrival[0])

    def _since(self, item: Item) -> int:
        return self.known_since.get(item.item_id, 0) if item.created_at is None else item.created_at


class Arrivals:
    """Adds catalogue entries to a replay at the times from which they exist."""

    def __init__(self, log: Log, put: Callable[[Item], object]) -> None:
        self._put = put
        self._items = log.arrivals
        self._times = [at for at, _ in self._items]
        self._next = 0

    def until(self, at: int) -> None:
        """Adds the items that exist by `at`, epoch ms, and were not added before."""
        end = bisect_right(self._times, at)
        for _, item in self._items[self._next : end]:
            self._put(item)
        self._next = max(self._next, end)


class Consent:
    """The consent of people, from their profiles in order."""

    def __init__(self, opt_in: bool = False) -> None:
        """With `opt_in`, people whose profiles lack consent have not given it."""
        self._opt_in = opt_in
        self._said: dict[str, bool] = {}
        self._stated: dict[str, int] = {}
        self._since: dict[str, int] = {}

    def take(self, user: User, arrived: int = 0) -> None:
        """Takes the next profile of a person, which the broker had at `arrived`, epoch ms; one that does not speak of
        consent changes nothing, nor does one that is older than the last one that does."""
        user_id = user.user_id
        if user.consent is None or arrived < self._stated.get(user_id, 0):
            return
        self._stated[user_id] = arrived
        if user.consent and not self.given(user_id):
            self._since[user_id] = arrived
        self._said[user_id] = user.consent

    def withdraw(self, user_ids: Iterable[str]) -> None:
        """Withdraws the consent of these people, whatever their profiles have."""
        self._said |= dict.fromkeys(user_ids, False)

    def given(self, user_id: str) -> bool:
        """Whether the person has given consent."""
        return self._said.get(user_id, not self._opt_in)

    def covers(self, user_id: str, arrived: int) -> bool:
        """Whether an event that the broker had at `arrived`, epoch ms, may be learned from: the person has consented,
        and had by then if consent was missing before."""
        return self.given(user_id) and arrived >= self._since.get(user_id, 0)


def identity(event: Interaction | Impression) -> tuple[str, str]:
    """What the job deduplicates the event by: its person, and its own id."""
    return event.user_id, event.event_id if isinstance(event, Interaction) else event.request_id


def effective(events: Iterable[Interaction | Impression]) -> Iterator[TimedEvent]:
    """Each event with its effective time, in the order given. Interactions and impressions are separate: an
    impression of now does not make older interactions late that are still being imported."""
    latest: dict[tuple[bool, str], int] = {}
    for event in events:
        kind = isinstance(event, Impression), event.user_id
        at = latest[kind] = max(latest.get(kind, 0), event.timestamp)
        yield TimedEvent(at, event)
