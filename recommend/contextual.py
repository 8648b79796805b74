"""Items that are popular in a context, such as weekday mornings or on mobile devices, and more so than elsewhere.

    share(c)       = Σ over items of events in c / Σ over items of events in all contexts of its kind
    expected(i, c) = share(c) · events of item i in all contexts of that kind
    lift(i, c)     = events of item i in c / expected(i, c)

The times of the week are one kind of contexts, devices the other. Events are decayed and weighted, divided by the
largest weight, and lifts are shrunk towards 1 (recommend/shrinkage.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from feature_repo.columns import ItemColumns, Rows
from feature_repo.views import CONTEXT_POPULARITY
from operators.contexts import CONTEXTS, TIMES
from operators.decay import POPULARITY_ORIGIN
from recommend.shrinkage import Numbers, at_least, shrunk
from recommend.velocity import HEAVIEST

LONGEST = 5000
"""items of a context whose lift is looked at, the most popular there"""
KINDS = (slice(0, len(TIMES)), slice(len(TIMES), len(CONTEXTS)))
"""the places of each kind of contexts"""


def kind_of(context: int) -> slice:
    """The places of all contexts of its kind."""
    return next(kind for kind in KINDS if kind.start <= context < kind.stop)


def shares(columns: ItemColumns, at: int) -> npt.NDArray[np.float64]:
    """The share (contexts,) that each context has of the events of its kind; 0 where there are none. It reads the whole
    catalogue: a few milliseconds for 100,000 items."""
    total = _counts(columns.contexts, at).sum(axis=0, dtype=np.float64)
    found = np.zeros(len(CONTEXTS))
    for kind in KINDS:
        of_kind = float(total[kind].sum())
        if of_kind > 0:
            found[kind] = total[kind] / of_kind
    return found


def lifts(columns: ItemColumns, rows: Rows, contexts: Sequence[int], share: Numbers, at: int) -> Numbers:
    """The product of the shrunk lifts of `rows` (n,) in each of the contexts; 1 where nothing is known. `share` as of
    `shares`."""
    found = np.ones(len(rows))
    counts = _counts(columns.contexts.take(rows, axis=0), at)
    for context in contexts:
        found *= shrunk(*_of(counts, context, share))
    return found


def typical(columns: ItemColumns, rows: Rows, context: int, share: Numbers, at: int) -> Rows:
    """Those of `rows` (n,), ascending, that are more popular in the context than elsewhere with a probability of 95 %,
    the most popular there first."""
    here = columns.contexts[:, context]
    rows = rows[rows < len(here)]
    least = np.log2(HEAVIEST) + (at - POPULARITY_ORIGIN) / CONTEXT_POPULARITY.half_life  # of one event of now
    rows = rows[here.take(rows) >= least]
    if len(rows) > LONGEST:
        rows = np.sort(rows[np.argpartition(-here.take(rows), LONGEST)[:LONGEST]])
    counts = _counts(columns.contexts.take(rows, axis=0), at)
    rows = rows[at_least(*_of(counts, context, share)) > 1.0]
    return rows[np.lexsort((rows, -here.take(rows)))]


def _counts(values: npt.NDArray[np.float32], at: int) -> npt.NDArray[np.float32]:
    """Decayed events as of `at`, of which none counts as more than one."""
    brought = np.float32((at - POPULARITY_ORIGIN) / CONTEXT_POPULARITY.half_life + np.log2(HEAVIEST))
    return np.exp2(values - brought)


def _of(counts: Numbers, context: int, share: Numbers) -> tuple[Numbers, Numbers]:
    """Events (n,) in the context, and those expected there; none where the share is not known yet."""
    if not share[context]:
        return np.zeros(len(counts)), np.zeros(len(counts))
    happened = counts[:, context].astype(np.float64)
    return happened, counts[:, kind_of(context)].sum(axis=1, dtype=np.float64) * share[context]
