"""A steady rate."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import count

from freshet.data.pace import wait_until


def paced(rate: float, seconds: float) -> Iterator[tuple[int, float]]:
    """Numbers at a steady rate, each with the moment (monotonic) from which its delay counts.

    A late number is due at once, so that the rate holds on average, and its delay counts from when it was due: a
    request that waited for the one before has waited as well. Numbers due after the end are left out, since a slow
    probe must not go on after the load has ended. `seconds` may be infinite.
    """
    began = time.monotonic()
    for number in count() if math.isinf(seconds) else range(int(rate * seconds)):
        asked, due = time.monotonic(), began + number / rate
        if asked > began + seconds:
            return
        wait_until(due)
        yield number, due if asked > due else time.monotonic()
