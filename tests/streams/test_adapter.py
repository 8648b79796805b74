"""The adapter compared with the replay driver, for any order of events, timers, checkpoints and crashes."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from feature_repo.builders import item_operator, user_operator
from feature_repo.crosses import ItemFeature
from feature_repo.repository import Repository
from feature_repo.store import Writer
from feature_repo.values import DECODE
from feature_repo.views import item, user, user_shown
from operators import cells
from operators.attribution import Attribution
from operators.contract import Record, Signal
from operators.features import Count, LastK, Sum, event, session, user_category
from operators.features import item as item_entity
from operators.features import user as user_entity
from operators.item import SENT
from operators.keyed import UserOperator
from operators.stepping import LINGERS
from operators.time import DAY, END, HOUR, MINUTE
from operators.windows import tile_of
from schemas import codec
from schemas.clock import now_ms
from schemas.errors import StateError
from schemas.events import Impression, Interaction, LabelledExample
from schemas.topics import EXAMPLES, IMPRESSIONS, INTERACTIONS, REFRESH
from streams import adapter, archive, examples, wire
from streams.sinks import StoreSink
from tests.operators.records import World
from tests.operators.signals import ITEMS
from tests.streams.mini_flink import MiniFlink, Store
from training.backfill import Backfill, write_states
from training.replay import Replay

START = 1_767_225_600_000
USERS = ("u1", "u2", "u3")


def message(event: Interaction | Impression, offset: int, arrived: int) -> tuple[Any, ...]:
    topic = INTERACTIONS if isinstance(event, Interaction) else IMPRESSIONS
    return (event.user_id, codec.encode(event), topic, 0, offset, arrived)


def click(n: int, user_id: str, at: int, item_id: str = ITEMS[3]) -> Interaction:
    return Interaction(f"e{n}", "click", user_id, at, item_id, properties={"region": "DE" if n % 3 else ""})


def signals_of(out: list[Any]) -> Counter[tuple[str, Any]]:
    """Downstream signals that were sent, by key."""
    rows = [row for row in out if isinstance(row[0], str)]
    return Counter((row[0], as_sent(record.event)) for row in rows for record in wire.records(row[1]))


def as_sent(signal: Any) -> tuple[Any, ...]:
    """The fields of a signal that go downstream; decoded ones have lists."""
    *first, partners, contexts = signal[:SENT]
    return *first, tuple(partners), tuple(contexts)


def letters(out: list[Any]) -> int:
    return sum(1 for row in out if row[0] is wire.DEAD)


def archived(out: list[Any]) -> list[str]:
    """Rows for the archive."""
    return [line for row in out if row[0] is archive.ACCEPTED for line in row[1][0].split(archive.ROW)]


def as_read(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its state decoded: one state may be encoded in several ways, by what had changed since when."""
    served = {f.name: row[f.name] for a in user.aggregations for f in a.fields}
    return {**served, "state": UserOperator(user, World()).of_row(row)}


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def flink(store: Store, monkeypatch: pytest.MonkeyPatch) -> MiniFlink:
    return MiniFlink("user", World(), store, monkeypatch)


def test_a_refused_event_moves_the_rows_place_in_the_log_and_nothing_else(flink: MiniFlink, store: Store) -> None:
    names = [f.name for f in user.fields]

    def row(who: str) -> dict[str, Any]:
        return dict(zip(names, store.rows[user.name, who].values, strict=True))

    flink.send(message(click(0, "u1", flink.now), 0, flink.now))
    before = row("u1")
    refused = [click(0, "u1", flink.now), click(1, "u1", flink.now - 2 * DAY), click(2, "u1", flink.now + DAY)]
    for n, each in enumerate(refused, 1):
        flink.send(message(each, n, flink.now))
        assert letters(flink.out) == n
        changed = {name for name, value in row("u1").items() if value != before[name]}
        assert changed == {"read_offset", "state"}
        assert row("u1")["read_offset"] == n
    assert signals_of(flink.out).total() == 1
    saved = flink.checkpoint()
    flink.restore(saved)
    flink.send(message(click(3, "new", flink.now + DAY), 7, flink.now))
    assert (row("new")["read_offset"], row("new")["applied_offset"]) == (7, -1)


def test_a_late_refusal_is_in_the_row_after_a_crash(flink: MiniFlink, store: Store) -> None:
    flink.send(message(click(0, "u1", flink.now), 0, flink.now - 2_000))
    flink.send(message(click(0, "u1", flink.now), 1, flink.now - 2_000))
    flink.restore(flink.checkpoint())
    flink.advance(60_000)
    place = [f.name for f in user.fields].index("read_offset")
    assert store.rows[user.name, "u1"].values[place] == 1


def test_a_saved_state_of_an_older_version_is_refused_with_the_way_out(flink: MiniFlink) -> None:
    flink._key = "u1"
    flink.function._saved._state.put("", (b"\x96", flink.now))
    with pytest.raises(StateError, match=r"older version.*--no-restore"):
        flink.send(message(click(0, "u1", flink.now), 0, flink.now))


