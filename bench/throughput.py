"""How many interactions a second the job takes from Kafka to Redis on one slot, with every feature."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import httpx
import psutil
from feast import FeatureStore

from bench.errors import Unsound
from bench.report import Report, Target
from bench.repositories import declare
from bench.stacks import Say, load_movielens, own_stack, retimed, send, shuffled
from feature_repo.store import config
from freshet.local import processes
from freshet.settings import Settings
from operators.time import DAY
from schemas.clock import now_ms
from schemas.topics import INTERACTIONS

TARGETS = (Target("events_per_s", "≥", 5000),)
TARGETS_WITH_DECLARED = (Target("events_per_s", "≥", 2500),)
SKIPPED = 0.15
"""share of the events at the start that is not measured: the job loads its model and warms up"""
DEADLINE_S = 600
COUNTERS = ("accepted", "rows", "writes")


class Sample(NamedTuple):
    """The user operator's counters at a moment (perf_counter), and the seconds of processor until then by thread."""

    at: float
    counts: dict[str, int]
    cpu_s: Counter[str]


def run(rounds: int, features: int, say: Say) -> Report:
    """The backlog of `rounds` × 100,000 ratings over the last five days is there before the job starts; `features` are
    declared beside those of the main path.

    The rate is that from SKIPPED of the events on to the moment when Redis holds every user's last event.
    """
    declare(features)
    with own_stack(say) as stack:
        settings = stack.settings
        data = load_movielens(settings, say)
        now = now_ms()
        send(settings, list(retimed(shuffled(data.interactions), now - 5 * DAY, now, rounds)))
        events = rounds * len(data.interactions)
        if (stored := _stored(settings)) != events:
            raise Unsound(f"{events} events were sent and {stored} are in Kafka")
        stack.up(["flink"])
        record = processes.load(settings.run, "flink")
        assert record is not None
        tree = [psutil.Process(record.pid), *psutil.Process(record.pid).children(recursive=True)]
        samples: list[Sample] = []
        deadline = time.monotonic() + DEADLINE_S
        for counts in _counters(settings):
            samples.append(Sample(time.perf_counter(), counts, _cpu(tree)))
            if counts["accepted"] >= events + len(data.users):
                break
            if time.monotonic() > deadline:
                raise Unsound(f"{counts['accepted']} of {events} events after {DEADLINE_S} s")
        _await_store(settings, {u.user_id for u in data.users}, events, deadline)
        last = Sample(time.perf_counter(), counts, _cpu(tree))
    first = next(sample for sample in samples if sample.counts["accepted"] >= SKIPPED * events)
    seconds = last.at - first.at
    series = [
        (b.at - samples[0].at, (b.counts["accepted"] - a.counts["accepted"]) / (b.at - a.at))
        for a, b in zip(samples, samples[4:], strict=False)
    ]
    figures = {
        "events_per_s": round((last.counts["accepted"] - first.counts["accepted"]) / seconds, 1),
        "rows_per_s": round((last.counts["rows"] - first.counts["rows"]) / seconds, 1),
        "measured_s": round(seconds, 1),
        "events": float(events),
        "declared_features": float(features),
        "cores_used_by_flink": round((last.cpu_s.total() - first.cpu_s.total()) / seconds, 2),
        **_profile(first, last),
    }
    return Report("throughput", figures=figures, series=series, targets=TARGETS_WITH_DECLARED if features else TARGETS)


def _stored(settings: Settings) -> int:
    """How many interactions Kafka holds."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=settings.kafka)
    partitions = [TopicPartition(INTERACTIONS, p) for p in consumer.partitions_for_topic(INTERACTIONS)]
    ends = consumer.end_offsets(partitions)
    consumer.close()
    return sum(ends.values())


def _counters(settings: Settings) -> Iterator[dict[str, int]]:
    """The user operator's counters, about four times a second."""
    with httpx.Client(base_url=settings.flink_url, trust_env=False, timeout=10) as client:
        path, names = _metrics(client)
        while True:
            found = client.get(path, params={"get": ",".join(names)}).json()
            values = {metric["id"].rsplit(".", 1)[-1]: int(float(metric["value"])) for metric in found}
            yield {name: values.get(name, 0) for name in COUNTERS}
            time.sleep(0.25)


def _metrics(client: httpx.Client) -> tuple[str, list[str]]:
    """The path of the user operator's metrics and the names of its counters, once the job has made them."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for job in client.get("/jobs").json()["jobs"]:
            for vertex in client.get(f"/jobs/{job['id']}").json()["vertices"]:
                path = f"/jobs/{job['id']}/vertices/{vertex['id']}/metrics"
                ids = [metric["id"] for metric in client.get(path).json()]
                names = [i for i in ids if any(i.endswith(f"freshet.user.{c}") for c in COUNTERS)]
                if len(names) == len(COUNTERS):
                    return path, names
        time.sleep(0.1)
    raise Unsound("Flink shows no counters of the job")


def _cpu(tree: Sequence[psutil.Process]) -> Counter[str]:
    """Seconds of processor by name of thread."""
    found: Counter[str] = Counter()
    for process in tree:
        for thread in process.threads():
            with suppress(psutil.Error):  # it has ended in the meantime
                found[psutil.Process(thread.id).name()] += thread.user_time + thread.system_time
    return found


def _profile(first: Sample, last: Sample) -> dict[str, float]:
    """Microseconds of processor an event of what takes most; Python runs in the threads of the two operators only."""
    spent = last.cpu_s - first.cpu_s
    events = last.counts["accepted"] - first.counts["accepted"]
    return {f"us_an_event: {name.strip(' -')}": round(s / events * 1e6, 1) for name, s in spent.most_common(5)}


def _await_store(settings: Settings, users: set[str], events: int, deadline: float) -> None:
    """Returns when the users' counts in the store add up to all events."""
    store: Any = FeatureStore(config=config(settings.feature_store))
    rows = [{"user_id": user} for user in sorted(users)]
    while True:
        found = store.get_online_features(features=["user_activity:events_7d"], entity_rows=rows).to_dict()
        counted = sum(sum(counts or ()) for counts in found["events_7d"])
        if counted == events:
            return
        if time.monotonic() > deadline:
            raise Unsound(f"the store has counted {counted} of {events} events")
        time.sleep(0.1)
