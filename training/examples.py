"""Makes ranking examples: the items that a person met next, among candidates, with the features of that moment.

The log is replayed in the order of event time. Just before a sampled event is applied, the person's row and the
item columns are read as of that moment; the items that the person meets from that event on are the labels.
Features cannot contain anything later than the moment, since no later event has been applied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.builders import item_operator, user_operator
from feature_repo.candidates import Column, Request
from feature_repo.columns import ItemColumns, Rows
from feature_repo.inputs import matrix
from feature_repo.reads import NO_READS, Reads
from feature_repo.repository import EMPTY, Repository
from feature_repo.views import MET
from operators.contract import Record, World
from operators.time import END
from recommend.catalogue import Catalogue
from recommend.item_space import ItemSpace
from recommend.model import Model, Parts
from recommend.pipeline import Pipeline
from recommend.query import Query
from recommend.stage import NONE, Retriever
from recommend.surfaces import home
from schemas.errors import FreshetError
from schemas.events import NO_BEHAVIOUR, Impression, Interaction
from training.accepted import Arrivals, Log, identity
from training.factors import FittedSpace, taste
from training.live import LiveColumns, LivePeople
from training.moments import sample
from training.replay import KnownItems, Replay

AHEAD = 20
"""interactions from the moment on that count as what the person wanted: as many as a feed shows"""
RANDOM = 50
"""candidates drawn from the whole catalogue, in addition to those of the home feed's retrievers"""
OTHERS = 100
"""candidates not wanted that a group keeps, drawn at random"""


class Group(NamedTuple):
    """One moment of one person: features float32 (candidates, inputs), labels int (candidates,)."""

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


class StageFailed(FreshetError):
    """A stage fell back, so that the candidates or the answer are not those of the surface."""


class Moment(NamedTuple):
    """A request as it stands just before event `number` of the log."""

    number: int
    event: Interaction
    query: Query
    shown: Sequence[str] = ()
    """the list that the person met the event's item in, if it is known"""

    @property
    def request(self) -> Request:
        """The request as the ranker's inputs read it."""
        return self.query.ranking


@dataclass(frozen=True, kw_only=True)
class AtRandom(Retriever):
    """Available items at random, so that the ranker also learns of items that retrieval would not find."""

    name: str = "at_random"
    quota: int = RANDOM
    chance: np.random.Generator

    def find(self, query: Query) -> Rows:
        rows = np.flatnonzero(query.columns.available)
        return rows[self.chance.integers(0, len(rows), self.quota)] if len(rows) else NONE


def world_of(log: Log, space: FittedSpace, reads: Reads = NO_READS) -> tuple[KnownItems, Pipeline, Arrivals]:
    """The start of a replay of the log: its catalogue over the space, the pipeline over columns with the inputs of
    crosses in which nothing is available yet, and the arrivals that add the items."""
    catalogue = Catalogue(reads)
    model = _model(space, catalogue)
    catalogue.serve(model)
    return (
        KnownItems(log.items, model.user_space),
        Pipeline(catalogue.columns, model),
        Arrivals(log, catalogue.put_item),
    )


def _model(space: FittedSpace, catalogue: Catalogue) -> Model:
    """The space for the home feed's retrievers. Its searches are exact: building an index would take longer."""
    rows = np.array(catalogue.rows_of(space.item_ids), np.int64)
    found = ItemSpace(space.id, space.vectors, space.origins, space.of_content, catalogue.columns, rows, None)
    return Model("", {"items": found}, found, {home.name: Parts(found)})


