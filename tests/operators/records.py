"""Logs of one person's records as the job gets them: late, repeated, too late, ahead of the clock."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from typing import NamedTuple

from hypothesis import strategies as st

from operators.contract import Record, Signal
from operators.time import DAY, HOUR, MINUTE
from schemas.errors import Duplicate, EventError, TooFarInFuture, TooLate
from schemas.events import EVENT_TYPES, MAX_FUTURE_MS, Impression, Interaction, Item, User
from tests.operators.signals import ITEMS, T0, Anywhere, exactly, gaps

LATENESS = DAY
CATALOGUE = {
    id: Item(id, categories=[f"c{n % 3}", f"c{n % 2 + 3}"], brand=f"b{n % 2}", price=n * 1.5 if n else None)
    for n, id in enumerate(ITEMS[2:])
}


class World(Anywhere):
    """A catalogue in which the first two of ITEMS are missing."""

    def item(self, item_id: str) -> Item | None:
        return CATALOGUE.get(item_id)


@cache
def _said() -> list[Interaction | Impression | User]:
    rng = random.Random(2)
    found: list[Interaction | Impression | User] = []
    for n in range(300):
        if n % 10 == 0:
            interests = [f"c{rng.randrange(4)}" for _ in range(rng.randrange(3))]
            found.append(User("u1", {"country": rng.choice(["DE", "FR"])}, interests, rng.choice([True, None])))
        elif n % 10 < 3:
            region = rng.choice([None, "DE"])
            found.append(Impression("", "u1", T0, [rng.choice(ITEMS) for _ in range(3)], region=region))
        else:
            kind = rng.choice(EVENT_TYPES)
            properties: dict[str, bool | int | float | str] = {"region": rng.choice(["", "DE", "FR"])}
            if kind == "rating":
                properties["rating"] = rng.choice([0.5, 2, 5])
            if n % 3:
                properties["price"] = (1, 2.5, 10, 99.9)[n % 4]
            item = None if kind == "search" else rng.choice(ITEMS)
            session = rng.choice([None, None, "a"])
            found.append(Interaction("", kind, "u1", T0, item, session, properties=properties))
    return found


AHEAD = -2 * MAX_FUTURE_MS
TWICE = None
delays = st.sampled_from([0, 0, 0, 0, 1, 10 * MINUTE, 5 * HOUR, DAY, DAY + 1, 3 * DAY, -MAX_FUTURE_MS, AHEAD, TWICE])


@st.composite
def logs(draw: st.DrawFn, most: int = 25) -> list[Record]:
    """Up to `most` records in the order of their partition, of a person who never withdraws consent. A delay that is
    negative is an event whose client's clock is ahead of the broker's."""
    n = draw(st.integers(0, most))
    clock = T0
    found: list[Record] = []
    sent = Counter[str]()
    for gap, delay, said in draw(exactly(n, st.tuples(gaps, delays, st.sampled_from(_said())))):
        clock += gap
        n = len(found)
        if delay is TWICE and found:
            found.append(found[gap % n]._replace(offset=n, arrived=clock))
            continue
        fields = {f: getattr(said, f) for f in said.__struct_fields__}
        if isinstance(said, User):
            topic = "users"
        else:
            topic, id = ("interactions", "event_id") if isinstance(said, Interaction) else ("impressions", "request_id")
            fields |= {"timestamp": clock - (delay or 0), id: f"id{sent[topic]}"}
            sent[topic] += 1  # an event and a list may share their id
        found.append(Record(type(said)(**fields), topic, 0, n, clock))
    return found


class Judged(NamedTuple):
    """What the plainest reading of the rules says of a record."""

    record: Record
    refused: type[EventError] | None


def judge(log: list[Record]) -> list[Judged]:
    """Each record in its turn: ahead of the clock, else too late for its kind, else known, else taken."""
    found, taken, latest = [], set(), {Interaction: 0, Impression: 0}
    for record in log:
        event, error = record.event, None
        if isinstance(event, (Interaction, Impression)):
            id = event.event_id if isinstance(event, Interaction) else event.request_id
            if event.timestamp > record.arrived + MAX_FUTURE_MS:
                error = TooFarInFuture
            elif event.timestamp < latest[type(event)] - LATENESS:
                error = TooLate
            elif (type(event), id) in taken:
                error = Duplicate
            else:
                taken.add((type(event), id))
                latest[type(event)] = max(latest[type(event)], event.timestamp)
        found.append(Judged(record, error))
    return found


def signals_of(log: list[Record]) -> list[Signal]:
    """The interactions that were taken, as aggregations see them."""
    found = []
    for record, refused in judge(log):
        event = record.event
        if refused or not isinstance(event, Interaction):
            continue
        item = CATALOGUE.get(event.item_id or "")
        rating = event.properties.get("rating")
        found.append(
            Signal(
                event.event_type, event.timestamp, event.item_id or "", str(event.properties["region"]),
                (), (), event.session_id or "", item.categories if item else (), (item.brand or "") if item else "",
                record.partition, record.offset, None, None if rating is None else float(rating),
            )
        )  # fmt: skip
    return found
