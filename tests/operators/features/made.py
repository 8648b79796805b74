"""Every family under every scope that it goes with, and the logs that they are tried on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from operators.contract import Record, Signal
from operators.features import (
    LIFETIME,
    Bounce,
    Count,
    Decay,
    DistinctCount,
    Entity,
    Entropy,
    Feature,
    First,
    Histogram,
    InteractedWith,
    Last,
    LastEvents,
    LastK,
    Max,
    Mean,
    Min,
    Quantiles,
    Rate,
    Scope,
    Session,
    SessionDepth,
    SessionLength,
    Sliding,
    Std,
    Sum,
    TimeSinceLast,
    TopK,
    Tumbling,
    event,
    user,
)
from operators.features import (
    Sequence as Sequence_,
)
from operators.gate import IMPRESSION, Admissions, Gate
from operators.time import DAY, HOUR, MINUTE
from schemas.errors import EventError
from tests.operators.records import LATENESS, World
from tests.operators.signals import MadeSpace

click = event.event_type == "click"
shown = event.event_type == IMPRESSION
price = event.properties.price
dear = price >= 10
WEIGHTS = {"click": 1.0, "view": 0.5, "purchase": 3.0, "like": 2.0, "dislike": -2.0}

SCOPES: dict[str, Scope] = {
    "lifetime": LIFETIME,
    "5m": Sliding(5 * MINUTE),
    "1h": Sliding(HOUR),
    "24h": Sliding(DAY),
    "7d": Sliding(7 * DAY),
    "90d": Sliding(90 * DAY),
    "tumbling_1h": Tumbling(HOUR),
    "tumbling_day_before": Tumbling(DAY, previous=True),
    "tumbling_week": Tumbling(7 * DAY, offset=4 * DAY),
    "session": Session(30 * MINUTE),
    "decay_1h": Decay(HOUR),
    "decay_7d": Decay(7 * DAY),
    "last_5": LastEvents(5),
}

FAMILIES: dict[str, tuple[type[Feature], dict[str, Any]]] = {
    "count": (Count, {"events": click | (event.event_type == "view")}),
    "count_dear": (Count, {"events": dear & ~click}),
    "sum": (Sum, {"of": price}),
    "sum_weights": (Sum, {"of": event.event_type.map(WEIGHTS)}),
    "mean": (Mean, {"of": price}),
    "std": (Std, {"of": price}),
    "min": (Min, {"of": event.item.price}),
    "max": (Max, {"of": price * 2 + 1}),
    "first": (First, {"of": event.item_id}),
    "last": (Last, {"of": price}),
    "last_k": (LastK, {"of": event.item.categories, "k": 4}),
    "last_k_pairs": (LastK, {"of": (event.item.brand, price), "k": 3}),
    "last_k_distinct": (LastK, {"of": event.item_id, "k": 3, "distinct": True}),
    "last_k_distinct_pairs": (LastK, {"of": (event.event_type, price), "k": 3, "distinct": True}),
    "distinct": (DistinctCount, {"of": event.item.categories}),
    "top": (TopK, {"of": event.item.brand, "k": 10}),
    "top_weighted": (TopK, {"of": event.item.categories, "k": 10, "weight": event.event_type.map(WEIGHTS)}),
    "histogram": (Histogram, {"of": price, "buckets": (2.0, 10.0)}),
    "histogram_names": (Histogram, {"of": event.event_type, "buckets": ("click", "view")}),
    "quantiles": (Quantiles, {"of": price, "qs": (0.25, 0.5, 0.9)}),
    "ctr": (Rate, {"top": click, "bottom": shown, "prior": (1, 20)}),
    "since": (TimeSinceLast, {}),
    "entropy": (Entropy, {"of": event.item.categories}),
    "session_length": (SessionLength, {}),
    "session_depth": (SessionDepth, {}),
    "bounce": (Bounce, {}),
    "sequence": (Sequence_, {"k": 4}),
    "touched": (InteractedWith, {"of": event.item.brand}),
}

UNWEIGHTED = {"min", "max", "first", "last", "last_k", "last_k_pairs", "last_k_distinct", "last_k_distinct_pairs",
              "distinct", "quantiles", "since", "sequence", "touched"}  # fmt: skip
LASTS = {"last", "last_k", "last_k_pairs", "last_k_distinct", "last_k_distinct_pairs", "since", "sequence", "touched"}
OF_SESSIONS = {"session_length", "session_depth", "bounce"}
SENSELESS = {
    (family, scope)
    for family in FAMILIES
    for scope in SCOPES
    if (scope.startswith("decay") and family in UNWEIGHTED)
    or (scope == "last_5" and family in LASTS)
    or (scope != "session" and family in OF_SESSIONS)
}


def declare(family: str, scope: str, entity: Entity = user) -> Feature:
    kind, arguments = FAMILIES[family]
    return kind(f"{family}_{scope}", entity=entity, window=SCOPES[scope], **arguments)


def matrix(entity: Entity = user, scopes: Sequence[str] = tuple(SCOPES)) -> list[Feature]:
    """Every combination that makes sense."""
    return [declare(family, scope, entity) for family in FAMILIES for scope in scopes
            if (family, scope) not in SENSELESS]  # fmt: skip


def world() -> World:
    return World(MadeSpace("one"))


class Kept:
    """What a gate remembers."""

    def __init__(self) -> None:
        self.watermark, self.did, self.shown, self.profile = 0, Admissions(), Admissions(), dict[str, Any]()


def signals_of(log: Sequence[Record]) -> list[Signal]:
    """The signals of the records that are let in."""
    gate = Gate(world(), LATENESS)
    state, found = Kept(), list[Signal]()
    for record in log:
        try:
            found += gate.take(state, record)
        except EventError:
            continue
    return found
