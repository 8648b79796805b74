"""Definitions that benchmarks run with."""

from __future__ import annotations

import os

from bench.errors import BadArgument
from feature_repo.registry import DEFINITIONS

REPOSITORIES = {
    0: "bench.repositories.none",
    8: DEFINITIONS,
    10: "bench.repositories.ten",
    40: "bench.repositories.forty",
}
"""by how many features are declared beside those of the main path; the repository itself comes with eight"""


def declare(features: int) -> None:
    """What is started from now on runs with so many declared features. Raises BadArgument where there is no such
    repository."""
    if features not in REPOSITORIES:
        raise BadArgument(f"--features {features}: there are repositories of {', '.join(map(str, REPOSITORIES))}")
    os.environ["FRESHET_DEFINITIONS"] = REPOSITORIES[features]
