"""Ranking examples: what a person met next, among candidates, with features as they were then.

The log is replayed in the order of event time. Just before a sampled event is applied, the person's row and the
item columns are read as of that moment; what the person meets from that event on are the labels.
Nothing later than the moment can reach the features, as nothing later has been applied.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.builders import item_operator, user_operator
from feature_repo.candidates import Column, Request
from feature_repo.columns import ItemColumns, Rows
from feature_repo.inputs import matrix
from feature_repo.item_vectors import NO_VECTORS, HeldVectors, ItemVectors
from feature_repo.reads import NO_READS, Reads
from feature_repo.repository import EMPTY, Repository
from feature_repo.views import MET
from operators.contract import Record, World
from operators.seen import seen_hashes
from operators.time import DEFAULT_LATENESS, minutes
from recommend.retrievers import NEAREST, POPULAR, RECENTS, SIMILAR
from schemas.events import Impression, Interaction, Item, User
from training.factors import FittedSpace, taste
from training.live import LiveColumns, LivePeople
from training.replay import KnownItems, Replay

AHEAD = 20
"""interactions from the moment on that count as what the person wanted: as many as a feed shows"""
VISIT_GAP = minutes(30)
FEW = 500
"""moments that a log gives even if it has fewer visits"""
RANDOM = 50
"""candidates drawn from the whole catalogue, beside as many of each source as serving takes"""
OTHERS = 100
"""candidates not wanted that a group keeps, drawn at random"""


class Group(NamedTuple):
    """One moment of one person: features float32 (candidates, inputs), labels int (candidates,)."""

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


class Moment(NamedTuple):
    """A request as it stands just before event `number` of the log."""

    number: int
    event: Interaction
    request: Request
    shown: Sequence[str] = ()
    """the list that the person met the event's item in, if it is known"""


def _time(event: Interaction | Impression) -> int:
    return event.timestamp


@dataclass(frozen=True)
class Log:
    """A log in order of event time, the catalogue, and people's profiles as they are now."""

    interactions: Sequence[Interaction]
    items: Sequence[Item]
    impressions: Sequence[Impression] = ()
    users: Sequence[User] = ()
    lateness: int | None = DEFAULT_LATENESS
    """allowed lateness under which the job takes these events, ms; None where they have been admitted already"""

    @classmethod
    def of(
        cls,
        interactions: Iterable[Interaction],
        items: Iterable[Item],
        impressions: Iterable[Impression] = (),
        users: Iterable[User] = (),
        lateness: int | None = DEFAULT_LATENESS,
    ) -> Log:
        """The log of events in any order; those of the same time keep theirs."""
        return cls(sorted(interactions, key=_time), list(items), sorted(impressions, key=_time), list(users), lateness)

    def cut(self, share: float) -> int:
        """The number of events in the first `share` of the log."""
        return round(len(self.interactions) * share)


def world_of(log: Log, space: FittedSpace, reads: Reads = NO_READS) -> tuple[KnownItems, ItemColumns]:
    """What a replay of the log starts from: its catalogue over the space, and columns without activity, whose
    first rows are those of the space (`held`); with what crosses read."""
    world = KnownItems(log.items)
    world.space = space.over(world.item)
    columns = ItemColumns(max(len(space.item_ids), 1), reads)
    for item_id in space.item_ids:
        columns.put_item(world.item(item_id) or Item(item_id))
    return world, columns


def held(space: FittedSpace) -> HeldVectors:
    """The vectors of the rows of `world_of`."""
    return HeldVectors(space.id, space.vectors)


def replay(
    log: Log,
    world: World,
    columns: ItemColumns,
    moments: Sequence[int] = (),
    look: Callable[[Moment], None] = lambda moment: None,
    progress: Callable[[float], None] = lambda share: None,
    declared: Repository = EMPTY,
    vectors: ItemVectors = NO_VECTORS,
) -> tuple[LivePeople, LiveColumns]:
    """Replays the whole log; `look` sees the request of each of the event numbers `moments`. Of what is `declared` the
    replay keeps what crosses read."""
    declared = declared.for_crosses()
    driver = Replay(user_operator(world, log.lateness, declared), item_operator(world, declared))
    live, people = LiveColumns(driver, columns, declared), LivePeople(driver, declared)
    wanted = set(moments)
    shown = deque(log.impressions)
    lists: dict[str, Impression] = {}
    for user in log.users:
        driver.feed(Record(user))
    for number, event in enumerate(log.interactions):
        while shown and shown[0].timestamp <= event.timestamp:  # what was clicked had been shown before
            impression = shown.popleft()
            lists[impression.user_id] = impression
            live.hear(driver.feed(Record(impression)))
        if number in wanted:
            last = lists.get(event.user_id)
            met_in = last.items if last and last.request_id == event.request_id else ()
            look(Moment(number, event, request_of(people, live, event, vectors), met_in))
        live.hear(driver.feed(Record(event)))
        if number % 1000 == 0:
            progress(number / len(log.interactions))
    for impression in shown:
        live.hear(driver.feed(Record(impression)))
    progress(1.0)
    return people, live


def request_of(people: LivePeople, live: LiveColumns, event: Interaction, space: ItemVectors) -> Request:
    """The request that the event's person would have made just before it."""
    at = max(event.timestamp, people.watermark(event.user_id))
    # No query, even where the event is a search: a feed asks without one.
    region, device = (str(event.properties.get(name, "")) for name in ("region", "device"))
    return Request(
        people.row(event.user_id, at),
        live.at(at),
        at,
        region,
        space,
        device,
        pairs=people.pairs(event.user_id, at),
    )


