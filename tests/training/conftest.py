"""The made log, once a session."""

from __future__ import annotations

import pytest

from tests.logs import made_log
from training.accepted import Log


@pytest.fixture(scope="session")
def log() -> Log:
    return made_log()
