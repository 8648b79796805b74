"""Latency in windows of time: p99 of sliding windows, and for how long it is above a bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.report import Samples

STEP_S = 0.25
WIDTH_S = 1.0


def p99_of_windows(
    due: Samples, ms: Samples, begin: float, end: float, width: float = WIDTH_S, step: float = STEP_S
) -> list[tuple[float, float]]:
    """(end of the window, p99 in ms) of the windows of `width` s that end every `step` s after `begin`, up to the first
    one that contains `end`.

    `due` (n,) are the moments at which requests were due, `ms` (n,) the milliseconds from then to the answer. A window
    that reaches back beyond `begin` holds requests from before it, and one in which nothing was due is left out.
    """
    order = np.argsort(due, kind="stable")
    due, ms = due[order], ms[order]
    found = []
    for number in range(1, int(np.ceil(round((end - begin) / step, 6))) + 1):
        until = begin + number * step
        first, last = np.searchsorted(due, (until - width, until))
        if last > first:
            found.append((until, float(np.percentile(ms[first:last], 99))))
    return found


def slow_s(windows: Sequence[tuple[float, float]], bound: float, step: float = STEP_S) -> float:
    """Seconds in which the p99 is above `bound` ms: each window stands for the step that it ends with."""
    return step * sum(p99 > bound for _, p99 in windows)
