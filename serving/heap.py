"""Returns freed memory to the operating system."""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Returns what is free in the C library's heaps; allocations of other threads wait while their heap is gone
    through.

    Loading a bundle frees large blocks, after which glibc keeps up to 64 MiB of free memory rather than 128 KiB: its
    thresholds follow the largest block that was freed (mallopt(3), M_MMAP_THRESHOLD). Does nothing where the C library
    is another one.
    """
    found = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if found is not None:
        found(0)
