"""The clock of this machine, for what stamps or judges an event when it comes in.

Only `streams`, `serving`, `follow` and commands read it: operators, feature_repo and recommend take the time as an
argument, and a test keeps them from importing this module.
"""

import time


def now_ms() -> int:
    """The time, epoch ms."""
    return time.time_ns() // 1_000_000
