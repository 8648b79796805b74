"""The whole stack with a Kafka that asks for SASL and client certificates over TLS, and a Redis with a password."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from confluent_kafka.admin import AdminClient
from feast import FeatureStore
from kafka.errors import KafkaError
from pydantic import SecretStr

from feature_repo.store import UserReader, close
from follow import to_end
from follow.connection import Connection, KafkaSecurity
from follow.follower import Follower
from follow.to_end import KafkaUnreadable
from freshet.data.producer import Producer
from freshet.errors import ComponentError
from freshet.local import processes, topics
from freshet.local.flink import Flink
from freshet.local.kafka import Kafka
from freshet.local.ports import free_ports
from freshet.local.redis import Redis
from freshet.local.server import Server
from freshet.local.stack import Stack
from freshet.settings import Settings
from schemas import codec
from schemas.events import Interaction, Item
from serving.producer import EventProducer
from tests.live import until
from tests.secured import PASSWORD, REDIS_PASSWORD, SecuredKafka, certificates, settings_of
from training.taken import TakenLog

pytestmark = [
    pytest.mark.integration,
    # kafka-python leaves the socket of a TLS handshake that has failed to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

START_S = 120
"""for the job to start and write a row"""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder, port = tmp_path_factory.mktemp("certificates"), free_ports()["http_port"]
    certificates(folder)
    settings = settings_of(tmp_path_factory.mktemp("secured"), folder, port, **free_ports())
    parts = (SecuredKafka(folder, port), Redis(), Flink(), Server())
    with Stack(settings, report=print, components=parts) as stack:
        stack.up(["kafka", "redis"])
        yield stack


def click(user: str, item: str = "i1") -> Interaction:
    return Interaction(uuid.uuid4().hex, "click", user, int(time.time() * 1000), item)


def test_every_client_gets_in(secured: Stack) -> None:
    settings, read = secured.settings, []
    assert topics.create(settings.connection) == []
    with Producer(settings) as producer:
        producer.send("items", b"i1", codec.encode(Item("i1", "Heat")))
    log, event = EventProducer(settings.connection, 10_000), click("by the server's producer")
    assert None not in asyncio.run(log.append([event]))
    log.close()
    follower = Follower(settings.connection, ["items"], lambda *record: read.append(record)).start()
    assert follower.caught_up.wait(60)
    follower.stop()
    assert ("items", b"i1", codec.encode(Item("i1", "Heat"))) in read
    assert [m.key for m in to_end.read(settings.connection, ["items"])].count(b"i1") == 1
    assert event in TakenLog(settings.connection).log.interactions
    assert AdminClient(settings.connection.librdkafka()).list_topics(timeout=20).topics.keys() >= {"items"}


@pytest.mark.parametrize(
    "change",
    [{"password": SecretStr("another")}, {"ca": None}, {"certificate": None}, {"security_protocol": "PLAINTEXT"}],
    ids=str,
)
def test_nobody_else_does(secured: Stack, change: dict[str, Any]) -> None:
    right = secured.settings.kafka_security
    wrong = Connection(secured.settings.kafka, KafkaSecurity.model_construct(**{**dict(right), **change}))
    with pytest.raises((KafkaUnreadable, KafkaError)):
        list(to_end.read(wrong, ["items"], patience_s=3))


def test_redis_asks_for_the_password(secured: Stack) -> None:
    settings = secured.settings
    with redis.Redis(settings.host, settings.redis_port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with redis.Redis(settings.host, settings.redis_port, password=REDIS_PASSWORD) as known:
        assert known.ping()
    assert (settings.run / "redis.conf").stat().st_mode & 0o077 == 0


def test_an_event_goes_all_the_way_and_no_secret_is_seen(secured: Stack) -> None:
    settings = secured.settings
    secured.up()
    with httpx.Client(base_url=settings.http_url, timeout=30, trust_env=False) as http:
        event = {"event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": "i1",
                 "timestamp": int(time.time() * 1000)}  # fmt: skip
        assert http.post("/v1/events", json=event).status_code == 202
        until(lambda: http.get("/v1/users/u1/features").json().get("recent"), START_S)
        assert http.get("/readyz").json()["degraded"] in ([], ["model"])
    reader = UserReader(settings.feature_store, 5.0, access=settings.redis_access)
    # The server answers with events that the job has not written yet.
    row = until(lambda: reader.read("u1"), START_S)
    assert row["recent_items"] == ["i1"]
    reader.close()
    for secret in (PASSWORD, REDIS_PASSWORD):
        for file in settings.logs.glob("*.log"):
            assert secret not in file.read_text(errors="replace"), file
        assert secret not in settings.feature_store.read_text()
        for status in secured.status():
            record = processes.load(settings.run, status.name)
            assert record is not None
            for process in record.members():
                assert not [word for word in process.cmdline() if secret in word], status.name


def test_a_stock_feast_client_takes_the_password_from_its_environment(
    secured: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what stock Feast cannot read in one: a comma."""
    monkeypatch.setenv("FRESHET_REDIS_PASSWORD", "plain")
    store = FeatureStore("feature_repo", fs_yaml_file=secured.settings.feature_store)
    online: Any = store.config.online_store
    assert online.connection_string == f"{secured.settings.redis},password=plain"
    close(store)


# -- the local servers are plain -------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, Any]:
    return {"home": tmp_path, **free_ports()}


def test_the_local_broker_is_not_started_with_the_settings_of_another(plain: dict[str, Any]) -> None:
    security = KafkaSecurity(security_protocol="SASL_SSL", username="u", password=SecretStr("p"))
    for settings in (Settings(**plain, kafka="elsewhere:9092"), Settings(**plain, kafka_security=security)):
        with pytest.raises(ComponentError, match="--without kafka"):
            Kafka().prepare(settings, print)


def test_the_local_redis_is_not_started_with_the_settings_of_another(plain: dict[str, Any], tmp_path: Path) -> None:
    from feature_repo.redis_access import RedisAccess

    with pytest.raises(ComponentError, match="--without redis"):
        Redis().prepare(Settings(**plain, redis_access=RedisAccess(tls=True)), print)