def replay(
    log: Log,
    world: World,
    pipeline: Pipeline,
    arrivals: Arrivals,
    moments: Sequence[int] = (),
    look: Callable[[Moment], None] = lambda moment: None,
    progress: Callable[[float], None] = lambda share: None,
    declared: Repository = EMPTY,
) -> tuple[LivePeople, LiveColumns]:
    """Replays the whole log; `look` sees the query of each of the event numbers `moments`. Of `declared`
    the replay computes the features that crosses read. An item is available from its arrival on."""
    declared = declared.for_crosses()
    # Events are in the order of their effective times and have been accepted: none is late.
    driver = Replay(user_operator(world, None, declared), item_operator(world, declared))
    live, people = LiveColumns(driver, pipeline.columns, declared), LivePeople(driver, declared)
    wanted = set(moments)
    shown = profiles = 0
    lists: dict[str, dict[str, Impression]] = {}
    """person → request id → the lists of their last answer: the rows of a page are shown at one time"""

    def record(event: Interaction | Impression) -> Record:
        """In other keys, one of a clock that was ahead has the time of being taken, as in the job."""
        return Record(event, taken=log.ahead.get(identity(event), 0))

    def show(until: int) -> None:
        nonlocal shown
        while shown < len(log.impressions) and log.shown_times[shown] <= until:
            impression = log.impressions[shown]
            arrivals.until(log.shown_times[shown])
            own = lists.setdefault(impression.user_id, {})
            if any(each.timestamp != impression.timestamp for each in own.values()):
                own.clear()
            own[impression.request_id] = impression
            live.invalidate(driver.feed(record(impression)))
            shown += 1

    def profile(until: int) -> None:
        nonlocal profiles
        while profiles < len(log.users) and (log.user_times[profiles] if log.user_times else 0) <= until:
            driver.feed(Record(log.users[profiles]))
            profiles += 1

    for number, (at, event) in enumerate(zip(log.times, log.interactions, strict=True)):
        profile(at - 1)  # applied after the events up to its time
        show(at)  # what was clicked had been shown before
        arrivals.until(at)
        if number in wanted:
            last = lists.get(event.user_id, {}).get(event.request_id or "")
            met_in = last.items if last else ()
            look(Moment(number, event, query_of(people, live, pipeline, event), met_in))
        live.invalidate(driver.feed(record(event)))
        if number % 1000 == 0:
            progress(number / len(log.interactions))
    profile(END)
    show(END)
    progress(1.0)
    return people, live


def query_of(people: LivePeople, live: LiveColumns, pipeline: Pipeline, event: Interaction) -> Query:
    """The query that the event's person would have made just before it."""
    at = max(event.timestamp, people.watermark(event.user_id))
    live.at(at)
    # No text, even where the event is a search: a feed asks without one.
    region, device = (str(event.properties.get(name, "")) for name in ("region", "device"))
    return pipeline.query(
        at=at, user=people.row(event.user_id, at), region=region, device=device,
        pairs=people.pairs(event.user_id, at), explain="none",
    )  # fmt: skip


def wanted(log: Log) -> Callable[[int], dict[str, int]]:
    """For an event's number: item id → grade, over its person's next AHEAD interactions from it on.

    3 loved, 2 liked, 1 met without a rating, 0 disliked: taste in thirds of a purchase.
    """
    by_user: dict[str, list[int]] = defaultdict(list)
    place = []
    for index, event in enumerate(log.interactions):
        place.append(len(by_user[event.user_id]))
        if event.event_type not in NO_BEHAVIOUR:
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
    """0 to 3 by taste."""
    return grade_of(taste(event))


def grade_of(weight: float) -> int:
    """0 to 3 by a weight of taste: below 0, below 1, below 2, above."""
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

    Wanted items that retrieval did not find are left out: they would teach the ranker to prefer items unlike those
    that retrieval finds.

    `space` must be fitted without those events, or similarity would leak the labels.
    """
    chance = np.random.default_rng(seed)
    grades = wanted(log)
    groups: list[Group] = []

    def look(moment: Moment) -> None:
        columns = pipeline.columns
        labels = np.zeros(columns.n, np.int64)
        for item_id, value in grades(moment.number).items():
            if item_id in columns.row_of:
                labels[columns.row_of[item_id]] = value
        rows = candidates(pipeline, moment.query, chance)
        others = rows[labels[rows] == 0]
        rows = np.concatenate([rows[labels[rows] > 0], chance.permutation(others)[:OTHERS]])
        if labels[rows].any() and not labels[rows].all():
            positions = stood(moment.shown, columns, rows)
            groups.append(Group(matrix(moment.query.ranking, rows, declared.crosses, positions), labels[rows]))

    world, pipeline, arrivals = world_of(log, space, declared.reads)
    replay(log, world, pipeline, arrivals, sample(log, start, limit, seed), look, progress, declared)
    return groups


def candidates(pipeline: Pipeline, query: Query, chance: np.random.Generator) -> Rows:
    """The rows that the home feed would give its ranker, and up to RANDOM others that pass its filters.

    Raises StageFailed.
    """
    retrievers = (*home.retrievers, AtRandom(chance=chance))
    begun = pipeline.begin(replace(home, retrievers=retrievers, ranked=home.ranked + RANDOM), query)
    if begun.trace.degraded:
        raise StageFailed(f"{', '.join(begun.trace.degraded)} fell back")
    return begun.candidates.rows


def stood(shown: Sequence[str], columns: ItemColumns, rows: Rows) -> Column:
    """The position of each row in a list, from 0; -1 where it is not in it."""
    place = np.full(columns.n, -1.0)
    for position, item_id in reversed(list(enumerate(shown))):
        row = columns.row_of.get(item_id)
        if row is not None:
            place[row] = position
    return place[rows]
