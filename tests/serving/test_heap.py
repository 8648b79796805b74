"""Freed memory goes back to the operating system."""

from __future__ import annotations

import ctypes

import psutil
import pytest

from serving import heap

SIZE = 100 << 10
"""below the size from which glibc maps a block of its own at first"""
BLOCKS = 300


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has no malloc_trim")
def test_what_is_free_in_the_heap_is_returned() -> None:
    process = psutil.Process()
    blocks = [bytes(SIZE) for _ in range(BLOCKS)]
    kept = [bytes(600) for _ in range(10)]  # lies above the blocks, so that the heap does not shrink by itself
    held = process.memory_info().rss
    blocks.clear()
    heap.trim()
    assert kept
    assert process.memory_info().rss < held - BLOCKS * SIZE // 2


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    heap.trim()
