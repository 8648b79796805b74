"""What each aggregation means, said once more in the plainest way: over the raw list of signals, in the order
in which they arrived, with no state at all. Slow, and short enough to be read and believed."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.contract import Signal, Space
from operators.decay import POPULARITY_ORIGIN, AffinityShares, Popularity
from operators.history import CurrentSession, Recent, hash64
from operators.seen import Seen
from operators.vector import UserVector
from operators.windows import Counts, tile_of

Signals = Sequence[Signal]
Floats = npt.NDArray[np.float64]


def weight(weights: dict[str, float], signal: Signal) -> float:
    """The type's weight; for a rating times how far the stars are above the middle, from -1 to 1."""
    stars = signal.rating if signal.event_type == "rating" else None
    scale = 1.0 if stars is None else min(1.0, max(-1.0, stars / 2.5 - 1))
    return weights.get(signal.event_type, 0.0) * scale


def half(age_ms: float, half_life: int) -> float:
    return math.exp(-math.log(2) * age_ms / half_life) if age_ms / half_life < 1000 else 0.0


def counts(declared: Counts, signals: Signals, at: int) -> list[Any]:
    """An event is in a window for as long as fewer than window / tile tiles have begun since its own."""
    out: list[Any] = []
    for window in declared.windows:
        tile = tile_of(window)
        inside = [s for s in signals if at // tile - s.timestamp // tile < window // tile]
        by_type = Counter(s.event_type for s in inside)
        out.append([by_type[name] for name in declared.types])
        out += [(by_type[r.top] + r.prior[0]) / (by_type[r.bottom] + r.prior[1]) for r in declared.ratios]
    return out


def counts_due(declared: Counts, signals: Signals, at: int) -> int | None:
    """The end of the first window that an event is about to leave."""
    ends = [
        (s.timestamp // tile_of(window) + window // tile_of(window)) * tile_of(window)
        for window in declared.windows
        for s in signals
        if s.event_type in declared.types
    ]
    return min((end for end in ends if end > at), default=None)


def affinity(declared: AffinityShares, signals: Signals) -> dict[str, float]:
    """Name → signed share of the decayed attention, as of the latest signal that says anything."""
    counted = [(s, s.categories if declared.of == "categories" else [s.brand] * bool(s.brand)) for s in signals]
    counted = [(s, names) for s, names in counted if names and weight(declared.weights, s)]
    now = max((s.timestamp for s, _ in counted), default=0)
    sums: dict[str, float] = defaultdict(float)
    for s, names in counted:
        for name in names:
            sums[name] += weight(declared.weights, s) / len(names) * half(now - s.timestamp, declared.half_life)
    total = sum(map(abs, sums.values()))
    return {name: value / total for name, value in sums.items()} if total else {}


def popularity(declared: Popularity, signals: Signals) -> float:
    """log2 of the decayed count, brought to POPULARITY_ORIGIN."""
    gains = [(weight(declared.weights, s), s.timestamp) for s in signals]
    gains = [(gain, at) for gain, at in gains if gain > 0]
    if not gains:
        return -1e9
    now = max(at for _, at in gains)
    decayed = sum(gain * half(now - at, declared.half_life) for gain, at in gains)
    return math.log2(decayed) + (now - POPULARITY_ORIGIN) / declared.half_life


def session(declared: CurrentSession, signals: Signals, at: int) -> tuple[list[Signal], str]:
    """The signals of the session that is open at `at`, and its id."""
    members: list[Signal] = []
    id = ""
    for s in signals:
        if not members:
            members, id = [s], s.session_id or f"s-{s.timestamp}"
            continue
        start, last = min(m.timestamp for m in members), max(m.timestamp for m in members)
        if s.session_id:
            belongs = s.session_id == id
        else:
            belongs = start <= s.timestamp <= last + declared.gap
        if belongs:
            members.append(s)
        elif s.timestamp > last:
            members, id = [s], s.session_id or f"s-{s.timestamp}"
    if not members or at > max(m.timestamp for m in members) + declared.gap:
        return [], ""
    return members, id


def session_values(declared: CurrentSession, signals: Signals, at: int) -> list[Any]:
    members, id = session(declared, signals, at)
    if not members:
        return ["", 0, 0.0, [0] * len(declared.types), 0, []]
    times = [m.timestamp for m in members]
    by_type = Counter(m.event_type for m in members)
    newest_first = dict.fromkeys(name for m in reversed(members) for name in m.categories)
    return [
        id,
        min(times),
        (max(times) - min(times)) / 1000,
        [by_type[name] for name in declared.types],
        len({m.item_id for m in members} - {""}),
        list(islice(newest_first, declared.categories)),
    ]


def recent(declared: Recent, signals: Signals) -> list[Any]:
    entries = sorted((s.timestamp, s.item_id, s.event_type, weight(declared.weights, s)) for s in signals if s.item_id)[
        ::-1
    ][: declared.k]
    return [[e[1] for e in entries], [e[2] for e in entries], [e[0] for e in entries], [e[3] for e in entries]]


def seen(declared: Seen, signals: Signals) -> list[int]:
    found: list[int] = []
    for s in signals:
        if s.item_id and s.event_type in declared.types and hash64(s.item_id) not in found:
            found = [*found, hash64(s.item_id)][-declared.keep :]
    return found


def vector(declared: UserVector, signals: Signals, space_at: Callable[[int], Space]) -> tuple[Floats | None, float]:
    """(sum as of the latest signal, sum of absolute gains). `space_at(n)` is the space in force when the n-th
    signal arrived; where it changed, the sum is that of the last k before, and of all after."""
    counted = [(n, s) for n, s in enumerate(signals) if s.item_id and weight(declared.weights, s)]
    if not counted:
        return None, 0.0
    space = space_at(counted[-1][0])
    first = next(k for k, (n, _) in enumerate(counted) if all(space_at(m).id == space.id for m, _ in counted[k:]))
    kept = counted[max(0, first - declared.k) :] if first else counted
    placed = [(s, found) for _, s in kept if (found := space.vector(s.item_id)) is not None]
    if not placed:
        return None, 0.0
    now = max(s.timestamp for s, _ in placed)
    gains = [weight(declared.weights, s) * half(now - s.timestamp, declared.half_life) for s, _ in placed]
    total = sum(gain * found.astype(np.float64) for gain, (_, found) in zip(gains, placed, strict=True))
    return np.asarray(total), sum(map(abs, gains))
