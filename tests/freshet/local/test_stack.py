import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from freshet.cli import main
from freshet.errors import NotReady, PortTaken
from freshet.local import components, ports, processes
from freshet.local.components import Launch, Reporter
from freshet.local.flink import Flink
from freshet.local.kafka import Kafka
from freshet.local.redis import Redis
from freshet.local.server import Server
from freshet.local.stack import Stack, Status
from freshet.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", start_timeout=20, **ports.free_ports())


class Broken:
    """A component that says why it fails, and ends."""

    name = "broken"
    grace = 1.0

    def ports(self, settings: Settings) -> Mapping[str, int]:
        return {"http_port": settings.http_port}

    def prepare(self, settings: Settings, report: Reporter) -> Launch:
        return Launch(["sh", "-c", "echo the disk is full; exit 3"])

    def is_ready(self, settings: Settings) -> bool:
        return False

    def started(self, settings: Settings, report: Reporter) -> None:
        raise AssertionError("it never started")

    def kept(self, settings: Settings, report: Reporter) -> None:
        raise AssertionError("it never started")

    def before_stop(self, settings: Settings, report: Reporter) -> None:
        raise AssertionError("it never ran")


class Healthy(Broken):
    """A component that runs until it is stopped, and reports what is made of it."""

    name = "healthy"

    def prepare(self, settings: Settings, report: Reporter) -> Launch:
        return Launch(["sleep", "60"])

    def is_ready(self, settings: Settings) -> bool:
        return True

    def started(self, settings: Settings, report: Reporter) -> None:
        report("started")

    def kept(self, settings: Settings, report: Reporter) -> None:
        report("kept")

    def before_stop(self, settings: Settings, report: Reporter) -> None:
        return None


def test_what_runs_already_is_given_what_it_lacks(settings: Settings) -> None:
    said: list[str] = []
    with Stack(settings, components=[Healthy()], report=said.append) as stack:
        stack.up()
        assert said[0] == "started"
        stack.up()
        assert said[2:] == ["kept"]


def test_a_taken_port_is_named_with_its_setting(settings: Settings) -> None:
    with socket.create_server((settings.host, settings.redis_port)):
        with Stack(settings) as stack, pytest.raises(PortTaken, match="FRESHET_REDIS_PORT") as raised:
            stack.up(["redis"])
        assert str(settings.redis_port) in str(raised.value)


def test_a_failed_start_shows_the_end_of_its_log_and_leaves_nothing(settings: Settings) -> None:
    stack = Stack(settings, components=[Broken()])
    with pytest.raises(NotReady, match="the disk is full"):
        stack.up()
    assert [status.state for status in stack.status()] == ["stopped"]
    stack.down()


def test_who_gives_no_answer_in_time_is_busy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every component, against a port that takes connections and never says anything."""
    monkeypatch.setattr(components, "ANSWER_S", 0.2)
    for component in (Kafka(), Redis(), Flink(), Server()):
        port = next(iter(component.ports(settings).values()))
        assert not component.is_ready(settings), "nobody is there"
        with socket.create_server((settings.host, port)), pytest.raises(TimeoutError):
            component.is_ready(settings)


def test_a_status_names_busy_and_unhealthy_components(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        Status(n, state, 1, "", None) for n, state in (("kafka", "running"), ("flink", "busy"), ("redis", "unhealthy"))
    ]
    monkeypatch.setattr(Stack, "status", lambda self: found)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["status"]) == 1
    said = capsys.readouterr().out
    assert "flink: it runs and did not answer in time" in said
    assert "redis: its process runs, but its address does not answer" in said
    assert "kafka:" not in said


def test_free_ports_differ_and_are_free() -> None:
    found = ports.free_ports()
    assert len(set(found.values())) == len(found) == 5
    assert all(ports.is_free("127.0.0.1", port) for port in found.values())


def test_redis_keeps_its_data_over_a_crash_and_a_restart(settings: Settings) -> None:
    import redis

    said: list[str] = []
    with Stack(settings, components=[Redis()], report=said.append) as stack:
        stack.up()
        pid = stack.status()[0].pid
        stack.up()
        assert stack.status()[0].pid == pid  # up again leaves it as it is
        with redis.Redis(settings.host, settings.redis_port) as client:
            client.set("kept", "yes")
            time.sleep(1.1)  # the append-only file is synced once a second
        stack.kill("redis")
        assert stack.status()[0].state == "crashed"
        stack.up()
        with redis.Redis(settings.host, settings.redis_port) as client:
            assert client.get("kept") == b"yes"
        stack.kill("redis")
        stack.down()  # works on what has crashed, too
    assert said[-1] == "redis had crashed; cleaned up"


def listening(settings: Settings, *components: str) -> set[str]:
    """The addresses on which processes of the components listen."""
    found = set()
    for name in components:
        record = processes.load(settings.run, name)
        assert record is not None
        root = psutil.Process(record.pid)
        for process in (root, *root.children(recursive=True)):
            found |= {c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert found
    return found


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.integration
def test_up_and_down_leave_no_process_and_no_port(settings: Settings) -> None:
    from kafka import KafkaConsumer
    from kafka.admin import KafkaAdminClient

    settings = settings.model_copy(update={"start_timeout": 120.0})
    stack = Stack(settings, report=print)
    try:
        stack.up(["kafka", "redis"])
        states = {status.name: status.state for status in stack.status()}
        assert states == {"kafka": "running", "redis": "running", "flink": "stopped", "server": "stopped"}
        consumer = KafkaConsumer(bootstrap_servers=settings.kafka)
        found = consumer.topics()
        assert {"interactions", "items", "interactions.dlq"} <= found
        assert len(consumer.partitions_for_topic("interactions")) == settings.partitions
        consumer.close()
        admin = KafkaAdminClient(bootstrap_servers=settings.kafka)
        admin.delete_topics(["digests"])
        _wait_until(lambda: "digests" not in admin.list_topics())
        stack.up(["kafka"])
        assert "digests" in admin.list_topics(), "a broker that an earlier version started gets what is new"
        admin.close()
        stack.up(["flink"])
        assert listening(settings, "kafka", "redis", "flink") <= {"127.0.0.1", "::ffff:127.0.0.1"}
    finally:
        stack.down()
    assert {status.state for status in stack.status()} == {"stopped"}
    home = str(settings.root)
    assert [p.pid for p in psutil.process_iter(["cmdline"]) if home in " ".join(p.info["cmdline"] or [])] == []
    for port in (settings.kafka_port, settings.kafka_controller_port, settings.redis_port):
        assert ports.is_free(settings.host, port)
