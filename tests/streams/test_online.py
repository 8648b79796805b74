"""Every family of features under every scope is read with a stock Feast client while the job runs, for no more than
its declaration: `tests/streams/everything` has each in a line of its own."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from feast import FeatureStore

from bench import jobs
from bench.stacks import send
from feature_repo import registry
from feature_repo.builders import item_operator, user_operator
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings
from operators.contract import Record, Row
from operators.space import BundleSpace
from operators.time import MINUTE, SECOND
from schemas import bundle
from schemas.events import EVENT_TYPES, Interaction, Item
from schemas.topics import INTERACTIONS
from tests.bundles import write_bundle
from tests.live import until
from training.replay import KnownItems, Replay

EVERYTHING = "tests.streams.everything"
ITEMS = [Item(f"i{n}", f"Title {n}", [f"c{n % 4}", f"c{n % 3}"], f"b{n % 5}", price=1.0 + n) for n in range(12)]
DEADLINE_S = 90


def events(now: int) -> Iterator[Interaction]:
    """What four people did in the last forty minutes, in order; nothing more is about to leave a window of an hour."""
    rng = random.Random(5)
    for k in range(160):
        kind = rng.choice(EVENT_TYPES)
        properties: dict[str, Any] = {"region": rng.choice(["DE", "FR"]), "watch_seconds": float(rng.randrange(90))}
        if kind == "rating":
            properties["rating"] = rng.randint(1, 5)
        at = now - 40 * MINUTE + k * 10 * SECOND
        item_id = None if kind == "search" else f"i{rng.randrange(12)}"
        yield Interaction(f"e{k}", kind, f"u{k % 4}", at, item_id, f"s{k % 4}", properties=properties)


def same(found: Any, expected: Any) -> bool:
    """As far as float32 and Feast's null for an empty list let them be."""
    if isinstance(expected, float):
        return found is not None and math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-6)
    if isinstance(expected, list):
        return len(found or []) == len(expected) and all(map(same, found or [], expected))
    return bool(found == expected)


@pytest.mark.integration
def test_whatever_is_declared_is_read_with_feast_while_the_job_runs(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHET_DEFINITIONS", EVERYTHING)
    declared = registry.load(EVERYTHING)
    settings = Settings(home=tmp_path_factory.mktemp("online"), **free_ports())
    version = write_bundle(settings.bundles, [each.item_id for each in ITEMS], dim=8)
    world = KnownItems(ITEMS)
    world.space = BundleSpace.of(bundle.load(settings.bundles / version), world.item)
    replay = Replay(user_operator(world, declared=declared), item_operator(world, declared))
    began = time.time_ns() // 1_000_000
    log = list(events(began))
    for n, event in enumerate(log):
        replay.feed(Record(event, INTERACTIONS, 0, n, began))

    with Stack(settings, report=print) as stack:
        stack.up(["kafka", "redis"])
        send(settings, ITEMS)
        send(settings, log)
        stack.up(["flink"])
        store = FeatureStore(fs_yaml_file=settings.feature_store)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            now = time.time_ns() // 1_000_000
            early, late = rows(replay, began), rows(replay, now + MINUTE)
            read, wrong = compare(store, declared.features, early, late)
            if not wrong or time.monotonic() > deadline:
                break
            time.sleep(1)
        for operator in ("user", "item"):
            with jobs.running(settings, operator, ("row_conversion",)) as job:
                tasks = until(lambda job=job: job.counts()["row_conversion"])
                assert tasks >= 1, f"{operator}: rows are converted by streams.flink_rows"
    assert wrong == []
    assert read == {feature.name for features in declared.features.values() for feature in features}


def rows(replay: Replay, at: int) -> dict[tuple[str, tuple[str, ...]], Row]:
    """What the store holds as of `at`, by view and key."""
    found = {}
    for operator, states in ((replay.user_operator, replay.users), (replay.item_operator, replay.items)):
        for (key, part), state in states.items():
            row = operator.row(key, part, state, at)
            found[row.view, row.key] = row
    return found


def compare(store: FeatureStore, declared: Any, early: Any, late: Any) -> tuple[set[str], list[Any]]:
    """The features that were read of somebody, and those whose value is not the replay's. What time alone changes
    (decay, how long ago) lies between two moments, and need only be there."""
    read: set[str] = set()
    wrong: list[Any] = []
    for entity, features in declared.items():
        keys = [row.key for row in early.values() if row.view == entity.view]
        joins = [f"{name}_id" for name in entity.joins]
        answer = store.get_online_features(
            features=store.get_feature_service(entity.view),
            entity_rows=[dict(zip(joins, k, strict=True)) for k in keys],
        ).to_dict()
        names = [field.name for feature in features for field in feature.fields]
        of = {field.name: feature.name for feature in features for field in feature.fields}
        for place, name in enumerate(names):
            for which, key in enumerate(keys):
                found = answer[name][which]
                expected, later = (rows[entity.view, key].values[place] for rows in (early, late))
                steady = expected == later
                if not same(found, expected) if steady else found is None:
                    wrong.append((name, key, found, expected))
                else:
                    read.add(of[name])
    return read, wrong
