"""The curls, the formula and the names in docs/trending.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from feature_repo.views import CONTEXT_POPULARITY, POPULARITY, RECENT_POPULARITY
from operators.contexts import CONTEXTS, DEVICE_KINDS
from operators.time import DAY, HOUR
from recommend.shrinkage import PRIOR
from recommend.velocity import HEAVIEST, velocity
from schemas.events import Item
from tests.serving.made import Api

TEXT = (Path(__file__).parents[2] / "docs" / "trending.md").read_text()
FLAT = " ".join(TEXT.split())


@pytest.mark.parametrize("line", [line for line in TEXT.splitlines() if line.startswith("curl")])
def test_every_example_is_answered(api: Api, line: str) -> None:
    api.stock([Item(f"i{k}", categories=["comedy"]) for k in range(5)])
    path = shlex.split(line)[-1].removeprefix("localhost:8000")
    assert api.get(path).status_code == 200


def test_the_formula_is_that_of_the_code() -> None:
    assert (POPULARITY.half_life, RECENT_POPULARITY.half_life, CONTEXT_POPULARITY.half_life) == (
        7 * DAY, 6 * HOUR, 28 * DAY
    )  # fmt: skip
    assert (PRIOR, HEAVIEST, len(CONTEXTS)) == (5, 3, 12)
    for popular, recent in ((6.0, 6.0), (100.0, 99.0), (500.0, 20.0)):
        expected = (popular - recent) * 6 / (7 * 24 - 6)
        found = velocity(np.array([popular]), np.array([recent])).times[0]
        assert found == pytest.approx((5 + recent / 3) / (5 + expected / 3))
    assert velocity(np.array([6.0]), np.array([6.0])).times[0] == pytest.approx(1.4)


def test_the_names_of_devices_are_those_of_the_code() -> None:
    said = FLAT.split("in any case: ")[1].split(". Others")[0]
    assert set(re.findall(r"`([^`]+)`", said)) == set(DEVICE_KINDS)
