"""Waiting for the due time of the next event."""

import time


def wait_until(due: float) -> float:
    """Sleep until `due` on time.monotonic()'s clock, and return how many seconds it had already passed."""
    ahead = due - time.monotonic()
    if ahead > 0:
        time.sleep(ahead)
    return max(0.0, -ahead)
