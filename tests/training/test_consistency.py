"""What a made server logs of its feeds is found again by a replay, however late its rows are."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from msgspec import structs

from feature_repo.builders import item_operator, user_operator
from feature_repo.columns import ItemColumns
from feature_repo.crosses import Affinity, Cross, Device, Hour, ItemFeature, Overlap, Similarity, UserFeature
from feature_repo.inputs import NAMES, matrix, names
from feature_repo.item_vectors import HeldVectors
from feature_repo.repository import Repository
from feature_repo.views import user
from operators import features
from operators.contract import Record
from operators.features import Count, Decay, InteractedWith, Rate, Vector, event, user_category
from operators.keyed import UserOperator
from operators.space import BundleSpace
from operators.time import DAY, HOUR, MINUTE, days, minutes
from recommend.ranking import ranking_of
from schemas import bundle
from schemas.events import Impression, Interaction, Item, User
from schemas.topics import IMPRESSIONS, INTERACTIONS, USERS
from tests.bundles import write_bundle
from training.consistency import Comparison, compare
from training.live import LiveColumns, LivePeople
from training.replay import KnownItems, Replay
from training.watch import Watch

T0 = 1_767_225_600_000
CATEGORIES = [f"c{n}" for n in range(4)]
ITEMS = [Item(f"i{n}", f"Title {n}", [f"c{n % 4}"], f"b{n % 3}", created_at=T0 - n * DAY) for n in range(30)]
WRITE_MS = 1000
DEFAULTS = {f.name: f.default for f in user.fields}

click = event.event_type == "click"
shown = event.event_type == "impression"
clicks_5m = Count("clicks_5m", entity=features.user, events=click, window=minutes(5))
brands = InteractedWith("brands", entity=features.user, of=event.item.brand)
drawn_to = Vector("drawn_to", entity=features.user, window=Decay(days(7)), weights={"click": 1.0, "like": 2.0})
unread = Count("unread", entity=features.user)
item_ctr = Rate("item_ctr", entity=features.item, top=click, bottom=shown, window=minutes(5), prior=(1, 20))
item_views = Count("item_views", entity=features.item, events=event.event_type == "view", window=minutes(5))
habit_5m = Count("habit_5m", entity=user_category, window=minutes(5))
CROSSES = (
    UserFeature("busy", of=clicks_5m),
    Overlap("known_brand", of=brands),
    ItemFeature("ctr_5m", of=item_ctr),
    ItemFeature("views_5m", of=item_views),
    Affinity("habit", of=habit_5m),
    Device("on_tv", among=("tv",)),
    Hour("hour"),
)
DRAWN = Similarity("drawn", of=drawn_to)
FEATURES = {
    features.user: (clicks_5m, brands, drawn_to, unread),
    features.item: (item_ctr, item_views),
    user_category: (habit_5m,),
}
DECLARED = Repository(FEATURES, (*CROSSES, DRAWN))


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    write_bundle(tmp_path, [i.item_id for i in ITEMS[:25]], served=True, inputs=names(DECLARED.crosses))
    return tmp_path


class Server:
    """A server's data: a person's row, and declared features of the store, up to WRITE_MS old;
    columns whose rows have come one by one."""

    def __init__(self, bundles: Path, version: str, job: Replay, declared: Repository) -> None:
        self.version = version
        self.crosses, self._reads = declared.crosses, declared.reads
        self._world = KnownItems(ITEMS)
        self.space = self._world.space = BundleSpace.of(bundle.load(bundles / version), self._world.item)
        self.columns = ItemColumns(reads=declared.reads)
        vectors = np.zeros((len(ITEMS), self.space.dim), np.float32)
        for item in ITEMS:
            row, vector = self.columns.put_item(item), self.space.vector(item.item_id)
            vectors[row] = 0.0 if vector is None else vector
        self._vectors = HeldVectors(self.space.id, vectors)
        self._fresh = LiveColumns(job, ItemColumns(reads=declared.reads), declared)
        self._written = dict.fromkeys([i.item_id for i in ITEMS], T0)
        self._job, self._people = job, LivePeople(job, declared)
        self._stored: dict[str, tuple[int, dict[str, Any], dict[str, Any], dict[str, Any]]] = {}

    def invalidate(self, signals: Any) -> None:
        self._fresh.invalidate(signals)

    def copy(self, clock: int, at_once: bool = False) -> None:
        """Takes the rows of items whose boundary has passed: each item's is its own."""
        for item_id, at in self._written.items():
            if not at_once and clock - at <= WRITE_MS + 37 * int(item_id[1:]) % 500:
                continue
            self._written[item_id] = clock
            copied = self._fresh.at(clock).subset([item_id])
            if not copied.n:
                continue  # nothing has happened to it
            to, columns = self.columns.row(item_id), self.columns
            reads = [value.key for value in columns.reads.item]
            for name in (*reads, "popularity", "events_7d", "ctr_7d"):
                columns._arrays[name][to] = copied._arrays[name][0]
            for region, values in copied.region_popularity.items():
                own = columns.region_popularity.setdefault(region, np.full(len(columns._arrays["hashes"]), -1e9))
                own[to] = values[0]
            columns.leaders = {"": float(columns.popularity.max())} | {
                region: float(own.max()) for region, own in columns.region_popularity.items()
            }

    def _row(self, who: str, clock: int) -> dict[str, Any]:
        """The person's row with its vector in the server's space, as the hydrator makes it."""
        if (who, "") not in self._job.users:
            return DEFAULTS
        row = self._job.user_row(who, clock)
        operator = UserOperator(user, self._world)
        state = operator.of_row(row)
        operator.embed(state)
        return row | operator.vector(state)

    def feed(self, id: str, who: str, clock: int, items: list[str], region: str, device: str) -> Impression:
        if clock - self._stored.get(who, (0,))[0] > WRITE_MS:
            read = self._people.pairs(who, clock)
            pairs = {view: read(view, CATEGORIES) for view in self._reads.pairs}
            row = self._row(who, clock)
            self._stored[who] = clock, row, self._people.declared(who, clock), pairs
        at, row, declared, pairs = self._stored[who]
        if clock - at < WRITE_MS / 2:
            row = self._row(who, clock)  # the server goes on from the row; not from what is declared
        known = row["consent"]
        request = ranking_of(
            row | declared if known else DEFAULTS | {"consent": False}, self.columns, self._vectors,
            self.space.content, clock, region, device,
            pairs=lambda view, names: {name: pairs[view][name] for name in names if known and name in pairs[view]},
        )  # fmt: skip
        inputs = matrix(request, self.columns.rows(items), self.crosses)
        return Impression(
            id, who, clock, items, region=region or None, device=device or None, model_version=self.version,
            features=inputs.tobytes(), applied_offset=row["applied_offset"],
        )  # fmt: skip


