"""Compares the ranker's inputs as logged when a feed was served with those that a replay of the archive computes.

    archive ─┬─► each person's row after the event that the impression says was their last ──────────────┐
             └─► columns at every change of the shown items, and the person's declared features at every ─► matrix ─►
                 change of them, from `within` before the feed to the feed                                  compared

A server has an item's row some time after the event, when the job has written it: every value that the item had in
that time is correct. The same holds for the most popular item, to which popularity is relative and whose row is
written at another time, and for a person's declared features: a server applies the person's last clicks to the main
path's row, and reads declared features from the store.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs

from feature_repo import views
from feature_repo.builders import item_operator, user_operator
from feature_repo.columns import ItemColumns
from feature_repo.inputs import names
from feature_repo.reads import Reads
from feature_repo.repository import Repository
from operators.contract import Record, Space
from operators.history import Applied
from schemas.errors import NoConsent
from schemas.events import Impression, Interaction, Item, User
from schemas.topics import INTERACTIONS
from training.in_force import Bundles, Load
from training.live import LiveColumns, LivePeople
from training.replay import END, KnownItems, Replay
from training.sample import LatestImpressions
from training.watch import Features, Watch

Archive = Callable[[], Iterable[Record]]
Progress = Callable[[str, Iterable[Record]], Iterable[Record]]
"""(what the pass is for, its records) → the same records"""
PASSES = ("impressions to compare", "people's rows", "items and comparison")
MOST, OVERLAP = 500, 16

VECTOR, EMBEDDING = views.VECTOR_AT, views.USER_VECTOR
APPLIED = next(n for n, a in enumerate(views.user.aggregations) if isinstance(a, Applied))


class Compared(NamedTuple):
    """The number of values of one input of the ranker, by verdict."""

    name: str
    n: int
    equal: int
    """as the item, or the person, was at the moment of the feed"""
    fresh: int
    """as they were at another moment that the server can have known"""
    unordered: int
    """between what their events come to in one order and in another: several slots of the job may have taken them in an
    order that the archive does not keep"""
    different: int

    @property
    def share(self) -> float:
        """The share of values that equal one that a server can have had."""
        return (self.equal + self.fresh) / self.n if self.n else 1.0


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison, and how many impressions, or inputs of them, were not compared, by reason."""

    rows: list[Compared]
    impressions: int
    skipped: dict[str, int]

    @property
    def overall(self) -> Compared:
        """All inputs together."""
        sums = [sum(numbers) for numbers in zip(*(row[1:] for row in self.rows), strict=True)]
        return Compared("all", *(sums or [0] * 5))


def compare(
    archive: Archive,
    items: Iterable[Item],
    load: Load,
    declared: Repository,
    within: int = 7_000,
    most: int = MOST,
    overlap: int = OVERLAP,
    progress: Progress = lambda pass_, records: records,
) -> Comparison:
    """Compares the last `most` impressions with features that the archive holds; it is read three times.

    `items` is the catalogue; `load` gives a bundle by its version, None where it is gone; `declared` has the crosses
    that rankers read; `within`, ms, is how old a server's item columns and store rows may be. Every state that a server
    can have read in that time is in memory for each of its impressions, so that at most `overlap` of them are compared.
    `progress` wraps the records of each pass.
    """
    declared = declared.for_crosses()
    bundles = Bundles(items, load, declared)
    skipped: Counter[str] = Counter()
    chosen = _chosen(progress(PASSES[0], archive()), bundles, within, most, overlap, skipped)
    people = _people(progress(PASSES[1], archive()), bundles, chosen, within)
    skipped["the events of their rows are not in the archive"] += len(chosen) - len(people)
    known = [shown for shown in chosen if shown.request_id in people]
    counts = {name: np.zeros(4, np.int64) for name in names(declared.crosses)}
    compared = 0
    for watch in _watched(progress(PASSES[2], archive()), bundles, known, people, declared, within):
        compared += 1
        for name, column in zip(watch.served.names, watch.verdicts().T, strict=True):
            counts[name] += np.bincount(column, minlength=4)
        for name in watch.served.undeclared:
            skipped[f"{name} is not declared any more"] += 1
    rows = [Compared(name, int(own.sum()), *own.tolist()) for name, own in counts.items() if own.any()]
    return Comparison(rows, compared, {reason: n for reason, n in skipped.items() if n})


def _chosen(
    records: Iterable[Record], bundles: Bundles, within: int, most: int, overlap: int, skipped: Counter[str]
) -> list[Impression]:
    """The impressions to compare, in the order of their times."""
    sample = LatestImpressions(most, within, overlap)
    catalogue = bundles.world.items
    last = 0
    for record in records:
        last = max(last, record.taken)
        shown = record.event
        if type(shown) is User and shown.consent is False:
            skipped["consent was withdrawn"] += sample.forget(shown.user_id)
        if type(shown) is not Impression or shown.features is None or shown.applied_offset is None:
            continue
        served = bundles.of(shown)
        if served is None:
            skipped["their bundle is gone"] += 1
        elif served.logged(shown) is None:
            skipped["their ranker had other inputs"] += 1
        elif catalogue and not catalogue.keys() >= set(shown.items):
            skipped["an item is not in the catalogue"] += 1
        else:
            sample.add(shown)
    found = sample.impressions()
    chosen = [shown for shown in found if shown.timestamp < last - within]
    skipped["the archive ends with them"] += len(found) - len(chosen)
    skipped[f"the sample is of the last {most:,}, at most {overlap} of any {within / 1000:g} s"] += (
        sample.offered - len(found)
    )
    return chosen


