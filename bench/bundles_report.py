"""The figures of `freshet bench bundles`: the steady period, the publication, and memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from bench.checked import CANDIDATE, CheckedAnswers
from bench.machine import Rounds
from bench.marked import FIRST, SECOND, THIRD
from bench.report import Report, Target, percentile, ratio
from bench.windows import p99_of_windows, slow_s
from schemas.traffic import DEFAULT

SLOWER = 2.0
"""times the steady p99, beyond which a window is slow"""
FELL_BACK = 0.01
"""greatest share of steady answers of which a stage fell back"""
TARGETS = (
    Target("wrong_answers", "≤", 0),
    Target("second_memory_ratio", "≤", 1.1),
    Target("publish_slow_s", "≤", 3),
)


class Published(NamedTuple):
    """Moments (time.perf_counter) of a publication."""

    load_began: float
    writing_began: float
    in_force: float
    ended: float


@dataclass
class Memory:
    """Resident bytes of the server with the first bundle, with both, and once the third has replaced the first; of the
    bare parts of the second; and the bytes of the second one's arrays."""

    first: int = 0
    both: int = 0
    third: int = 0
    bare: int = 0
    arrays: int = 0


@dataclass
class MeasuredBundles:
    """Everything that is reported."""

    items: int
    users: int
    rate: float
    load: CheckedAnswers = field(default_factory=CheckedAnswers)
    published: Published | None = None
    memory: Memory = field(default_factory=Memory)
    wrong: Counter[str] = field(default_factory=Counter)
    checked: int = 0

    def take(self, found: CheckedAnswers) -> CheckedAnswers:
        self.wrong += found.wrong
        self.checked += len(found)
        return found


def report(found: MeasuredBundles, rounds: Rounds | None) -> Report:
    """Figures of the steady period, of the publication, and of memory."""
    load, memory, at = found.load, found.memory, found.published
    assert at is not None
    due, ms, degraded = np.array(load.due), load.ms, np.array(load.degraded)
    is_steady = (due >= at.load_began) & (due < at.writing_began)
    is_publishing = (due >= at.writing_began) & (due < at.ended)
    variants = np.array(load.variants)
    bound = SLOWER * (percentile(ms[is_steady], 99) or 0.0)
    before = p99_of_windows(due, ms, at.load_began + 1.0, at.writing_began)
    windows = p99_of_windows(due, ms, at.writing_began, at.ended)
    first_new = load.first_of(THIRD.version)
    grown = memory.both - memory.first
    samples = {
        "feed_ms": ms[is_steady],
        "feed_ms_first": ms[is_steady & (variants == DEFAULT)],
        "feed_ms_second": ms[is_steady & (variants == CANDIDATE)],
        "feed_ms_publishing": ms[is_publishing],
    }
    figures: dict[str, float | None] = {
        "answers_checked": float(found.checked),
        "wrong_answers": float(found.wrong.total()),
        "second_memory_ratio": ratio(grown, memory.arrays),
        "bare_memory_ratio": ratio(memory.bare, memory.arrays),
        "second_mb": _mb(grown),
        "second_arrays_mb": _mb(memory.arrays),
        "second_bare_mb": _mb(memory.bare),
        "rss_first_mb": _mb(memory.first),
        "rss_both_mb": _mb(memory.both),
        "rss_third_mb": _mb(memory.third),
        "publish_slow_s": slow_s(windows, bound),
        "steady_slow_s": slow_s(before, bound),
        "publish_worst_p99_ms": round(max((p99 for _, p99 in windows), default=0.0), 1),
        "publish_longest_ms": round(float(ms[is_publishing].max(initial=0.0)), 1),
        "steady_longest_ms": round(float(ms[is_steady].max(initial=0.0)), 1),
        "publish_writing_s": round(at.in_force - at.writing_began, 2),
        "publish_to_answer_s": None if first_new is None else round(first_new - at.in_force, 2),
        "degraded_steady": _share(degraded[is_steady]),
        "degraded_publishing": _share(degraded[is_publishing]),
        "same_items_first_second": load.overlap(FIRST.version, SECOND.version),
        "same_items_first_third": load.overlap(FIRST.version, THIRD.version),
        "nearest_shown": ratio(load.nearest, load.items),
    }
    notes = {
        "items": found.items,
        "people": found.users,
        "feeds_asked_per_s": found.rate,
        "versions": dict(Counter(load.versions)),
        "fell_back": dict(load.steps),
        "method": "second_memory_ratio: growth of the server's resident memory by the second bundle / its arrays "
        "(vectors, origins, content, index file), bare: the index and the mapped vectors in a process of their own; "
        f"publish_slow_s: time with p99 of 1 s windows, every 250 ms, above {SLOWER:g} x the steady p99, from when "
        "the third bundle is written; latency counts from when a feed was due, with explain=full",
    }
    return Report("bundles", samples, figures, targets=TARGETS, notes=notes, failures=failures(found), rounds=rounds)


def failures(found: MeasuredBundles) -> list[str]:
    """Reasons for which the measurement is not sound."""
    load, at = found.load, found.published
    assert at is not None
    due, degraded = np.array(load.due), np.array(load.degraded)
    fell_back = _share(degraded[(due >= at.load_began) & (due < at.writing_began)]) or 0.0
    reasons = [f"of {found.checked} answers, {n}: {reason}" for reason, n in found.wrong.most_common()]
    if fell_back > FELL_BACK:
        reasons.append(f"a stage fell back in {fell_back:.1%} of the steady answers: {dict(load.steps)}")
    missing = {FIRST.version, SECOND.version, THIRD.version} - set(load.versions)
    if missing:
        reasons.append(f"nothing was answered by {', '.join(sorted(missing))}")
    return reasons


def _mb(n: float) -> float:
    return round(n / 2**20, 1)


def _share(values: Any) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None