def test_interactions_whose_item_has_no_entry_yet_are_counted(
    flink: MiniFlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: Counter[str] = Counter()
    monkeypatch.setattr(flink.function._counts, "add", lambda name, n=1: counted.update({name: n}))
    search = Interaction("s", "search", "u1", flink.now, None, properties={"query": "heat"})
    for n, each in enumerate([click(0, "u1", flink.now), click(1, "u1", flink.now, "posted later"), search]):
        flink.send(message(each, n, flink.now))
    assert (counted["accepted"], counted["unlisted"]) == (3, 1)


def test_who_is_in_time_leaves_at_once(flink: MiniFlink, store: Store) -> None:
    for n, who in enumerate(USERS * 2):
        flink.send(message(click(n, who, flink.now), n, flink.now - 5))
        assert (store.writes, signals_of(flink.out).total(), flink.tails()) == (n + 1, n + 1, 0)
    assert sorted(row.key[0] for row in store.rows.values()) == sorted(USERS)
    flink.advance(1_000)
    assert store.writes == 6


def test_who_is_in_time_takes_along_what_waits(flink: MiniFlink, store: Store) -> None:
    flink.send(message(click(0, "u1", flink.now), 0, flink.now - 8_000))
    flink.send(message(click(1, "u1", flink.now), 1, flink.now))
    assert (store.writes, signals_of(flink.out).total(), flink.tails()) == (1, 2, 0)
    flink.advance(60_000)
    assert (store.writes, signals_of(flink.out).total()) == (1, 2)


def test_what_is_late_leaves_at_the_boundary_in_one_write(flink: MiniFlink, store: Store) -> None:
    for n, who in enumerate(USERS * 2):
        flink.send(message(click(n, who, flink.now), n, flink.now - 2_000 - 20 * n))
    assert (flink.out, store.rows, flink.tails()) == ([], {}, 6)
    flink.advance(700)
    assert store.writes == 1
    assert sorted(row.key[0] for row in store.rows.values()) == sorted(USERS)
    assert len(flink.out) == 1, "one message an item"
    assert signals_of(flink.out).total() == 6
    assert flink.tails() == 0


def test_who_is_behind_leaves_less_often(flink: MiniFlink, store: Store) -> None:
    flink.send(message(click(0, "u1", flink.now), 0, flink.now - 8_000))
    flink.advance(500)
    assert not store.rows
    flink.advance(2_000)
    assert store.rows
    flink.send(message(click(1, "u1", flink.now), 1, flink.now))
    flink.advance(10)
    assert store.writes == 2


def test_the_end_of_a_backlog_holds_no_click_back(flink: MiniFlink, store: Store) -> None:
    flink.send(message(click(0, "u1", flink.now), 0, flink.now - 60_000))
    flink.send(message(click(1, "u1", flink.now), 1, flink.now - 1_500))
    assert store.writes == 0
    flink.advance(700)
    assert store.writes == 1
    assert signals_of(flink.out).total() == 2
    flink.advance(60_000)
    assert signals_of(flink.out).total() == 2


def test_a_session_that_went_on_ends_also_where_memory_has_forgotten_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer is that of the first event; the second moves the end, and sets none while there is an earlier one."""
    flink = MiniFlink("user", World(), store, monkeypatch)
    ends = [f.name for f in user.fields].index("session_items")
    flink.send(message(click(0, "u1", flink.now), 0, flink.now))
    flink.advance(20 * MINUTE)
    flink.send(message(click(1, "u1", flink.now), 1, flink.now))
    flink.restore(flink.checkpoint())
    flink.advance(31 * MINUTE)
    assert store.rows["user_activity", "u1"].values[ends] == 0


def test_a_row_changes_by_itself_when_its_session_ends(flink: MiniFlink, store: Store) -> None:
    flink.send(message(click(0, "u1", flink.now), 0, flink.now))
    flink.advance(10)
    names = [f.name for f in user.fields]
    session = names.index("session_items")
    assert store.rows["user_activity", "u1"].values[session] == 1
    flink.advance(HOUR)
    assert store.rows["user_activity", "u1"].values[session] == 0
    flink.advance(8 * DAY)
    assert sum(store.rows["user_activity", "u1"].values[names.index("events_7d")]) == 0


def test_what_ends_while_its_row_is_on_its_way_has_ended(flink: MiniFlink, store: Store) -> None:
    def slow() -> None:
        flink.now += 6 * MINUTE

    store.during = slow
    flink.send(message(click(0, "u1", flink.now), 0, flink.now))
    flink.advance(10)
    store.during = lambda: None
    flink.advance(20)
    assert sum(store.rows["user_activity", "u1"].values[[f.name for f in user.fields].index("events_5m")]) == 0


def test_the_last_late_element_before_a_pause_sets_nobodys_pace(flink: MiniFlink, store: Store) -> None:
    began, tile = flink.now, tile_of(5 * MINUTE)
    flink.send(message(click(0, "u1", began), 0, began - 100_000))
    flink.advance(40_000)
    before = store.writes
    flink.advance((began // tile + 5 * MINUTE // tile) * tile + 50 - flink.now)
    assert store.writes == before + 1
    assert store.rows["user_activity", "u1"].values[[f.name for f in user.fields].index("events_5m")] == [0] * 10


def test_memory_shrinks_after_a_backlog(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    flink = MiniFlink("user", World(), store, monkeypatch, cached_keys=5)
    for n in range(50):
        flink.send(message(click(n, f"u{n}", flink.now), n, flink.now - 60_000))
    flink.advance(60_000)
    flink.send(message(click(50, "u50", flink.now), 50, flink.now))
    flink.advance(10)
    assert len(flink.function._entries) <= 6
    assert len(store.rows) == 51


def test_in_event_time_nothing_waits_for_a_boundary(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    flink = MiniFlink("user", World(), store, monkeypatch, cached_keys=1, clock="event")
    for n in range(6):
        flink.send(message(click(n, USERS[n % 3], START + n), n, flink.now))
    flink.restore(flink.checkpoint())
    flink.send(message(click(6, "u1", START + 6), 6, flink.now))
    flink.advance(HOUR)
    assert store.writes == 7
    assert signals_of(flink.out).total() == 7


def test_an_idle_key_that_memory_has_forgotten_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    flink = MiniFlink("user", World(), store, monkeypatch, cached_keys=1)
    for n, who in enumerate(USERS * 3):
        flink.send(message(click(n, who, flink.now), n, flink.now))
        flink.advance(10)
    assert len(flink.function._entries) <= 3
    counted = [f.name for f in user.fields].index("events_24h")
    assert [sum(row.values[counted]) for row in store.rows.values()] == [3, 3, 3]


@pytest.mark.parametrize("interruption", ["none", "restore", "eviction"])
def test_what_ends_by_itself_in_one_region_does_so_after_news_of_another(
    interruption: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flink = MiniFlink("item", World(), store, monkeypatch, cached_keys=1)

    def tell(item_id: str, region: str) -> None:
        signal = Signal("click", flink.now, item_id, region)
        flink.send(tuple(wire.downstream(item_id, [signal], None, flink.now)[1]))
        flink.advance(1_000)

    tell("i1", "DE")
    if interruption == "restore":
        flink.restore(flink.checkpoint())
    elif interruption == "eviction":
        tell("i2", "")
    tell("i1", "")
    counted = [f.name for f in item.fields].index("events_7d")
    assert sum(store.rows["item_region_activity", "i1", "DE"].values[counted]) == 1
    flink.advance(8 * DAY)
    assert sum(store.rows["item_region_activity", "i1", "DE"].values[counted]) == 0
    assert sum(store.rows[item.name, "i1"].values[counted]) == 0


behind = st.sampled_from([0, 0, 3_000, 100_000])
steps = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(USERS), st.sampled_from(ITEMS), st.integers(0, 12), behind),
    st.tuples(st.just("shown"), st.sampled_from(USERS), st.sampled_from(ITEMS), st.integers(0, 12), behind),
    st.tuples(st.just("advance"), st.sampled_from([1, 4, 10, 700, 20_000, HOUR, DAY])),
    st.tuples(st.just("checkpoint")),
    st.tuples(st.just("crash")),
)


@given(st.lists(steps, max_size=40))
def test_every_event_counts_once_whatever_happens(script: list[Any]) -> None:
    """Kafka repeats messages after the checkpoint; the final rows and signals are those of the replay driver."""
    with pytest.MonkeyPatch.context() as patch:
        store = Store()
        flink = MiniFlink("user", World(), store, patch, cached_keys=2)
        flink.advance(20)  # so that no event is ahead of the clock
        log: list[tuple[tuple[Any, ...], Record]] = []
        saved, read = flink.checkpoint(), 0
        for step in script:
            match step:
                case ("event", who, item_id, n, late):
                    event: Any = click(n, who, START + n, item_id)
                case ("shown", who, item_id, n, late):
                    event = Impression(f"r{n}", who, START + n, [item_id, ITEMS[2]])
                case ("advance", ms):
                    flink.advance(ms)
                    continue
                case ("checkpoint",):
                    saved, read = flink.checkpoint(), len(log)
                    continue
                case _:
                    flink.restore(saved)
                    for sent, _ in log[read:]:
                        flink.send(sent)
                    continue
            sent = message(event, len(log), flink.now - late)
            log.append((sent, Record(event, sent[2], 0, len(log), sent[5])))
            flink.send(sent)
        flink.advance(60_000)

        replay = Replay(user_operator(World()), item_operator(World()))
        signals = Counter((s.item_id, as_sent(s)) for _, record in log for s in replay.feed(record) or () if s.item_id)
        assert signals_of(flink.out) == signals
        assert letters(flink.out) == len(replay.dead)
        assert flink.tails() == 0
        assert {row.key[0] for row in store.rows.values()} == {user_id for user_id, _ in replay.users}
        names = [f.name for f in user.fields]
        for who, _ in replay.users:
            found = dict(zip(names, store.rows[user.name, who].values, strict=True))
            expected = replay.user_row(who, flink.now)
            assert as_read(found) == as_read(expected)


class FakeRedis:
    """Hashes by key, behind a real writer: HSET answers how many fields are new."""

    def __init__(self) -> None:
        self.hashes: dict[bytes, dict[Any, Any]] = {}
        self.sent: list[int] = []
        """fields of each HSET"""
        self.fail: list[str] = []
        """for each of the next calls: "before" or "after" anything is written, or "" """

    def send(self, commands: list[tuple[Any, ...]]) -> list[int]:
        how = self.fail.pop(0) if self.fail else ""
        if how == "before":
            raise ConnectionError("before")
        answers = []
        for _, key, *words in commands:
            fields = dict(zip(words[::2], words[1::2], strict=True))
            known = self.hashes.setdefault(key, {})
            answers.append(len(fields.keys() - known.keys()))
            known.update(fields)
            self.sent.append(len(fields))
        if how == "after":
            raise ConnectionError("after")
        return answers

    def values(self) -> dict[bytes, dict[Any, Any]]:
        """Without the times of writing, which are the fields named by a text."""
        return {key: {n: v for n, v in cells.items() if isinstance(n, bytes)} for key, cells in self.hashes.items()}


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


def over_redis(flink: MiniFlink, redis: FakeRedis, patch: pytest.MonkeyPatch) -> None:
    """Has every function that is opened from now on write through a writer of its own."""

    def sink(*_: Any) -> StoreSink:
        writer = Writer(timeout_s=1, clock=now_ms)
        writer._send = redis.send  # type: ignore[method-assign, assignment]
        found = StoreSink.__new__(StoreSink)
        found._writer = writer
        found._retrying = lambda call, rows: call(rows)  # type: ignore[assignment]
        return found

    patch.setattr(adapter, "StoreSink", sink)
    flink._open()


def whole() -> int:
    """Fields of a whole row, and the time of writing."""
    return len(user.fields) + 1


@pytest.mark.parametrize("lost", ["nothing", "everything", "a row", "a field"])
def test_a_row_is_whole_whatever_the_store_has_lost(
    lost: str, redis: FakeRedis, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flink = MiniFlink("user", World(), store, monkeypatch)
    over_redis(flink, redis, monkeypatch)
    for n in range(4):
        flink.send(message(click(n, USERS[n % 2], flink.now + n), n, flink.now))
    assert redis.sent[:2] == [whole()] * 2
    assert max(redis.sent[2:]) < whole()
    first = next(iter(redis.hashes))
    match lost:
        case "everything":
            redis.hashes.clear()
        case "a row":
            del redis.hashes[first]
        case "a field":  # one that every event changes shows in the answer; others are not lost by themselves
            changed = next(name for name in redis.hashes[first] if isinstance(name, str))
            del redis.hashes[first][changed]
    for n in range(4, 8):
        flink.send(message(click(n, USERS[n % 2], flink.now + n), n, flink.now))
    expected = FakeRedis()
    other = MiniFlink("user", World(), store, monkeypatch)
    other.now = flink.now
    over_redis(other, expected, monkeypatch)
    for n in range(8):
        other.send(message(click(n, USERS[n % 2], other.now + n), n, other.now))
    assert redis.values() == expected.values()


@pytest.mark.parametrize("how", ["before", "after"])
def test_after_a_broken_connection_rows_are_written_whole(
    how: str, redis: FakeRedis, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store that answers next may be another, with older rows."""
    flink = MiniFlink("user", World(), store, monkeypatch)
    over_redis(flink, redis, monkeypatch)
    for n in range(3):
        flink.send(message(click(n, USERS[n % 2], flink.now), n, flink.now))
    redis.fail = [how]
    redis.sent.clear()
    flink.send(message(click(3, "u1", flink.now), 3, flink.now))
    flink.send(message(click(4, "u2", flink.now), 4, flink.now))
    assert redis.sent[-2:] == [whole()] * 2


EVENTFUL = ("advance", "checkpoint", "crash", "emptied", "break", "fail")


@pytest.mark.parametrize("late", [0, 2_000])
@settings(max_examples=25)
@given(script=st.lists(st.sampled_from([0, 1, 2, 3, *EVENTFUL]), max_size=30))
def test_the_store_ends_as_if_nothing_had_happened(late: int, script: list[Any]) -> None:
    """Crashes go back to an older checkpoint, of which the store is ahead; the store is emptied; connections break
    before and after a write has arrived."""
    with pytest.MonkeyPatch.context() as patch:
        redis, expected = FakeRedis(), FakeRedis()
        flink = MiniFlink("user", World(), Store(), patch, cached_keys=2)
        over_redis(flink, redis, patch)
        log: list[tuple[Any, ...]] = []
        saved, read = flink.checkpoint(), 0

        def send(sent: tuple[Any, ...]) -> None:
            try:
                flink.send(sent)
            except ConnectionError:
                crash()

        def crash() -> None:
            redis.fail.clear()
            flink.restore(saved)
            for again in log[read:]:
                flink.send(again)

        for step in script:
            match step:
                case "advance":
                    try:
                        flink.advance(700)
                    except ConnectionError:
                        crash()
                case "checkpoint":
                    saved, read = flink.checkpoint(), len(log)
                case "crash":
                    crash()
                case "emptied":
                    redis.hashes.clear()
                    touched = {sent[0] for sent in log}
                    for who in sorted(touched):
                        log.append(message(click(len(log), who, flink.now), len(log), flink.now - late))
                        send(log[-1])
                case "break":
                    redis.fail = ["after"]
                case "fail":
                    redis.fail = ["before", "before"]
                case n:
                    who = USERS[n % 3]
                    log.append(message(click(len(log) - (n == 3), who, flink.now), len(log), flink.now - late))
                    send(log[-1])
        redis.fail.clear()
        flink.advance(2 * MINUTE)
        for who in USERS:  # each row is written once more, so that both are of the same moment
            log.append(message(click(10_000 + len(log), who, flink.now), len(log), flink.now))
            flink.send(log[-1])
        hashed = Writer(timeout_s=1, clock=now_ms)._columns[user.name][2]
        names = {name: f.name for name, f in zip(hashed, user.fields, strict=True)}
        replay = MiniFlink("user", World(), Store(), patch)
        over_redis(replay, expected, patch)
        replay.now = flink.now
        for sent in log:
            replay.send((*sent[:5], replay.now))
        found, wanted = (
            {
                key: as_read({names[n]: DECODE[field_of(names[n])](cell) for n, cell in cells.items()})
                for key, cells in each.values().items()
            }
            for each in (redis, expected)
        )
        assert found == wanted


def field_of(name: str) -> Any:
    return next(f.dtype for f in user.fields if f.name == name)


@given(st.lists(st.one_of(st.integers(1, 5), st.sampled_from(["advance", "checkpoint", "crash"])), max_size=25))
def test_news_in_messages_of_any_size_counts_once(script: list[Any]) -> None:
    """The item operator, overall and by region: numbers are messages with so many events."""
    with pytest.MonkeyPatch.context() as patch:
        store = Store()
        flink = MiniFlink("item", World(), store, patch)
        log: list[tuple[Any, ...]] = []
        events: list[Signal] = []
        saved, read = flink.checkpoint(), 0
        for step in script:
            if step == "advance":
                flink.advance(400)
            elif step == "checkpoint":
                saved, read = flink.checkpoint(), len(log)
            elif step == "crash":
                flink.restore(saved)
                for sent in log[read:]:
                    flink.send(sent)
            else:
                batch = [Signal("click", START + len(events) + n, "i1", "DE" if n % 2 else "") for n in range(step)]
                events += batch
                row = wire.downstream("i1", batch, SENT, flink.now)
                log.append(tuple(row[1]))
                flink.send(log[-1])
        flink.advance(20_000)
        counted = [f.name for f in item.fields].index("events_24h")
        assert [sum(row.values[counted]) for key, row in store.rows.items() if key[0] == item.name] == (
            [len(events)] if events else []
        )
        regional = sum(1 for e in events if e.region)
        assert [sum(row.values[counted]) for key, row in store.rows.items() if len(key) == 3] == (
            [regional] if regional else []
        )


def test_a_session_is_forgotten_some_days_after_its_last_event(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = Repository({session: (Count("depth", entity=session), Count("last_day", entity=session, window=DAY))})
    flink = MiniFlink("item", World(), store, monkeypatch, declared)

    def tell(n: int) -> None:
        did = [Signal("view", flink.now, "i1", session_id="s1") for _ in range(n)]
        flink.send(tuple(wire.downstream("s1", did, None, flink.now)[1]))
        flink.advance(2_000)

    row = ("session_features", "s1")
    tell(3)
    flink.advance(DAY)
    tell(1)
    assert store.rows[row].values == (4, 1)
    flink.advance(session.life or 0)
    assert store.rows[row].values == (0, 0)
    flink.advance(LINGERS)
    assert flink.kept() == 0
    assert getattr(flink.function._entries.find("s1"), "states", None) == {}
    flink.restore(flink.checkpoint())
    tell(1)
    assert store.rows[row].values == (1, 1), "one of another life"
    flink.advance(10 * DAY)
    assert flink.kept() == 0


def test_what_happened_long_ago_is_over_when_it_comes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = Repository({session: (Count("depth", entity=session),)})
    flink = MiniFlink("item", World(), store, monkeypatch, declared)
    flink.send(tuple(wire.downstream("s1", [Signal("view", START - 900 * DAY, session_id="s1")], None, flink.now)[1]))
    flink.advance(HOUR)
    assert store.rows["session_features", "s1"].values == (0,)
    flink.advance(LINGERS)
    assert flink.kept() == 0


@pytest.mark.parametrize("crash", [False, True])
def test_what_is_read_of_a_session_long_after_it_counts_as_one(
    crash: bool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = Repository({session: (Count("depth", entity=session, window=30 * DAY),)})
    flink = MiniFlink("item", World(), store, monkeypatch, declared)
    for n in range(3):
        did = Signal("view", START - 4 * DAY + n * DAY * 3 // 2, "i1", session_id="s1")
        flink.send(tuple(wire.downstream("s1", [did], None, flink.now)[1]))
        flink.advance(HOUR)
        if crash:
            flink.restore(flink.checkpoint())
    flink.send(tuple(wire.downstream("s1", [Signal("view", flink.now, "i1", session_id="s1")], None, flink.now)[1]))
    flink.advance(2_000)
    assert store.rows["session_features", "s1"].values == (4,)


ARCHIVED = {"archive": "file:///archive", "checkpoints": "file:///checkpoints"}


@pytest.mark.parametrize(("behind", "taken"), [(0, [0, 1_000, 1_000]), (2_000, [1_000] * 3)])
def test_what_was_accepted_is_archived_once(
    behind: int, taken: list[int], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the time at which it was taken for good: again after the restore, where it had not left by then."""
    flink = MiniFlink("user", World(), store, monkeypatch, **ARCHIVED)
    sent = [message(click(n // 2, "u1", flink.now), n, flink.now - behind) for n in range(6)]  # each id twice
    flink.send(sent[0])
    saved, began = flink.checkpoint(), flink.now
    for n, each in enumerate(sent[1:], 1):
        flink.send(each)
        if n == 3:
            flink.advance(1_000)
    flink.restore(saved)
    for each in sent[1:]:
        flink.send(each)
    flink.advance(5_000)
    rows = [dict(zip(archive.COLUMNS, line.split(archive.COLUMN), strict=True)) for line in archived(flink.out)]
    assert [json.loads(row["event"])["event_id"] for row in rows] == ["e0", "e1", "e2"]
    assert [int(row["taken"]) - began for row in rows] == taken
    assert {row["day"] for row in rows} == {datetime.fromtimestamp(began / 1000, UTC).date().isoformat()}


def test_without_checkpoints_nothing_is_archived(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    flink = MiniFlink("user", World(), store, monkeypatch, archive="file:///archive")
    flink.send(message(click(0, "u1", flink.now), 0, flink.now))
    flink.advance(10)
    assert archived(flink.out) == []


def labelled(out: list[Any]) -> list[LabelledExample]:
    """Examples for Kafka, each as its columns for the files say too."""
    found = []
    for row in out:
        if row[0] is examples.CLOSED:
            for line in row[1][0].split(archive.ROW):
                value, *cells = line.split(archive.COLUMN)
                found.append(codec.decode(EXAMPLES, bytes.fromhex(value)))
                assert dict(zip(examples.COLUMNS, cells, strict=True))["request_id"] == found[-1].request_id
    return found


def by_place(found: list[LabelledExample]) -> list[LabelledExample]:
    return sorted(found, key=lambda example: (example.request_id, example.position))


@given(st.data())
def test_examples_are_those_of_a_replay_whatever_happens(data: st.DataObject) -> None:
    """Events at most as late as is allowed, jobs that crash and go on, keys that memory has forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        flink = MiniFlink(
            "user", World(), Store(), patch, cached_keys=2, attribution_minutes=10, attribution_late_minutes=2
        )
        log: list[tuple[tuple[Any, ...], Record]] = []
        saved, read = flink.checkpoint(), 0
        kinds = ["shown", "click", "click", "named", "advance", "advance", "checkpoint", "crash"]
        for n, kind in enumerate(data.draw(st.lists(st.sampled_from(kinds), min_size=15, max_size=40))):
            rng = random.Random(n)
            who, item_id = rng.choice(USERS), rng.choice(ITEMS[:3])
            at = flink.now - rng.choice([0, 0, 1_000, MINUTE])
            if kind == "advance":
                flink.advance(rng.choice([3, 10, 500, MINUTE, 5 * MINUTE, 11 * MINUTE]))
                continue
            if kind == "checkpoint":
                saved, read = flink.checkpoint(), len(log)
                continue
            if kind == "crash":
                flink.restore(saved)
                for again, _ in log[read:]:
                    flink.send(again)
                continue
            event: Any = (
                Impression(f"r{n}", who, at, [item_id, ITEMS[4]], propensities=[0.5, 0.5])
                if kind == "shown"
                else click(n, who, at, item_id)
            )
            if kind == "named":
                event = structs.replace(event, request_id=f"r{rng.randrange(n + 3)}")
            sent = message(event, len(log), flink.now)
            log.append((sent, Record(event, sent[2], 0, len(log), sent[5])))
            flink.send(sent)
        flink.advance(HOUR)

        expected: list[LabelledExample] = []
        operator = user_operator(World(), attribution=Attribution(10 * MINUTE, 2 * MINUTE))
        replay = Replay(operator, item_operator(World()), on_example=expected.append)
        for _, record in log:
            replay.feed(record)
        replay.finish()
        assert by_place(labelled(flink.out)) == by_place(expected)


def test_in_event_time_examples_are_those_of_a_replay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    flink = MiniFlink("user", World(), store, monkeypatch, clock="event")
    flink.send(message(Impression("r1", "u1", START, ["i1"]), 0, flink.now))
    flink.send(message(click(1, "u1", START + 1, "i1"), 1, flink.now))
    flink.send(message(Impression("r2", "u1", START + HOUR, ["i1"]), 2, flink.now + HOUR))
    assert [(e.request_id, e.labels) for e in labelled(flink.out)] == [("r1", {"click": 1})]
    flink._key = "u1"
    flink.out += flink.function.on_timer(END, flink)
    assert [(e.request_id, e.labels) for e in labelled(flink.out)] == [("r1", {"click": 1}), ("r2", {})]
    assert {view for view, *_ in store.rows} == {user.name, user_shown.name}


CLICKED = event.event_type == "click"
OLD = (
    Count("clicks_1h", entity=user_entity, events=CLICKED, window=HOUR),
    LastK("last", entity=user_entity, of=event.item_id, k=3),
)
NEW = (
    OLD[1],
    Count("clicks_24h", entity=user_entity, events=CLICKED, window=DAY),
    Sum("spent", entity=user_entity, of=event.item.price),
)
PAIRS = Count("met", entity=user_category, window=7 * DAY)


BY_ITEM = (Count("seen", entity=item_entity),)
BY_ITEM_LATER = (
    *BY_ITEM,
    Count("clicked", entity=item_entity, events=CLICKED),
    Sum("sums", entity=item_entity, of=event.properties.price),
)


@pytest.mark.parametrize("seed", range(8))
def test_what_a_savepoint_finds_in_an_items_tail_is_in_its_backfilled_state_already(
    seed: int, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Downstream signals reach the item operator after the archive has the events."""
    rng = random.Random(seed)
    before, after = Repository({item_entity: BY_ITEM}), Repository({item_entity: BY_ITEM_LATER})
    flink = MiniFlink("item", World(), store, monkeypatch, before, cached_keys=rng.choice([1, 100]))
    sent: list[Signal] = []

    def tell(n: int) -> None:
        for _ in range(n):
            kind = rng.choice(["click", "view"])
            sent.append(Signal(kind, flink.now, rng.choice(("i1", "i2", "i3")), "DE", properties={"price": 2.0}))
            flink.send(tuple(wire.downstream(sent[-1].item_id, sent[-1:], None, flink.now)[1]))
            flink.advance(rng.choice([0, 10, 700, 2_000]))

    tell(12)
    sent.append(Signal("click", flink.now, "late", properties={"price": 2.0}))
    flink.send(tuple(wire.downstream("late", sent[-1:], None, flink.now)[1]))
    assert flink.tails() > 0
    operator = item_operator(World(), after.subset({f.state_key for f in BY_ITEM_LATER[1:]}))
    states: dict[tuple[str, str], Any] = {}
    for signal in sent:
        for part in operator.parts(signal.item_id, Record(signal)):
            state = states.setdefault((signal.item_id, part), operator.new(part))
            operator.on_event(part, state, Record(signal))
    states = [
        ("item", key, part, cells.pack(operator.encode(part, s)))
        for (key, part), s in states.items()
        if part[:1] == "\0"
    ]
    write_states(tmp_path / "backfilled.db", states)

    flink.declared = after
    flink._settings = flink._settings.model_copy(update={"backfilled": tmp_path / "backfilled.db"})
    flink.restore(flink.checkpoint())
    for key in ("i1", "late"):
        flink.send((key, b"", REFRESH["item"], 0, 0, flink.now))
    tell(rng.choice([0, 3]))
    flink.restore(flink.checkpoint())
    tell(3)
    for key in ("i2", "i3"):
        flink.send((key, b"", REFRESH["item"], 0, 0, flink.now))
    flink.advance(2_000)
    found = {row.key[0]: row.values for row in store.rows.values() if row.view == "item_features"}
    assert found == {
        key: (len(own), sum(s.event_type == "click" for s in own), 2.0 * len(own))
        for key in {s.item_id for s in sent}
        if (own := [s for s in sent if s.item_id == key])
    }


@pytest.mark.parametrize("crash", [True, False])
def test_a_refreshed_key_writes_all_of_its_rows_again(
    crash: bool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flink = MiniFlink("item", World(), store, monkeypatch)
    for n in range(6):
        signal = Signal("click", flink.now, f"i{n % 2}", ("DE", "FR", "")[n % 3])
        flink.send(tuple(wire.downstream(signal.item_id, [signal], None, flink.now)[1]))
    flink.advance(5_000)
    flink.send(("i0", b"", REFRESH["item"], 0, 0, flink.now))
    flink.advance(5_000)
    before = dict(store.rows)
    assert len(before) == 6
    store.rows.clear()  # the store has lost its data
    for key in ("i0", "i1", "unknown"):
        flink.send((key, b"", REFRESH["item"], 0, 0, flink.now))
    if crash:  # the messages are not read again, and no row has left yet
        flink.restore(flink.checkpoint())
    flink.advance(5_000)
    assert store.rows == before


@pytest.mark.parametrize("read", [True, False])
def test_servers_hear_of_what_crosses_read_of_items(read: bool, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, clicked, _ = BY_ITEM_LATER
    crosses = (ItemFeature("n", of=clicked),) if read else ()
    declared = Repository({item_entity: (seen, clicked)}, crosses)
    flink = MiniFlink("item", World(), store, monkeypatch, declared)
    for n in range(3):
        signal = Signal("click" if n else "view", flink.now, "i1", "DE")
        flink.send(tuple(wire.downstream("i1", [signal], None, flink.now)[1]))
    flink.advance(1_000)
    sent = {row[0]: msgspec.msgpack.decode(row[1]) for row in flink.out}
    expected = ["item_features", ["i1"], "", {"clicked": 2}] if read else None
    assert sent.pop('["item_features", "i1"]', None) == expected
    assert set(sent) == {'["item_activity", "i1"]', '["item_region_activity", "i1", "DE"]'}
    assert store.rows["item_features", "i1"].values == (3, 2)


def test_a_tail_that_is_refused_now_does_not_stop_the_job(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    flink = MiniFlink("user", World(), store, monkeypatch)
    flink.send(message(click(0, "u1", flink.now), 0, flink.now - 1_000))
    flink.send(message(click(1, "u1", flink.now - 3 * HOUR), 1, flink.now - 1_000))
    assert flink.tails() == 2
    flink._settings = flink._settings.model_copy(update={"allowed_lateness_hours": 1})
    flink.restore(flink.checkpoint())
    flink.advance(1_000)
    assert sum(store.rows[user.name, "u1"].values[[f.name for f in user.fields].index("events_7d")]) == 1


@pytest.mark.parametrize("seed", range(8))
def test_a_changed_repository_goes_on_as_if_it_had_been_declared_all_along(
    seed: int, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One feature goes, one stays, two of a person and a pair are new; one person is never heard of again."""
    rng = random.Random(seed)
    before = Repository({user_entity: OLD})
    after = Repository({user_entity: NEW, user_category: (PAIRS,)})
    flink = MiniFlink("user", World(), store, monkeypatch, before, cached_keys=rng.choice([1, 100]), **ARCHIVED)
    log: list[tuple[Any, ...]] = []

    def live(people: tuple[str, ...], n: int) -> None:
        for _ in range(n):
            event = click(len(log), rng.choice(people), flink.now, rng.choice(ITEMS))
            log.append(message(event, len(log), flink.now))
            flink.send(log[-1])
            flink.advance(rng.choice([0, 5, 10, 20 * MINUTE]))

    live(("u1", "u2", "gone"), 30)
    written = archived(flink.out)  # what the tail still holds is not in there
    filled = Backfill(after, World())
    filled.feed(wire.records(log[int(line.split(archive.COLUMN)[8])])[0] for line in written)
    keys = write_states(tmp_path / "backfilled.db", filled.states())["user"]

    flink.declared = after
    flink._settings = flink._settings.model_copy(update={"backfilled": tmp_path / "backfilled.db"})
    flink.restore(flink.checkpoint())
    if rng.random() < 0.5:
        live(("u1",), 3)  # before any key is refreshed
    for key in sorted(keys):
        flink.send((key, b"", REFRESH["user"], 0, 0, flink.now))
    live(("u1", "u2", "u3"), 20)
    flink.restore(flink.checkpoint())
    live(("u1", "u2", "u3"), 5)
    flink.advance(10)

    replay = Replay(user_operator(World(), declared=after), item_operator(World(), after))
    for each in log:
        replay.feed(wire.records(each)[0])
    for moment in (0, 2 * HOUR, 2 * DAY):
        flink.advance(moment)
        rows = {(row.view, *row.key): row.values for row in store.rows.values() if row.view in after.views}
        expected = {
            ((row := replay.user_operator.row(key, part, state, flink.now)).view, *row.key): row.values
            for (key, part), state in replay.users.items()
            if part
        }
        assert rows == expected
