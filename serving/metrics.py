"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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
        self.removed = Counter(
            "freshet_removed",
            "Candidates removed, by surface and filter",
            ("surface", "filter"),
            registry=self.registry,
        )
        self.stage_failures = Counter(
            "freshet_stage_failures", "Failures of a stage, by surface", ("surface", "stage"), registry=self.registry
        )
        self.over_budget = Counter(
            "freshet_stage_over_budget", "Runs of a stage that took longer than its budget, by surface",
            ("surface", "stage"), registry=self.registry,
        )  # fmt: skip
        self.degraded = Counter(
            "freshet_degraded", "Stages of feeds that fell back", ("stage",), registry=self.registry
        )
        self.events = Counter(
            "freshet_events", "Events posted, by topic and what became of them", ("topic", "result"),
            registry=self.registry,
        )  # fmt: skip
        self.impressions = Counter(
            "freshet_impressions", "Lists shown, by what became of the record", ("result",), registry=self.registry
        )
        self.lag = Histogram(
            "freshet_freshness_lag_seconds", "For how long the store owed events of the person who asked",
            buckets=(0.0, *SECONDS, 30.0, 300.0), registry=self.registry,
        )  # fmt: skip
        self.store_up = Gauge("freshet_store_up", "1 while the online store answers", registry=self.registry)
        self.refused_rows = Gauge(
            "freshet_item_rows_refused", "Records of items and item_features that were left out, by reason",
            ("reason",), registry=self.registry,
        )  # fmt: skip
        self.items = Gauge("freshet_items", "Items in the columns", registry=self.registry)

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)
