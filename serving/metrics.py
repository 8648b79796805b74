"""The server's metrics, for Prometheus."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from follow.loop import LoopHealth

SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """All metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "freshet_request_seconds", "Time to answer, by endpoint and status",
            ("endpoint", "status"), buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.stages = Histogram(
            "freshet_stage_seconds", "Time of one step of an answer, by surface", ("surface", "stage"),
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.of_stage = functools.cache(self.stages.labels)
        """by surface and stage; `labels` looks each up under a lock"""
        self.removed = Counter(
            "freshet_removed",
            "Candidates removed, by surface and filter",
            ("surface", "filter"),
            registry=self.registry,
        )
        self.stage_failures = Counter(
            "freshet_stage_failures", "Failures of a stage, by surface", ("surface", "stage"), registry=self.registry
        )
        self.rule_failures = Counter(
            "freshet_rule_failures", "Answers in which a rule failed, by rule", ("rule",), registry=self.registry
        )
        self.explored = Counter(
            "freshet_explored", "Places that exploration slots filled, by surface", ("surface",), registry=self.registry
        )
        self.over_budget = Counter(
            "freshet_stage_over_budget", "Runs of a stage that took longer than its budget, by surface",
            ("surface", "stage"), registry=self.registry,
        )  # fmt: skip
        self.degraded = Counter(
            "freshet_degraded", "Stages of feeds that fell back", ("stage",), registry=self.registry
        )
        self.unreadable = Counter(
            "freshet_unreadable_rows", "Reads of a person's row that could not be used, by reason", ("reason",),
            registry=self.registry,
        )  # fmt: skip
        self.events = Counter(
            "freshet_events", "Events posted, by topic and what became of them", ("topic", "result"),
            registry=self.registry,
        )  # fmt: skip
        self.impressions = Counter(
            "freshet_impressions", "Lists shown, by what became of the record", ("result",), registry=self.registry
        )
        self.records = Counter(
            "freshet_answer_records", "Answers chosen to be recorded, by what became of the record", ("result",),
            registry=self.registry,
        )  # fmt: skip
        self.lag = Histogram(
            "freshet_freshness_lag_seconds", "Age of the oldest event of the person that the store lacked at a request",
            buckets=(0.0, *SECONDS, 30.0, 300.0), registry=self.registry,
        )  # fmt: skip
        self.shed = Counter(
            "freshet_shed", "Requests answered with 503 since too many wait", ("lane", "reason"), registry=self.registry
        )
        self.in_work = Gauge("freshet_requests_in_work", "Requests in work", ("lane",), registry=self.registry)
        self.queued = Gauge("freshet_requests_queued", "Requests that wait", ("lane",), registry=self.registry)
        self._set = {
            name: Gauge(name, doc, registry=self.registry)
            for name, doc in (
                ("freshet_store_up", "1 while the online store answers"),
                ("freshet_items", "Items in the columns"),
                ("freshet_people", "People who are kept to find people alike"),
                ("freshet_rules", "Rules that are compiled"),
                ("freshet_rules_unfit", "Rules that do not fit the attributes that items have"),
                ("freshet_attributes_left_out", "Attributes of items (name and type) that filters cannot read"),
                ("freshet_item_rows_refused", "Rows of item_features of another layout, which were left out"),
                (
                    "freshet_policy_models_dropped",
                    "Linear models that were dropped, since there were too many later ones",
                ),
            )
        }
        self._gauges: Callable[[], dict[str, float]] = dict

    def watch(self, gauges: Callable[[], dict[str, float]], loops: Callable[[], Iterable[LoopHealth]]) -> None:
        """Reads the gauges and the health of background threads at each scrape."""
        self.registry.register(_Loops(loops))
        self._gauges = gauges

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        for name, value in self._gauges().items():
            self._set[name].set(value)
        return generate_latest(self.registry)


class _Loops(Collector):
    """Exports the health of the background threads."""

    def __init__(self, loops: Callable[[], Iterable[LoopHealth]]) -> None:
        self._loops = loops

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("freshet_follower_up", "1 where the thread's last step succeeded", labels=("name",))
        errors = CounterMetricFamily(
            "freshet_follower_errors", "Errors of the thread and its records", labels=("name",)
        )
        for loop in self._loops():
            up.add_metric([loop.name], float(loop.up))
            errors.add_metric([loop.name], loop.errors)
        yield up
        yield errors

    def describe(self) -> Iterator[Metric]:
        return iter(())
