"""Fixtures that every test may use: a real local stack in a temporary home, on ports of its own; the same with a model
and a server; and the application over fakes."""

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import prometheus_client  # noqa: F401 (Feast's metrics, once imported, would have it count in files that tests share)
import pytest

from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings
from tests.live import live as live
from tests.serving.made import Api

# The same examples at every run: a failure is a change of ours, and a busy machine fails no example for being slow.
hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    max_examples=80,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")


def pytest_configure() -> None:
    """A run that a time limit ends (SIGTERM) stops the servers that it started, as one that is interrupted does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


REAL = {"stack", "live"}
"""fixtures that start real servers"""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A real Kafka and Redis for the session; a test that wants Flink calls `stack.up(["flink"])`.

    Under pytest-xdist each worker has a stack of its own. Only the cache of jars is shared.
    """
    settings = Settings(home=tmp_path_factory.mktemp("stack"), **free_ports())
    with Stack(settings, report=print) as stack:
        stack.up(["kafka", "redis"])
        yield stack


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """The application over a fake store and a fake Kafka; nothing in the catalogue yet."""
    api = Api(tmp_path / "bundles")
    yield api
    api.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for real servers is an integration test, whether or not it says so."""
    for item in items:
        if not REAL.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)