def sample(log: Log, start: int, limit: int, seed: int) -> list[int]:
    """Event numbers from `start` on: the beginning of each visit and one moment within it.

    One of each a visit, however long it is, since a feed serves people rather than the busiest of them; and
    beginnings as well as middles, since a person comes back to a feed without a session. A short log gives
    FEW moments even so, the others drawn from all.
    """
    visits: list[list[int]] = []
    latest: dict[str, tuple[int, list[int]]] = {}
    for number, event in enumerate(log.interactions):
        seen = latest.get(event.user_id)
        if seen and event.timestamp <= seen[0] + VISIT_GAP:
            visit = seen[1]
        else:
            visit = []
            visits.append(visit)
        visit.append(number)
        latest[event.user_id] = event.timestamp, visit
    chance = np.random.default_rng(seed)
    begun = [visit for visit in visits if visit[0] >= start]
    chosen = chance.permutation(len(begun))[: limit // 2]
    moments = {begun[k][0] for k in chosen}
    moments |= {int(chance.choice(begun[k][1:])) for k in chosen if len(begun[k]) > 1}
    left = np.setdiff1d(np.arange(start, len(log.interactions)), list(moments))
    return sorted([*moments, *chance.permutation(left)[: max(0, min(FEW, limit) - len(moments))].tolist()])


def wanted(log: Log) -> Callable[[int], dict[str, int]]:
    """For an event's number: item id → grade, over its person's next AHEAD interactions from it on.

    3 loved, 2 liked, 1 met without a word, 0 disliked: taste in thirds of a purchase.
    """
    by_user: dict[str, list[int]] = defaultdict(list)
    place = []
    for index, event in enumerate(log.interactions):
        place.append(len(by_user[event.user_id]))
        by_user[event.user_id].append(index)

    def grades(index: int) -> dict[str, int]:
        own = by_user[log.interactions[index].user_id]
        found: dict[str, int] = {}
        for later in own[place[index] : place[index] + AHEAD]:
            event = log.interactions[later]
            if event.item_id and event.event_type in MET:
                found[event.item_id] = max(found.get(event.item_id, 0), grade(event))
        return found

    return grades


def grade(event: Interaction) -> int:
    """0 to 3 by taste: below nothing, nothing said to a third, two thirds, above."""
    weight = taste(event)
    return 0 if weight < 0 else 1 + min(2, int(weight))


def examples(
    log: Log,
    space: FittedSpace,
    start: int,
    limit: int,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
    declared: Repository = EMPTY,
) -> list[Group]:
    """Groups of at least one wanted and one other candidate, from the log's events from `start` on.

    What retrieval did not find is left out even where it was wanted: put in, it would teach the ranker
    that the way to be wanted is to look like nothing that retrieval finds.

    `space` must know nothing of those events, or similarity would know the answers.
    """
    chance = np.random.default_rng(seed)
    grades = wanted(log)
    groups: list[Group] = []

    def look(moment: Moment) -> None:
        request, columns = moment.request, moment.request.items
        if not columns.n:
            return  # the very first event of a log without a catalogue
        labels = np.zeros(columns.n, np.int64)
        for item_id, value in grades(moment.number).items():
            if item_id in columns.row_of:
                labels[columns.row_of[item_id]] = value
        rows = candidates(request, vectors, chance)
        rows = rows[unseen(request, rows)]
        others = rows[labels[rows] == 0]
        rows = np.concatenate([rows[labels[rows] > 0], chance.permutation(others)[:OTHERS]])
        if labels[rows].any() and not labels[rows].all():
            positions = stood(moment.shown, request.items, rows)
            groups.append(Group(matrix(request, rows, declared.crosses, positions), labels[rows]))

    moments, vectors = sample(log, start, limit, seed), held(space)
    replay(log, *world_of(log, space, declared.reads), moments, look, progress, declared, vectors)
    return groups


def stood(shown: Sequence[str], columns: ItemColumns, rows: Rows) -> Column:
    """Where each of the rows stood in a list, counted from 0; -1 where it did not."""
    place = np.full(columns.n, -1.0)
    for position, item_id in reversed(list(enumerate(shown))):
        row = columns.row_of.get(item_id)
        if row is not None:
            place[row] = position
    return place[rows]


def candidates(request: Request, vectors: HeldVectors, chance: np.random.Generator) -> Rows:
    """Rows as retrieval finds them (near the person, near what they met last, popular there and
    everywhere), and some at random, so that the ranker also knows what nobody would retrieve."""
    columns = request.items
    queries = [] if request.vector is None else [(request.vector, NEAREST)]
    recent = columns.rows(request.user["recent_items"][:RECENTS])
    queries += [(vector, SIMILAR) for vector in vectors.vectors_of(recent)]
    found = [top(vectors.cosines(vector, columns.n), k) for vector, k in queries]
    found.append(top(columns.popularity, POPULAR))
    regional = columns.popular_in(request.region)
    if regional is not None:
        found.append(top(regional, POPULAR))
    found.append(chance.integers(0, columns.n, RANDOM))
    return np.unique(np.concatenate(found))


def top(scores: npt.NDArray[np.floating[Any]], k: int) -> Rows:
    """Rows of the k highest scores, in no order."""
    if k >= len(scores):
        return np.arange(len(scores))
    return np.argpartition(-scores, k)[:k]


def unseen(request: Request, rows: Rows) -> npt.NDArray[np.bool_]:
    """Which rows the person has not met."""
    return np.isin(request.items.hashes[rows], seen_hashes(request.user), invert=True)
