"""What each scope and each family means, said once more in the plainest way: over the list of all signals that were
let in, in the order in which they arrived, with no state at all."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from operators.contract import Signal
from operators.features import (
    Decay,
    Feature,
    Histogram,
    LastEvents,
    LastK,
    Quantiles,
    Rate,
    Session,
    Sliding,
    TimeSinceLast,
    TopK,
    Tumbling,
)
from operators.time import MINUTE
from operators.windows import tile_of
from tests.operators import oracles

Weighed = Sequence[tuple[Signal, float]]


def inside(feature: Any, signals: Sequence[Signal], at: int) -> Weighed:
    """The events that a value at `at` is made of, and what each weighs."""
    own = [s for s in signals if feature.events.read(s) and feature.reads.read(s) is not None]
    scope = feature.scope
    if isinstance(scope, Sliding):
        tile = tile_of(scope.length)
        return [(s, 1) for s in own if at // tile - s.timestamp // tile < scope.length // tile]
    if isinstance(scope, Tumbling):

        def window(t: int) -> int:
            return (t - scope.offset) // scope.length

        return [(s, 1) for s in own if window(at) - window(s.timestamp) == scope.previous]
    if isinstance(scope, Session):
        members, _ = oracles.session(scope, signals, at)  # type: ignore[arg-type]
        return [(s, 1) for s in own if any(s is member for member in members)]
    if isinstance(scope, Decay):

        def tile_at(t: int) -> int:
            return t * 8 // scope.half_life

        newest = max((tile_at(s.timestamp) for s in own), default=0)
        if not feature.scale_free and tile_at(at) - newest > 16 * 8:
            return []
        now = newest if feature.scale_free else tile_at(at)  # of shares alone, 2^-2000 is nothing
        return [(s, 0.5 ** ((now - tile_at(s.timestamp)) / 8)) for s in own]
    if isinstance(scope, LastEvents):
        return [(s, 1) for s in sorted(own, key=lambda s: (s.timestamp, feature.reads.read(s)))[-scope.k :]]
    return [(s, 1) for s in own]


def names(feature: Any, found: Weighed) -> list[tuple[str, float]]:
    """Each name of each event."""
    out = []
    for s, w in found:
        value = feature.of.read(s)
        out += [(name, w) for name in ([value] if isinstance(value, str) else value)]
    return out


def shares(feature: TopK, found: Weighed) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for s, w in found:
        gain = w if feature.weight is None else w * feature.weight.read(s)
        for name, weight in names(feature, [(s, gain)]):
            sums[name] += weight
    total = sum(map(abs, sums.values()))
    return {name: value / total for name, value in sums.items()} if total else {}


def entropy(feature: Any, found: Weighed) -> float:
    sums: defaultdict[str, float] = defaultdict(float)
    for name, weight in names(feature, found):
        sums[name] += weight
    total = sum(sums.values())
    return -sum(v / total * math.log2(v / total) for v in sums.values()) if total else 0.0


def std(feature: Any, found: Weighed) -> float:
    x = np.array([feature.of.read(s) for s, _ in found], float)
    w = np.array([w for _, w in found], float)
    if not len(x) or not w.sum():
        return 0.0
    mean = (x * w).sum() / w.sum()
    return float(np.sqrt((w * (x - mean) ** 2).sum() / w.sum()))


def mean(feature: Any, found: Weighed) -> float:
    total = sum(w for _, w in found)
    return sum(feature.of.read(s) * w for s, w in found) / total if total else 0.0


def histogram(feature: Histogram, found: Weighed) -> list[float]:
    if isinstance(feature.buckets[0], str):
        sums = Counter[str]()
        for name, w in names(feature, found):
            sums[name] += w  # type: ignore[assignment]
        return [sums[str(name)] for name in feature.buckets]
    edges = [-math.inf, *feature.buckets, math.inf]
    return [
        sum(w for s, w in found if edges[n] <= feature.of.read(s) < edges[n + 1])  # type: ignore[operator]
        for n in range(len(edges) - 1)
    ]


def rate(feature: Rate, found: Weighed) -> float:
    top = sum(w for s, w in found if feature.top.read(s))
    bottom = sum(w for s, w in found if feature.bottom.read(s))
    return (top + feature.prior[0]) / (bottom + feature.prior[1])


def edge(feature: Any, found: Weighed, of_all: Callable[[Any], Any]) -> Any:
    entries = [(s.timestamp, feature.of.read(s)) for s, _ in found]
    empty: Any = "" if feature.of.kind == "text" else 0
    return of_all(entries)[1] if entries else empty


def last_k(feature: LastK, found: Weighed) -> list[list[Any]]:
    parts = feature.of if isinstance(feature.of, tuple) else (feature.of,)
    entries: list[tuple[int, tuple[Any, ...]]] = []
    for s, _ in found:
        values = [p.read(s) for p in parts]
        if isinstance(values[0], (list, tuple)):
            entries += [(s.timestamp, (v,)) for v in values[0]]
        else:
            filled = [("" if p.kind == "text" else 0) if v is None else v for p, v in zip(parts, values, strict=True)]
            entries.append((s.timestamp, tuple(filled)))
    entries.sort(reverse=True)
    if feature.distinct:
        latest = [e for n, e in enumerate(entries) if e[1] not in {other[1] for other in entries[:n]}]
    else:
        latest = entries
    return [[value[place] for _, value in latest[: feature.k]] for place in range(len(parts))]


def since_last(feature: TimeSinceLast, found: Weighed, at: int) -> list[int]:
    if not found:
        return [-1, 0]
    last = max(s.timestamp for s, _ in found)
    rung = max([0, *(r for r in feature.ladder if r <= at - last)])
    assert MINUTE in feature.ladder
    return [rung // 1000, last]


def length(found: Weighed) -> float:
    times = [s.timestamp for s, _ in found]
    return (max(times) - min(times)) / 1000 if times else 0.0


def values(feature: Feature, signals: Sequence[Signal], at: int) -> list[Any]:
    """One a field; of a TopK, the shares of all names instead."""
    f: Any = feature
    found = inside(f, signals, at)
    total = sum(w for _, w in found)
    match type(f).__name__:
        case "Count" | "SessionDepth":
            return [total]
        case "Bounce":
            return [total == 1]
        case "Sum":
            return [sum(f.of.read(s) * w for s, w in found)]
        case "Mean":
            return [mean(f, found)]
        case "Std":
            return [std(f, found)]
        case "Min":
            return [min((f.of.read(s) for s, _ in found), default=f.default)]
        case "Max":
            return [max((f.of.read(s) for s, _ in found), default=f.default)]
        case "First":
            return [edge(f, found, min)]
        case "Last":
            return [edge(f, found, max)]
        case "LastK" | "Sequence" | "InteractedWith":
            return last_k(f, found)
        case "DistinctCount":
            return [len({name for name, _ in names(f, found)})]
        case "TopK":
            return [shares(f, found)]
        case "Entropy":
            return [entropy(f, found)]
        case "Histogram":
            return [histogram(f, found)]
        case "Rate":
            return [rate(f, found)]
        case "Quantiles":
            numbers = [f.of.read(s) for s, _ in found]
            return [float(np.quantile(numbers, q)) if numbers else f.default for q in quantiles_of(f)]
        case "TimeSinceLast":
            return since_last(f, found, at)
        case "SessionLength":
            return [length(found)]
    raise AssertionError(f"no oracle of {type(f).__name__}")


def quantiles_of(feature: Quantiles) -> Sequence[float]:
    return feature.qs
