"""Events from a clock that is ahead, through the adapter and the whole stack: rows equal the oracle at any time."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from feast import FeatureStore

from bench.stacks import send
from feature_repo import registry
from feature_repo.repository import Repository
from feature_repo.views import user
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings
from operators.contract import Record, Row, Signal, read_time
from operators.features import Count, Feature, item
from operators.features import user as user_entity
from operators.time import MINUTE, SECOND
from operators.windows import Counts
from schemas import codec
from schemas.events import Interaction, Item
from schemas.topics import INTERACTIONS
from streams import wire
from tests.bundles import write_bundle
from tests.operators import oracles as main_path
from tests.operators.features import oracles
from tests.operators.features.made import matrix, signals_of
from tests.operators.features.test_entity_operator import same
from tests.operators.records import CATALOGUE, World
from tests.streams.mini_flink import MiniFlink, Store
from training.backfill import Backfill

EDGE = 15 * SECOND
"""from the moment of the event to the next edge of a tile"""
SKEWS = {"90s": 90 * SECOND, "4m": 4 * MINUTE, "edge": EDGE, "before_edge": EDGE - 1, "after_edge": EDGE + 1}
COUNTS = next(a for a in user.aggregations if isinstance(a, Counts))
NAMES = [field.name for field in user.fields]
PROPERTIES: dict[str, Any] = {"price": 2.5, "region": "DE"}


def differing(features: list[Feature], values: list[Any], taken: list[Signal], at: int) -> list[Any]:
    """(name, value, the oracle's) of each feature whose value is not the oracle's as of `at`."""
    found, left = [], list(values)
    for feature in features:
        own, left = left[: len(feature.fields)], left[len(feature.fields) :]
        if type(feature).__name__ == "TopK":
            own = [dict(zip(own[0] or (), own[1] or (), strict=True))]
        expected = oracles.values(feature, taken, at)
        if not same(
            [value or [] if isinstance(e, list) else value for value, e in zip(own, expected, strict=True)], expected
        ):
            found.append((feature.name, own, expected))
    return found


# -- the adapter -----------------------------------------------------------------------------------

OF_USER = matrix(user_entity, ("lifetime", "5m", "1h", "tumbling_1h", "session", "decay_1h", "last_5"))
VIEWS_OF_ITEM = Count("views", entity=item, window=5 * MINUTE)
DECLARED = Repository({user_entity: tuple(OF_USER), item: (VIEWS_OF_ITEM,)})


def events(now: int, skew: int) -> list[Interaction]:
    """A view that is right, one that is ahead, and one that is right again."""
    return [
        Interaction(f"e{n}", "view", "u1", at, "i3", properties=PROPERTIES)
        for n, at in enumerate((now - 30 * SECOND, now + skew, now + 1))
    ]


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("skew", SKEWS.values(), ids=SKEWS)
def test_a_persons_rows_equal_the_oracle_at_any_time(skew: int, crash: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    flink = MiniFlink("user", World(), store, monkeypatch, DECLARED, cached_keys=1)
    taken: list[Signal] = []

    def check() -> None:
        at = read_time(max(signal.timestamp for signal in taken), flink.now)
        rows: dict[Any, Row] = store.rows
        assert differing(OF_USER, list(rows["user_features", "u1"].values), taken, at) == []
        start = NAMES.index("events_5m")
        values = list(rows["user_activity", "u1"].values)[start : start + len(COUNTS.windows)]
        assert values == main_path.counts(COUNTS, taken, at)

    for n, event in enumerate(events(flink.now, skew)):
        taken += signals_of([Record(event)])
        flink.send(("u1", codec.encode(event), INTERACTIONS, 0, n, flink.now))
        check()
    if crash:
        flink.restore(flink.checkpoint())
    for _ in range(11 * 4):
        flink.advance(15 * SECOND)
        flink.advance(20)  # rows that change by themselves leave at the next flush
        check()


@pytest.mark.parametrize("skew", SKEWS.values(), ids=SKEWS)
def test_an_items_rows_equal_the_oracle_at_any_time(skew: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    flink = MiniFlink("item", World(), store, monkeypatch, DECLARED, cached_keys=1)
    taken: list[Signal] = []
    for event in events(flink.now, skew):
        signals = signals_of([Record(event)])
        taken += signals
        flink.send(tuple(wire.downstream("i3", signals, None, flink.now)[1]))
    for _ in range(11 * 12):
        flink.advance(5 * SECOND - 10)  # rows of items leave within a second, and change at multiples of 15 s
        at = read_time(max(signal.timestamp for signal in taken), flink.now)
        assert differing([VIEWS_OF_ITEM], list(store.rows["item_features", "i3"].values), taken, at) == []


@pytest.mark.parametrize("skew", SKEWS.values(), ids=SKEWS)
def test_a_backfill_has_the_rows_that_the_store_held(skew: int) -> None:
    """From when an event was taken, whatever its own time. The job's batch mode uses the same driver."""
    began = 1_767_225_600_000
    rows: list[tuple[int, Row]] = []
    filled = Backfill(DECLARED, World(), lambda row, at: rows.append((at, row)))
    log = [Record(event, INTERACTIONS, 0, n, began, began + n) for n, event in enumerate(events(began, skew))]
    filled.feed(log)
    end = began + 11 * MINUTE
    filled.finish(end)
    for moment in (began, began + 1, began + 2, *range(began + 5 * SECOND, end, 5 * SECOND)):
        held = [row for at, row in rows if row.view == "user_features" and at <= moment][-1]
        taken = [signal for record in log if record.taken <= moment for signal in signals_of([record])]
        at = read_time(max(signal.timestamp for signal in taken), moment)
        assert differing(OF_USER, list(held.values), taken, at) == []


# -- the whole stack -------------------------------------------------------------------------------

BRIEF = "tests.streams.brief"
PEOPLE = {"ahead_90s": 90 * SECOND, "ahead_4m": 4 * MINUTE, "at_an_edge": None}
SLACK = 5 * SECOND
"""how long a row may take to the store on a busy machine, ms"""
UNTIL = 5 * MINUTE + 20 * SECOND
"""after the last window of a minute has ended, ms"""
STEP = 500
"""between two moments at which the oracle is asked, ms"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.proof  # six minutes: events have to leave their windows
def test_feast_and_the_server_show_the_oracles_values_at_once_and_after_each_expiry(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHET_DEFINITIONS", BRIEF)
    declared = registry.load(BRIEF)
    features = list(declared.features[user_entity])
    settings = Settings(home=tmp_path_factory.mktemp("ahead"), **free_ports())
    items: list[Item] = list(CATALOGUE.values())
    write_bundle(settings.bundles, [each.item_id for each in items], dim=8)
    with Stack(settings, report=print) as stack, httpx.Client(base_url=settings.http_url, timeout=10) as client:
        stack.up(["kafka", "redis"])
        send(settings, items)
        stack.up(["flink", "server"])
        store = FeatureStore(fs_yaml_file=settings.feature_store)
        service = store.get_feature_service("user_features")
        names = [field.name for feature in features for field in feature.fields]

        def show(user_id: str) -> tuple[list[Any], int]:
            """The declared features of a stock Feast client, and the server's views of five minutes."""
            answer = store.get_online_features(features=service, entity_rows=[{"user_id": user_id}]).to_dict()
            said = client.get(f"/v1/users/{user_id}/features").raise_for_status().json()
            return [answer[name][0] for name in names], said["events"]["5m"].get("view", 0)

        def wrong(user_id: str) -> list[Any]:
            """What was no value of the oracle's between `SLACK` ago and now."""
            since = now_ms() - SLACK
            values, counted = show(user_id)
            moments = range(since, now_ms() + STEP, STEP)
            signals, latest = taken[user_id], max(signal.timestamp for signal in taken[user_id])
            left = differing(features, values, signals, read_time(latest, moments[0]))
            for moment in moments[1:]:
                still = {name for name, *_ in differing(features, values, signals, read_time(latest, moment))}
                left = [each for each in left if each[0] in still]
            place = COUNTS.types.index("view")
            if counted not in {main_path.counts(COUNTS, signals, read_time(latest, m))[0][place] for m in moments}:
                left.append(("events_5m", counted, latest))
            return left

        # The first of each person is right, 4 minutes ago: a window of five minutes loses it while the test runs.
        taken: dict[str, list[Signal]] = {user_id: [] for user_id in PEOPLE}
        for id, before in (("first", 4 * MINUTE), ("second", 20 * SECOND), ("ahead", 0)):
            log = []
            for user_id, skew in PEOPLE.items():
                now = now_ms()
                at = now - before if before else now + skew if skew else (now // EDGE + 1) * EDGE
                log.append(Interaction(f"{id}-{user_id}", "view", user_id, at, "i3", properties=PROPERTIES))
                taken[user_id] += signals_of([Record(log[-1])])
            send(settings, log)
            deadline = time.monotonic() + 60
            while any(taken[u][-1].timestamp != _last(client, u) for u in PEOPLE) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert {user_id: wrong(user_id) for user_id in PEOPLE} == {user_id: [] for user_id in PEOPLE}, id
        end = now_ms() + UNTIL
        while now_ms() < end:
            assert {user_id: wrong(user_id) for user_id in PEOPLE} == {user_id: [] for user_id in PEOPLE}
            time.sleep(1)


def _last(client: httpx.Client, user_id: str) -> int:
    """The latest event's time in the person's features, epoch ms."""
    answer = client.get(f"/v1/users/{user_id}/features").raise_for_status().json()
    return int(answer["freshness"]["last_event_at"] or 0)
