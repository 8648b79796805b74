"""The clock of this machine, for what stamps or judges an event when it comes in.

Only processes that meet the world read it: the packages of pure computations (operators, feature_repo, recommend) take
the time as an argument, and a test keeps them from importing this module.
"""

import time


def now_ms() -> int:
    """The time, epoch ms."""
    return time.time_ns() // 1_000_000
