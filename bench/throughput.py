"""Interactions a second that the job takes from Kafka to Redis on one slot, and the same of a bare PyFlink job.

The backlog is in Kafka before a job starts. Freshet's job, with each number of declared features, and the bare job
(bench/bare_job.py) read the same topic one after the other, the bare one first and last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from feast import FeatureStore
from kafka import KafkaConsumer, TopicPartition
from redis import Redis

from bench import bare, jobs
from bench.errors import Unsound
from bench.machine import Rounds
from bench.report import Report, Target, ratio
from bench.repositories import check, declare
from bench.stacks import Say, environment, load_movielens, own_stack, retimed, send, shuffled
from feature_repo.store import config
from freshet.local.flink import Flink
from freshet.local.stack import Stack
from freshet.settings import Settings
from operators.time import DAY
from schemas.clock import now_ms
from schemas.topics import INTERACTIONS

TARGETS = (
    Target("events_per_s", "≥", 5000),
    Target("bare_ratio", "≥", 0.8),
    Target("features_ratio", "≥", 0.6),
)
TARGETS_WITH_DECLARED = (Target("events_per_s", "≥", 2500),)
SKIPPED = 0.15
"""share of the events at the start that is not measured: the job loads its model and warms up"""
DEADLINE_S = 600
COUNTERS = ("accepted", "rows", "writes")
POLL_S = 0.25


class Sample(NamedTuple):
    """The operator's counters at a moment (perf_counter), and the processor time used until then."""

    at: float
    counts: dict[str, int]
    usage: jobs.Usage


class Run(NamedTuple):
    """One job over the whole backlog: rate between `first` and `last`, and the rate over time."""

    first: Sample
    last: Sample
    series: list[tuple[float, float]]

    @property
    def seconds(self) -> float:
        return self.last.at - self.first.at

    def per_s(self, counter: str = "accepted") -> float:
        return (self.last.counts[counter] - self.first.counts[counter]) / self.seconds


def run(rounds_of_data: int, features: Sequence[int], attempts: int, say: Say) -> Report:
    """The backlog of `rounds_of_data` × 100,000 ratings over the last five days; each of `features` is a number of
    declared features that the job runs with.

    A rate is that from SKIPPED of the events on to the moment when Redis holds every user's last event.
    """
    check(features)
    rounds = Rounds(say, attempts)
    ours: dict[int, Run] = {}
    declare(features[0])
    with own_stack(say) as stack:
        data = load_movielens(stack.settings, say)
        now = now_ms()
        send(stack.settings, retimed(shuffled(data.interactions), now - 5 * DAY, now, rounds_of_data))
        events = rounds_of_data * len(data.interactions)
        if (stored := _stored(stack.settings)) != events:
            raise Unsound(f"{events} events were sent and {stored} are in Kafka")
        users = {u.user_id for u in data.users}
        bares = [rounds.measure("bare job, first", partial(_bare, stack, events))]
        for count in features:
            work = partial(_ours, stack, count, events, users)
            ours[count] = rounds.measure(f"job with {count} declared features", work)
        bares.append(rounds.measure("bare job, last", partial(_bare, stack, events)))
    return _report(ours, bares, events, rounds)


def _report(ours: dict[int, Run], bares: Sequence[Run], events: int, rounds: Rounds) -> Report:
    counts = list(ours)
    first = ours[counts[0]]
    bare_rates = [found.per_s() for found in bares]
    bare_rate = sum(bare_rates) / len(bare_rates)
    figures: dict[str, float | None] = {
        "events_per_s": round(first.per_s(), 1),
        "rows_per_s": round(first.per_s("rows"), 1),
        "bare_events_per_s": round(bare_rate, 1),
        "bare_ratio": ratio(first.per_s(), bare_rate),
        "measured_s": round(first.seconds, 1),
        "events": float(events),
        "declared_features": float(counts[0]),
        "cores_used_by_flink": round(first.last.usage.since(first.first.usage).total / first.seconds, 2),
    }
    for count in counts[1:]:
        figures[f"events_per_s_{count}_features"] = round(ours[count].per_s(), 1)
    if len(counts) > 1:
        figures["features_ratio"] = ratio(ours[max(counts)].per_s(), ours[min(counts)].per_s())
    figures |= profile(first)
    targets = TARGETS_WITH_DECLARED if counts[0] else TARGETS
    notes = {
        "bare_events_per_s_each": [round(rate, 1) for rate in bare_rates],
        "bare": "PyFlink in thread mode, same options and topic: decodes the event, one dictionary of counts a user in "
        "keyed state, one hash field a row, pipelined",
    }
    chosen = tuple(target for target in targets if target.name in figures)
    return Report("throughput", {}, figures, first.series, chosen, notes, rounds=rounds)