def _people(
    records: Iterable[Record], bundles: Bundles, chosen: Sequence[Impression], within: int
) -> dict[str, list[Features]]:
    """By request, the person's row as of the feed and, where time alone changed it, as of `within` before: the row in
    the store, with the events that the server applied to it."""
    waiting: defaultdict[str, defaultdict[int, list[Impression]]] = defaultdict(lambda: defaultdict(list))
    for shown in chosen:
        waiting[shown.user_id][-1 if shown.applied_offset is None else shown.applied_offset].append(shown)
    if chosen:
        bundles.enter(chosen[0])
    operator = user_operator(bundles.world, None)
    states: defaultdict[str, Any] = defaultdict(lambda: operator.new(""))
    ahead: defaultdict[str, list[tuple[Impression, Any, list[Record]]]] = defaultdict(list)
    found: dict[str, list[Features]] = {}

    def capture(user_id: str) -> None:
        for shown in waiting[user_id].pop(states[user_id].parts[APPLIED].offset, ()):
            ahead[user_id].append((shown, operator.encode("", states[user_id]), []))

    def settle(user_id: str, now: int) -> None:
        """Makes the rows whose events have all been replayed, and whose feeds are past."""
        for shown, encoded, own in ahead[user_id]:
            lacks = len(shown.own_offsets or ()) - sum(record.topic == INTERACTIONS for record in own)
            if not lacks and now > shown.timestamp:
                state = operator.decode("", encoded)
                for record in own:
                    with suppress(NoConsent):
                        operator.on_event("", state, record)
                found[shown.request_id] = _rows(operator, bundles.named(shown).space, state, shown, within)
        ahead[user_id] = [each for each in ahead[user_id] if each[0].request_id not in found]

    for record in records:
        event = record.event
        assert isinstance(event, (Interaction, Impression, User))
        user_id = event.user_id
        if type(event) is Impression:
            bundles.enter(event)
        if user_id not in waiting:
            continue
        if type(event) is Interaction:
            capture(user_id)
        settle(user_id, record.taken)
        for shown, _, own in ahead[user_id]:
            if type(event) is User or (record.offset in (shown.own_offsets or ()) and type(event) is Interaction):
                own.append(record)
        with suppress(NoConsent):
            operator.on_event("", states[user_id], record)
    for user_id in waiting:
        capture(user_id)
        settle(user_id, END)
    return found


def _rows(operator: Any, space: Space, state: Any, shown: Impression, within: int) -> list[Features]:
    found: list[Features] = []
    vector = _vector(state, space)
    for at in (shown.timestamp, shown.timestamp - within):
        row = operator.row(shown.user_id, "", state, at)
        person = dict(zip(views.DEFAULTS, row.values, strict=True)) | vector
        person = person if person["consent"] else {**views.DEFAULTS, "consent": False}
        if person not in found:
            found.append(person)
    return found


def _vector(state: Any, space: Space) -> Features:
    """The person's vector in the space of the impression, which a server computes if the row has that of another."""
    own = state.parts[VECTOR]
    own = structs.replace(own, recent=list(own.recent))
    EMBEDDING.embed(own, KnownItems(space=space))
    return dict(zip((f.name for f in EMBEDDING.fields), EMBEDDING.values(own, 0), strict=True))


def _watched(
    records: Iterable[Record],
    bundles: Bundles,
    chosen: Sequence[Impression],
    people: dict[str, list[Features]],
    declared: Repository,
    within: int,
) -> Iterator[Watch]:
    """A `Watch` of each impression, once it has recorded all states that a server can have read."""
    if not chosen:
        return
    bundles.enter(chosen[0])
    world = bundles.world
    driver = Replay(user_operator(world, None, declared), item_operator(world, declared))
    live, persons = LiveColumns(driver, _columns(world, chosen, declared.reads), declared), LivePeople(driver, declared)
    coming, active = list(reversed(chosen)), list[Watch]()
    clock = 0
    for record in records:
        while True:
            opens = coming[-1].timestamp - within if coming else END
            closes = active[0].shown.timestamp if active else END
            if closes < record.taken and closes <= opens:
                clock = max(clock, closes)
                yield _snapshot(active.pop(0), live, persons, clock)
            elif opens < record.taken:
                clock = max(clock, opens)
                shown = coming.pop()
                watch = Watch(shown, bundles.named(shown), people[shown.request_id])
                active.append(_snapshot(watch, live, persons, clock))
            else:
                break
        clock = max(clock, record.taken)
        event = record.event
        assert isinstance(event, (Interaction, Impression, User))
        if type(event) is Impression:
            bundles.enter(event)
        own = [watch for watch in active if watch.shown.user_id == event.user_id]
        for watch in own:
            watch.record_declared(persons, clock)  # what time has changed since
        signals = driver.feed(record) or ()
        live.invalidate(signals)
        for watch in own:
            watch.topics.add(record.topic)
            watch.record_declared(persons, clock)
        if active:
            _record(active, live.at(clock), {signal.item_id for signal in signals})


def _snapshot(watch: Watch, live: LiveColumns, persons: LivePeople, at: int) -> Watch:
    watch.snapshot(live.at(at))
    watch.record_declared(persons, at)
    return watch


def _record(active: Sequence[Watch], columns: ItemColumns, changed: set[str]) -> None:
    for watch in active:
        if changed.isdisjoint(watch.shown.items):
            watch.record_leaders(columns.leaders)
        else:
            watch.events.update(changed)
            watch.snapshot(columns)


def _columns(world: KnownItems, chosen: Iterable[Impression], reads: Reads) -> ItemColumns:
    """Columns of the catalogue and of shown items that it lacks: without activity, and without vectors, since each
    watch has those of its own space."""
    columns = ItemColumns(max(len(world.items), 1), reads)
    for item in world.items.values():
        columns.put_item(item)
    for shown in chosen:
        for item_id in shown.items:
            columns.row(item_id)
    return columns
