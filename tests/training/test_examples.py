"""Examples hold what was known at the moment, and nothing later."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from msgspec import structs

from feature_repo.columns import ItemColumns
from feature_repo.crosses import Affinity, Hour, ItemFeature, Position, UserFeature
from feature_repo.inputs import NAMES, matrix
from feature_repo.registry import collect
from feature_repo.repository import Repository
from operators.contract import Record
from operators.features import Count, Last, Mean, category, event, item, user, user_category
from operators.time import days, minutes
from recommend.pipeline import Pipeline
from recommend.retrievers import Nearest
from recommend.surfaces import home
from schemas.events import Impression, Interaction, User
from tests.logs import made_log
from training import examples, factors
from training import moments as moments_of
from training.accepted import Log
from training.examples import Moment, StageFailed
from training.factors import FittedSpace

Array = npt.NDArray[np.floating[Any]]
T = 1_767_225_600_000


@pytest.fixture(scope="module")
def space(log: Log) -> FittedSpace:
    return factors.fit(log.interactions[: log.cut(0.8)], log.items, 16)


def features_at(log: Log, space: FittedSpace, number: int) -> tuple[Array, dict[str, object]]:
    found: list[tuple[Array, dict[str, object]]] = []

    def look(moment: Moment) -> None:
        rows = np.arange(moment.request.items.n)
        found.append((matrix(moment.request, rows), dict(moment.request.user)))

    examples.replay(log, *examples.world_of(log, space), [number], look)
    return found[0]


def available(columns: ItemColumns) -> set[str]:
    return {columns.ids[row] for row in np.flatnonzero(columns.available)}


def test_no_item_is_a_candidate_before_it_exists(log: Log, space: FittedSpace) -> None:
    """The catalogue of today holds items that were created, or first met, after the moment."""
    moment = log.interactions[600].timestamp
    born = [structs.replace(item, created_at=moment + n - 20) for n, item in enumerate(log.items[:40])]
    today = Log(log.interactions, [*born, *log.items[40:]])
    met = {e.item_id for e in log.interactions[:600]}
    then = Log(log.interactions[:601], [i for i in today.items if (i.created_at or 0) <= moment or i.item_id in met])
    known: list[set[str]] = []
    for each in (today, then):
        examples.replay(
            each, *examples.world_of(each, space), [600], lambda moment: known.append(available(moment.query.columns))
        )
    assert known[0] == known[1]
    late = {i.item_id for i in born if i.created_at and i.created_at > moment} - met
    assert not known[0] & late

    negatives: list[int] = []

    def count(moment: Moment) -> None:
        rows = examples.candidates(pipeline, moment.query, np.random.default_rng(0))
        negatives.append(sum(pipeline.columns.ids[row] in late for row in rows))

    world, pipeline, arrivals = examples.world_of(today, space)
    examples.replay(today, world, pipeline, arrivals, range(0, 600, 50), count)
    assert negatives
    assert not any(negatives)


@pytest.mark.parametrize("number", [0, 400, 901, 999])
def test_features_equal_those_of_a_log_that_ends_there(log: Log, space: FittedSpace, number: int) -> None:
    """What follows may be anything: the features of the moment do not move."""
    cut = Log(log.interactions[: number + 1], log.items)
    whole, user = features_at(log, space, number)
    short, same_user = features_at(cut, space, number)
    np.testing.assert_array_equal(whole, short)
    assert user == same_user


def test_columns_read_lazily_equal_those_written_at_each_event(log: Log, space: FittedSpace) -> None:
    moments = random.Random(0).sample(range(len(log.interactions)), 20)
    lazy: dict[int, Array] = {}
    eager: dict[int, Array] = {}

    def look_into(found: dict[int, Array]) -> None:
        def look(moment: Moment) -> None:
            if moment.number in moments:
                items = moment.request.items
                found[moment.number] = np.stack([items.popularity, items.events_7d, items.ctr_7d])

        every = range(len(log.interactions)) if found is eager else moments
        examples.replay(log, *examples.world_of(log, space), every, look)

    look_into(lazy)
    look_into(eager)
    assert lazy.keys() == eager.keys() == set(moments)
    for number in moments:
        np.testing.assert_array_equal(lazy[number], eager[number])


def test_a_week_later_the_counts_of_the_week_are_zero(log: Log, space: FittedSpace) -> None:
    _, live = examples.replay(log, *examples.world_of(log, space))
    end = log.interactions[-1].timestamp
    assert live.at(end).events_7d.sum() > 0
    assert live.at(end + 8 * 86_400_000).events_7d.sum() == 0


def test_impressions_are_applied_in_their_place(log: Log, space: FittedSpace) -> None:
    end = log.interactions[-1].timestamp
    middle = log.interactions[500].timestamp
    shown = [Impression(f"r{at}", "viewer", at, ["i0"]) for at in (end + 1, middle - 1)]
    whole = Log.of(log.interactions, log.items, shown)
    counts: list[float] = []

    def look(moment: Moment) -> None:
        items = moment.request.items
        counts.append(items.ctr_7d[items.row_of["i0"]])

    world, pipeline, arrivals = examples.world_of(whole, space)
    _, live = examples.replay(whole, world, pipeline, arrivals, [499, 501], look)
    row = pipeline.columns.row_of["i0"]
    prior, once = 1 / 20, 1 / 21
    assert counts == pytest.approx([prior, once])
    assert live.at(end + 1).ctr_7d[row] < prior


# -- candidates ------------------------------------------------------------------------------------


def at_moments(log: Log, space: FittedSpace, moments: Sequence[int]) -> list[tuple[Moment, Pipeline, set[str]]]:
    """Each moment, and the ids of its candidates."""
    found: list[tuple[Moment, Pipeline, set[str]]] = []

    def look(moment: Moment) -> None:
        rows = examples.candidates(pipeline, moment.query, np.random.default_rng(moment.number))
        assert len(set(rows.tolist())) == len(rows)
        found.append((moment, pipeline, {pipeline.columns.ids[row] for row in rows}))

    world, pipeline, arrivals = examples.world_of(log, space)
    examples.replay(log, world, pipeline, arrivals, moments, look)
    return found


def test_the_ranker_learns_of_no_item_that_is_sold_out(log: Log, space: FittedSpace) -> None:
    gone = {f"i{k}" for k in range(0, 60, 2)}
    sold = Log(log.interactions, [structs.replace(i, available=i.item_id not in gone) for i in log.items])
    for _, pipeline, found in at_moments(sold, space, [300, 600, 900]):
        assert found
        assert not found & gone
        assert gone <= pipeline.columns.row_of.keys()


def test_the_ranker_learns_of_as_many_items_as_serving_ranks_for_people_who_have_met_many() -> None:
    """A person who has met the items that are nearest and most popular: a source makes up for them."""
    wide = made_log(people=30, films=700, each=300, seed=3)
    fitted = factors.fit(wide.interactions, wide.items, 8)
    last = [k for k, event in enumerate(wide.interactions) if event.user_id == "u0"][-1]
    ((moment, pipeline, found),) = at_moments(wide, fitted, [last])
    met = {e.item_id for e in wide.interactions[:last] if e.user_id == "u0"}
    assert len(met) > 200
    assert not found & met
    begun = pipeline.begin(home, moment.query)
    served = {pipeline.columns.ids[row] for row in begun.candidates.rows}
    assert served <= found
    assert len(found - served) <= examples.RANDOM
    nearest = moment.query.nearest(np.asarray(moment.request.vector)[None], 200)[0]
    assert len(met & {pipeline.columns.ids[row] for row in nearest}) > 20, "of the nearest 200 many have been met"
    assert sum(begun.candidates.found_by("nearest")) >= 200


def test_candidates_of_a_new_person_come_from_their_interests(log: Log, space: FittedSpace) -> None:
    whole = Log.of(log.interactions, log.items, (), [User("u0", interests=["horror"])])
    first = next(k for k, event in enumerate(whole.interactions) if event.user_id == "u0")
    ((moment, _, _),) = at_moments(whole, space, [first])
    horror = space.of_content.bag(["category:horror"])
    np.testing.assert_allclose(moment.request.vector, horror)


def test_a_stage_that_fails_ends_training(log: Log, space: FittedSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(query: object) -> object:
        raise RuntimeError("no index")

    monkeypatch.setattr(Nearest, "find", lambda self, query: broken(query))
    with pytest.raises(StageFailed, match="retrieve fell back"):
        examples.examples(log, space, log.cut(0.8), 20, seed=0)


# -- groups ----------------------------------------------------------------------------------------


def test_groups(log: Log, space: FittedSpace) -> None:
    groups = examples.examples(log, space, log.cut(0.8), 50, seed=0)
    assert groups
    for group in groups:
        assert group.features.shape == (len(group.labels), len(NAMES))
        assert np.isfinite(group.features).all()
        assert group.labels.any()
        assert not group.labels.all()
    again = examples.examples(log, space, log.cut(0.8), 50, seed=0)
    np.testing.assert_array_equal(groups[-1].features, again[-1].features)


def test_similarity_knows_the_genre(log: Log, space: FittedSpace) -> None:
    groups = examples.examples(log, space, log.cut(0.8), 100, seed=0)
    similarity = NAMES.index("similarity")
    loved = np.concatenate([g.features[g.labels == 3, similarity] for g in groups])
    others = np.concatenate([g.features[g.labels == 0, similarity] for g in groups])
    assert loved.mean() > others.mean() + 0.1


@pytest.mark.parametrize(("stars", "grade"), [(1, 0), (3, 1), (4, 2), (5, 3)])
def test_grades(stars: float, grade: int) -> None:
    assert examples.grade(Interaction("e", "rating", "u", T, "i", properties={"rating": stars})) == grade


def test_wanted_starts_at_the_moment_and_looks_ahead_only(log: Log) -> None:
    grades = examples.wanted(log)
    own = [k for k, e in enumerate(log.interactions) if e.user_id == "u0"]
    items = [log.interactions[k].item_id for k in own]
    assert set(grades(own[22])) == set(items[22:])
    assert set(grades(own[0])) <= set(items[: examples.AHEAD])


def test_each_visit_gives_its_beginning_and_one_moment_within(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments_of, "FEW", 0)
    begin = [next(k for k, e in enumerate(log.interactions) if e.user_id == f"u{p}") for p in range(40)]
    moments = moments_of.sample(log, 0, 1000, seed=0)
    assert set(begin) <= set(moments)
    people = [log.interactions[k].user_id for k in moments]
    assert all(people.count(f"u{p}") == 2 for p in range(40))
    assert len(moments_of.sample(log, 0, 20, seed=0)) == 20


def test_a_log_of_few_visits_gives_more_moments_of_each(log: Log) -> None:
    moments = moments_of.sample(log, 600, 300, seed=0)
    assert len(set(moments)) == 300
    assert all(k >= 600 for k in moments)
    assert len(moments_of.sample(log, 990, 300, seed=0)) == 10


# -- declared features -----------------------------------------------------------------------------

RATINGS = event.event_type == "rating"
MET = Count("met", entity=user, window=days(1))
STARS = Mean("stars", entity=item, of=event.properties.rating, window=days(7), default=3.0)
HABIT = Count("habit", entity=user_category, window=days(1))
ZONE = Last("zone", entity=user, of=event.user.timezone)
CROSSES = [
    UserFeature("met", of=MET), ItemFeature("stars", of=STARS), Affinity("habit", of=HABIT), Hour("hour", zone=ZONE),
    Position("position"),
]  # fmt: skip


def declared() -> Repository:
    module = ModuleType("definitions")
    vars(module).update({"features": [MET, STARS, HABIT, ZONE, Count("unread", entity=category)], "crosses": CROSSES})
    return collect(module)


def test_declared_features_are_as_they_were_at_the_moment(log: Log, space: FittedSpace) -> None:
    """Beside a count over the log up to the moment: windows whose tiles have ended are forgotten by themselves."""
    users = [User("u0", {"timezone": "Asia/Tokyo"})]
    whole = Log(log.interactions, log.items, (), users)
    moments = random.Random(1).sample(range(len(log.interactions)), 60)
    categories = {i.item_id: i.categories for i in log.items}
    compared = 0

    def look(moment: Moment) -> None:
        nonlocal compared
        at, person = moment.request.at, moment.event.user_id
        columns = moment.request.items
        before = log.interactions[: moment.number]
        own = [e for e in before if e.user_id == person]
        found = matrix(moment.request, np.arange(columns.n), CROSSES)[:, len(NAMES) :]
        tile, hour = 30 * 60_000, 3_600_000
        recent = [e for e in own if at // tile - e.timestamp // tile < 48]
        assert set(found[:, 0]) == {len(recent)}
        for row in range(0, columns.n, 7):
            item_id = columns.ids[row]
            stars = [
                float(e.properties["rating"])
                for e in before
                if e.item_id == item_id
                and "rating" in e.properties
                and at // (4 * hour) - e.timestamp // (4 * hour) < 42
            ]
            assert found[row, 1] == pytest.approx(sum(stars) / len(stars) if stars else 3.0)
            counts = [sum(c in categories[e.item_id or ""] for e in recent) for c in categories[item_id]]
            assert found[row, 2] == pytest.approx(sum(counts) / len(counts) if counts else 0)
            compared += bool(stars) + any(counts)
        shift = 9 if person == "u0" and own else 0
        assert set(found[:, 3]) == {(at // hour + shift) % 24}
        assert set(found[:, 4]) == {0.0}

    examples.replay(whole, *examples.world_of(whole, space, declared().reads), moments, look, declared=declared())
    assert compared > 50


def test_a_clock_that_is_ahead_takes_nothing_from_an_items_window(log: Log, space: FittedSpace) -> None:
    """An event 4:59 ahead counts in its item's window from when it is taken, and moves nobody else's events out."""
    lately = Count("lately", entity=item, window=minutes(5))
    module = ModuleType("definitions")
    vars(module).update({"features": [lately], "crosses": [ItemFeature("lately", of=lately)]})
    declared = collect(module)
    item_id = log.items[0].item_id
    records = [
        Record(
            Interaction(f"v{n}", "view", f"viewer{n}", at + (299_000 if n % 60 == 0 else 0), item_id),
            arrived=at,
            taken=at,
        )
        for n, at in enumerate(range(T, T + 300_000, 1000))
    ]
    last = T + 300_000
    records.append(Record(Impression("r1", "shown", last + 290_000, [item_id]), arrived=last - 1000, taken=last - 1000))
    # The same id is another person's event, of a clock that is right.
    records.append(Record(Interaction("v0", "view", "other", last, item_id), arrived=last, taken=last))
    records.append(Record(Interaction("last", "view", "last", last, item_id), arrived=last, taken=last))
    seen = Log.taken(records, log.items)
    assert set(seen.ahead) == {(f"viewer{n}", f"v{n}") for n in range(0, 300, 60)} | {("shown", "r1")}
    found: dict[str, float] = {}

    def look(moment: Moment) -> None:
        row = moment.request.items.row_of[item_id]
        found[moment.event.event_id] = float(matrix(moment.request, np.array([row]), declared.crosses)[0, len(NAMES)])

    moments = range(len(seen.interactions))
    examples.replay(seen, *examples.world_of(seen, space, declared.reads), moments, look, declared=declared)
    assert found["last"] >= 280


def test_the_replay_keeps_what_crosses_read_and_no_more(log: Log, space: FittedSpace) -> None:
    _, live = examples.replay(log, *examples.world_of(log, space, declared().reads), declared=declared())
    kept = {part.split("\0")[1] for _, part in (*live.replay.users, *live.replay.items) if part.startswith("\0")}
    assert kept == {"user", "item", "user_category"}
    _, bare = examples.replay(log, *examples.world_of(log, space))
    assert not any(part.startswith("\0") for _, part in (*bare.replay.users, *bare.replay.items))


def test_groups_have_the_crosses_after_the_other_inputs(log: Log, space: FittedSpace) -> None:
    bare = examples.examples(log, space, log.cut(0.8), 20, seed=0)
    groups = examples.examples(log, space, log.cut(0.8), 20, seed=0, declared=declared())
    assert len(groups) == len(bare)
    for group, other in zip(groups, bare, strict=True):
        assert group.features.shape[1] == len(NAMES) + len(CROSSES)
        np.testing.assert_array_equal(group.features[:, : len(NAMES)], other.features)
        assert set(group.features[:, -1]) == {-1.0}, "met in no list that was shown"


def test_positions_are_those_of_the_list_that_the_event_came_from(log: Log, space: FittedSpace) -> None:
    number = 700
    event = log.interactions[number]
    events = [*log.interactions]
    events[number] = structs.replace(event, request_id="r1")
    lists = [Impression(r, event.user_id, event.timestamp - n, ["i3", "i1"]) for n, r in enumerate(("r1", "r0"))]
    shown: list[Any] = []
    for impressions in (lists[:1], lists[1:], lists):
        whole = Log.of(events, log.items, impressions)
        examples.replay(whole, *examples.world_of(whole, space), [number], lambda moment: shown.append(moment.shown))
    assert shown == [["i3", "i1"], (), ["i3", "i1"]]
    columns = examples.replay(log, *examples.world_of(log, space))[1].columns
    rows = columns.rows(["i1", "i2", "i3"])
    assert examples.stood(["i3", "gone", "i1"], columns, rows).tolist() == [2.0, -1.0, 0.0]