def served(
    bundles: Path, seed: int, n: int = 300, versions: tuple[str, ...] = ("test",), declared: Repository = DECLARED
) -> list[Record]:
    """The archive of a job and a server: people act and ask for feeds; some feeds are made while the person's last
    event is still under way. Each bundle is in force for as long as the others."""
    rng = random.Random(seed)
    world = KnownItems(ITEMS)
    declared = declared.for_crosses()
    replay = Replay(user_operator(world, None, declared), item_operator(world, declared))
    server = Server(bundles, versions[0], replay, declared)
    world.space = server.space
    found: list[Record] = []
    under_way: list[tuple[Impression, int]] = []
    clock, offset = T0, 0

    def taken(event: Any, topic: str, at: int, place: int) -> None:
        record = Record(event, topic, 0, place, at, at)
        found.append(record)
        server.invalidate(replay.feed(record))

    for who in ("u1", "u2", "u9"):
        taken(User(who, interests=["c1"], consent=who != "u9"), USERS, clock, len(found))
    for k in range(n):
        clock += rng.choice([5, 40, 200, 900, 20 * MINUTE if rng.random() < 0.05 else 100])
        while under_way and under_way[0][1] <= clock:
            feed, at = under_way.pop(0)
            taken(feed, IMPRESSIONS, at, len(found))
        if k and k % -(-n // len(versions)) == 0:
            before, server = server, Server(bundles, versions[k * len(versions) // n], replay, declared)
            server._fresh = before._fresh
            server.copy(clock, at_once=True)
            world.space = server.space
        server.copy(clock)
        who = f"u{rng.randrange(10)}"
        if rng.random() < 0.3:
            items = [i.item_id for i in rng.sample(ITEMS, 5)]
            feed = server.feed(f"r{k}", who, clock, items, rng.choice(["", "DE"]), rng.choice(["", "tv"]))
            under_way.append((feed, clock + 60))
        else:
            kind = rng.choice(["click", "view", "like", "dislike"])
            properties = {"region": rng.choice(["DE", ""])}
            did = Interaction(f"e{k}", kind, who, clock, f"i{rng.randrange(30)}", properties=properties)
            offset += 1
            taken(did, INTERACTIONS, clock, offset)
    end = Interaction("end", "click", "nobody", clock + MINUTE, "i1")
    taken(end, INTERACTIONS, clock + MINUTE, offset + 1)
    order = {USERS: 0, IMPRESSIONS: 1, INTERACTIONS: 2}
    return sorted(found, key=lambda r: (r.taken, order[r.topic], r.offset))


def compared(records: list[Record], bundles: Path, declared: Repository = DECLARED) -> Comparison:
    return compare(
        lambda: records, ITEMS, lambda version: bundle.load(bundles / version), declared, within=2 * WRITE_MS
    )


@pytest.mark.parametrize("seed", range(4))
def test_what_was_served_is_found_again(bundles: Path, seed: int) -> None:
    report = compared(served(bundles, seed), bundles)
    assert report.impressions > 60
    assert {row.name: row.different for row in report.rows if row.different} == {}
    assert report.overall.share == 1.0, report
    assert report.overall.fresh > 0, "rows of items are late"
    assert [row.name for row in report.rows] == list(names(DECLARED.crosses))


def test_rows_of_what_is_declared_are_late_too(bundles: Path) -> None:
    reports = [compared(served(bundles, seed), bundles) for seed in (1, 3)]
    assert {row.name for report in reports for row in report.rows if row.fresh} >= {"busy", "ctr_5m", "habit"}


@pytest.mark.parametrize("said", [[2], [1, 2], [2, 9]])
def test_a_server_puts_its_own_events_on_a_row_that_lacks_others(tmp_path: Path, said: list[int]) -> None:
    """The row has the first event, and the server applies the third: the feed is of these two."""
    write_bundle(tmp_path, [i.item_id for i in ITEMS[:25]], served=True, inputs=NAMES)
    none, world = Repository(), KnownItems(ITEMS)
    replay = Replay(user_operator(world, None), item_operator(world))
    server = Server(tmp_path, "test", replay, none)
    world.space = server.space
    first, second, third = (
        Record(Interaction(f"e{n}", kind, "u1", T0 + n, item), INTERACTIONS, 0, n, T0 + n, T0 + n)
        for n, (kind, item) in enumerate([("like", "i3"), ("purchase", "i8"), ("click", "i4")])
    )
    server.invalidate(replay.feed(first))
    server.copy(T0 + 10_000, at_once=True)
    replay.feed(third)
    feed = server.feed("r1", "u1", T0 + 10_000, ["i1", "i2", "i9"], "DE", "")
    feed = structs.replace(feed, applied_offset=0, own_offsets=said)
    later = Record(Interaction("e3", "click", "u1", T0 + HOUR, "i5"), INTERACTIONS, 0, 3, T0 + HOUR, T0 + HOUR)
    records = [first, second, third, Record(feed, IMPRESSIONS, 0, 0, T0 + 10_060, T0 + 10_060), later]
    report = compared(records, tmp_path, none)
    if said == [2, 9]:
        assert report.skipped == {"the events of their rows are not in the archive": 1}
    else:
        assert report.impressions == 1
        assert (report.overall.different == 0) is (said == [2])


def test_a_feed_after_which_nothing_happens_for_long_is_compared_as_of_itself(bundles: Path) -> None:
    world, declared = KnownItems(ITEMS), DECLARED.for_crosses()
    replay = Replay(user_operator(world, None, declared), item_operator(world, declared))
    server = Server(bundles, "test", replay, declared)
    world.space = server.space
    records = []
    for offset, at in enumerate((T0, T0 + 20_000, T0 + 120 * MINUTE)):
        if offset == 2:
            server.copy(T0 + 30_000, at_once=True)
            feed = server.feed("r1", "u1", T0 + 30_000, ["i1", "i2"], "DE", "")
            records.append(Record(feed, IMPRESSIONS, 0, 0, T0 + 30_060, T0 + 30_060))
        did = Interaction(f"e{offset}", "click", "u1", at, "i1", properties={"region": "DE"})
        records.append(Record(did, INTERACTIONS, 0, offset, at, at))
        server.invalidate(replay.feed(records[-1]))
    report = compared(records, bundles)
    found = {row.name: (row.n, row.equal) for row in report.rows}
    assert found == dict.fromkeys(names(DECLARED.crosses), (2, 2)), "although windows have passed by the next event"


@pytest.mark.parametrize("seed", range(2))
def test_a_bundle_comes_between(bundles: Path, seed: int) -> None:
    """Its space is another, of another dimension, and feeds of both are compared at once. What is declared goes on."""
    declared = Repository(FEATURES, CROSSES)
    write_bundle(bundles, [i.item_id for i in ITEMS[:25]], 8, 0, "first", served=True, inputs=names(CROSSES))
    write_bundle(bundles, [i.item_id for i in ITEMS[5:]], 6, 1, "later", served=True, inputs=names(CROSSES))
    report = compared(served(bundles, seed, versions=("first", "later", "first"), declared=declared), bundles, declared)
    assert report.impressions > 60
    assert {row.name: row.different for row in report.rows if row.different} == {}
    assert report.overall.share == 1.0, report


def test_a_bundle_of_older_definitions_is_compared_in_what_is_still_declared(bundles: Path) -> None:
    records = served(bundles, 3)
    kept: tuple[Cross, ...] = (CROSSES[4], CROSSES[2])  # in an order of their own
    report = compared(records, bundles, Repository(FEATURES, kept))
    assert {row.name for row in report.rows} == {*NAMES, "habit", "ctr_5m"}
    assert report.overall.different == 0
    gone = {"busy", "known_brand", "views_5m", "on_tv", "hour", "drawn"}
    assert report.skipped.items() >= {(f"{name} is not declared any more", report.impressions) for name in gone}
    more = Repository(FEATURES, (*DECLARED.crosses, UserFeature("new", of=unread)))
    assert {row.name for row in compared(records, bundles, more).rows} == set(names(DECLARED.crosses))


@pytest.mark.parametrize("name", ["history", "busy", "ctr_5m", "habit"])
def test_what_was_not_served_so_is_different(bundles: Path, name: str) -> None:
    records = served(bundles, 1)
    place = names(DECLARED.crosses).index(name)

    def wrong(record: Record) -> Record:
        if not isinstance(record.event, Impression):
            return record
        logged = np.frombuffer(record.event.features or b"", "<f4").reshape(5, -1).copy()
        logged[0, place] += 50
        return record._replace(event=structs.replace(record.event, features=logged.tobytes()))

    report = compared([wrong(record) for record in records], bundles)
    assert {row.name for row in report.rows if row.different} == {name}
    row = next(row for row in report.rows if row.name == name)
    assert row.different + row.unordered >= report.impressions, "one value an impression, but for what has no order"
    assert row.different > report.impressions / 4


def test_what_an_app_made_up_is_not_compared(bundles: Path) -> None:
    """Inputs without what a server says that it knew: they were made elsewhere."""
    records = served(bundles, 2)
    strange = [
        record._replace(event=structs.replace(e, features=bytes(len(e.features or b"")), applied_offset=None))
        if isinstance(e := record.event, Impression) and e.user_id == "u3"
        else record
        for record in records
    ]
    made_up = sum(before is not after for before, after in zip(records, strange, strict=True))
    report, whole = compared(strange, bundles), compared(records, bundles)
    assert made_up > 3
    assert whole.impressions - made_up <= report.impressions < whole.impressions
    assert (report.overall.different, whole.overall.different) == (0, 0)


def test_what_cannot_be_compared_is_counted_by_its_reason(bundles: Path) -> None:
    records = served(bundles, 2)

    def other(record: Record, **change: Any) -> Record:
        shown = isinstance(record.event, Impression)
        return record._replace(event=structs.replace(record.event, **change)) if shown else record

    gone = compare(lambda: records, ITEMS, lambda version: None, DECLARED)
    assert (gone.impressions, list(gone.skipped)) == (0, ["their bundle is gone"])
    unknown = compared([other(record, applied_offset=10**6) for record in records], bundles)
    assert (unknown.impressions, list(unknown.skipped)[-1]) == (
        0,
        "the events of their rows are not in the archive",
    )
    narrow = compared([other(record, features=bytes(20)) for record in records], bundles)
    assert list(narrow.skipped) == ["their ranker had other inputs"]
    assert narrow.overall.share == 1.0


def test_of_a_crowd_of_feeds_few_are_in_memory_at_once(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each watched impression holds what a server can have known for a while: what is watched at once is bounded."""
    watched, most = 0, 0

    class Counting(Watch):
        def __post_init__(self) -> None:
            nonlocal watched, most
            watched += 1
            most = max(most, watched)

        def verdicts(self) -> npt.NDArray[np.int64]:
            nonlocal watched
            watched -= 1
            return super().verdicts()

    monkeypatch.setattr("training.consistency.Watch", Counting)
    passes: list[str] = []
    records = served(bundles, 1)

    def progress(name: str, of: Iterable[Record]) -> Iterable[Record]:
        passes.append(name)
        return of

    load = lambda version: bundle.load(bundles / version)  # noqa: E731
    report = compare(lambda: records, ITEMS, load, DECLARED, 5_000, 60, overlap=3, progress=progress)
    assert 5 < report.impressions <= 60
    assert most <= 2 * 3  # those that opened and those that close overlap by one window
    (reason,) = (reason for reason in report.skipped if "at most 3 of any 5 s" in reason)
    assert report.skipped[reason] > 0
    assert len(passes) == 3
