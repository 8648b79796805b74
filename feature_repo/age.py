"""How old items are, for rankers, crosses and re-rankers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.events import MAX_FUTURE_MS


def ages(created_at: npt.NDArray[np.float64], at: int) -> npt.NDArray[np.float64]:
    """Ages in ms of items of any shape that were created at `created_at`, epoch ms, as of `at`; NaN where unknown.

    A catalogue may hold items that are yet to be released, or wrong dates: until its time comes, such an item has no
    age and is not new. An item that is ahead by no more than a clock may be (MAX_FUTURE_MS, as for events) is 0 ms old.
    """
    found = at - created_at
    return np.where(found < -MAX_FUTURE_MS, np.nan, np.maximum(found, 0.0))
