"""Resident memory of a bundle's bare parts: its index and its vectors in a process that does nothing else."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

import hnswlib
import numpy as np
import psutil

from schemas import bundle

STEADY = 0.001
"""a reading that differs from the one before by less than this share is settled"""
READINGS = 3
READ_EVERY_S = 1.0
SETTLED_WITHIN_S = 30.0


def settled(read: Callable[[], int]) -> int:
    """Resident bytes, once READINGS readings in a row are alike, or SETTLED_WITHIN_S have passed."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    last, alike = read(), 1
    while alike < READINGS and time.monotonic() < deadline:
        time.sleep(READ_EVERY_S)
        now = read()
        alike = alike + 1 if abs(now - last) <= STEADY * last else 1
        last = now
    return last


def bare_growth(path: Path) -> int:
    """Bytes by which loading the index and the vectors of the bundle at `path` raises the resident memory of this
    process. Runs in a separate process."""
    stored = bundle.load(path).space()
    index_file = stored.index
    assert index_file is not None
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    index = hnswlib.Index(space="ip", dim=stored.part.dim)
    index.load_index(str(index_file))
    vectors = stored.vectors
    float(np.add.reduce(vectors[:, 0]))  # maps every page
    grown = process.memory_info().rss - before
    assert index.get_current_count() == len(vectors)
    return grown
