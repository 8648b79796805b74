"""Feature definitions for benchmarks."""

from __future__ import annotations

import os
from collections.abc import Iterable

from bench.errors import BadArgument
from feature_repo.registry import DEFINITIONS

REPOSITORIES = {
    0: "bench.repositories.none",
    8: DEFINITIONS,
    10: "bench.repositories.ten",
    40: "bench.repositories.forty",
}
"""by the number of features that are declared besides those of the main path; the repository itself comes with eight"""


def check(features: Iterable[int]) -> None:
    """Raises BadArgument where there is no repository of one of these sizes."""
    for n in features:
        if n not in REPOSITORIES:
            raise BadArgument(f"--features {n}: there are repositories of {', '.join(map(str, REPOSITORIES))}")


def declare(features: int) -> None:
    """Components started from now on run with so many declared features. Raises BadArgument where there is no such
    repository."""
    check([features])
    os.environ["FRESHET_DEFINITIONS"] = REPOSITORIES[features]