def _ours(stack: Stack, features: int, events: int, users: set[str]) -> Run:
    declare(features)
    return _job(
        stack, "streams.job", "user", COUNTERS, events + len(users), partial(_in_feast, stack.settings, users, events)
    )


def _bare(stack: Stack, events: int) -> Run:
    with environment(bare.REDIS, stack.settings.redis):
        return _job(
            stack, "bench.bare_job", bare.OPERATOR, ("accepted",), events, partial(_in_redis, stack.settings, events)
        )


def _job(
    stack: Stack, module: str, operator: str, counters: Sequence[str], wanted: int, stored: Callable[[], int]
) -> Run:
    """Runs the job from the beginning of the topic with an empty store, until `stored()` is 0 events short."""
    settings = stack.settings
    Redis(settings.host, settings.redis_port).flushall()
    job_stack = Stack(settings, report=stack._report, components=[Flink(module, restore=False)])
    job_stack.up(["flink"])
    try:
        deadline = time.monotonic() + DEADLINE_S
        with jobs.running(settings, operator, counters) as job:
            samples = [Sample(time.perf_counter(), job.counts(), job.usage())]
            while samples[-1].counts["accepted"] < wanted:
                if time.monotonic() > deadline:
                    raise Unsound(f"{samples[-1].counts['accepted']} of {wanted} events after {DEADLINE_S} s")
                time.sleep(POLL_S)
                samples.append(Sample(time.perf_counter(), job.counts(), job.usage()))
            while missing := stored():
                if time.monotonic() > deadline:
                    raise Unsound(f"the store lacks {missing} events after {DEADLINE_S} s")
                time.sleep(POLL_S)
            last = Sample(time.perf_counter(), samples[-1].counts, job.usage())
    finally:
        job_stack.kill("flink")
        job_stack.down(["flink"])
    return rated(samples, last, wanted)


def rated(samples: Sequence[Sample], last: Sample, wanted: int) -> Run:
    """The run from the first sample with SKIPPED of the events to `last`, and its rate over each second."""
    first = next(sample for sample in samples if sample.counts["accepted"] >= SKIPPED * wanted)
    series = [
        (b.at - samples[0].at, (b.counts["accepted"] - a.counts["accepted"]) / (b.at - a.at))
        for a, b in zip(samples, samples[4:], strict=False)
    ]
    return Run(first, last, series)


def profile(run: Run) -> dict[str, float | None]:
    """Microseconds of processor an event, by thread, of the five that took most. Python runs in the threads of the two
    operators only."""
    spent = run.last.usage.since(run.first.usage).threads
    events = run.last.counts["accepted"] - run.first.counts["accepted"]
    most = sorted(spent.items(), key=lambda pair: -pair[1])[:5]
    return {f"us_an_event: {name}": round(s / events * 1e6, 1) for name, s in most}


def _stored(settings: Settings) -> int:
    """The number of interactions in Kafka."""
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka)
    partitions = [TopicPartition(INTERACTIONS, p) for p in consumer.partitions_for_topic(INTERACTIONS)]
    ends = consumer.end_offsets(partitions)
    consumer.close()
    return sum(ends.values())


def _in_redis(settings: Settings, events: int) -> int:
    """How many events the rows of the bare job lack."""
    return events - bare.counted(settings)


def _in_feast(settings: Settings, users: set[str], events: int) -> int:
    """How many events the rows of the users lack, by a stock Feast client."""
    store: Any = FeatureStore(config=config(settings.feature_store))
    rows = [{"user_id": user} for user in sorted(users)]
    found = store.get_online_features(features=["user_activity:events_7d"], entity_rows=rows).to_dict()
    return events - sum(sum(counts or ()) for counts in found["events_7d"])
