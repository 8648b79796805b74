"""Settings of Kafka into the configuration of each client; secrets are shown nowhere."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka import KafkaConsumer
from pydantic import SecretStr, ValidationError

from follow.connection import Connection, KafkaSecurity
from freshet.local.ports import free_ports
from serving.settings import ServingSettings
from streams.job import _literal
from streams.settings import JobSettings

SECRET = "p\"a\\s's, =;$x ä"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "ca.pem", tmp_path / "client.pem"
    for file in made:
        file.write_text("PEM")
    return made


@pytest.fixture
def secured(files: tuple[Path, Path]) -> Connection:
    ca, certificate = files
    return Connection(
        "broker:9093",
        KafkaSecurity(
            security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", username="me", password=SecretStr(SECRET),
            ca=ca, certificate=certificate, key_password=SecretStr("of the key"),
        ),
    )  # fmt: skip


def test_an_address_alone_is_plain_text() -> None:
    plain = Connection("broker:9092")
    assert plain.kafka_python() == {"bootstrap_servers": "broker:9092", "security_protocol": "PLAINTEXT"}
    assert plain.librdkafka() == {"bootstrap.servers": "broker:9092", "security.protocol": "PLAINTEXT"}
    assert plain.java() == {"bootstrap.servers": "broker:9092", "security.protocol": "PLAINTEXT"}


def test_the_environment_makes_no_address_secured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_KAFKA_SECURITY_PROTOCOL", "SSL")
    assert Connection("broker:9092").security.security_protocol == "PLAINTEXT"


def test_each_client_is_given_all_of_it(secured: Connection, files: tuple[Path, Path]) -> None:
    ca, certificate = map(str, files)
    assert secured.kafka_python() == {
        "bootstrap_servers": "broker:9093", "security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me", "sasl_plain_password": SECRET, "ssl_cafile": ca, "ssl_certfile": certificate,
        "ssl_keyfile": certificate, "ssl_password": "of the key",
    }  # fmt: skip
    assert secured.librdkafka() == {
        "bootstrap.servers": "broker:9093", "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me", "sasl.password": SECRET, "ssl.ca.location": ca, "ssl.certificate.location": certificate,
        "ssl.key.location": certificate, "ssl.key.password": "of the key",
    }  # fmt: skip
    java = secured.java()
    jaas = java.pop("sasl.jaas.config")
    assert java == {
        "bootstrap.servers": "broker:9093", "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
        "ssl.truststore.type": "PEM", "ssl.truststore.location": ca, "ssl.keystore.type": "PEM",
        "ssl.keystore.location": certificate, "ssl.key.password": "of the key",
    }  # fmt: skip
    assert jaas.startswith("org.apache.flink.kafka.shaded.org.apache.kafka.common.security.scram.ScramLoginModule ")
    assert tokens(jaas) == {"username": "me", "password": SECRET}


def tokens(jaas: str) -> dict[str, str]:
    """The options of a JAAS line, read as Java's StreamTokenizer does: quoted text ends at a quotation mark or at a new
    line, and a backslash escapes."""
    rest, found = io.StringIO(jaas.split(" required ")[1]), {}
    while (name := "".join(iter(lambda: rest.read(1).replace("=", ""), "")).strip()) not in (";", ""):
        assert rest.read(1) == '"'
        value = ""
        while (letter := rest.read(1)) != '"':
            assert letter not in ("", "\n", "\r")
            if letter == "\\":
                letter = {"n": "\n", "r": "\r"}.get(after := rest.read(1), after)
            value += letter
        found[name] = value
    return found


@pytest.mark.parametrize("text", ["", "'", "a'b''c", '"', "\\", "x\ny\rz", '";\nrequired evil="1'])
def test_no_secret_breaks_out_of_its_quotation_marks(text: str) -> None:
    security = KafkaSecurity.model_construct(
        security_protocol="SASL_SSL", sasl_mechanism="PLAIN", username="me", password=SecretStr(text)
    )
    assert tokens(Connection("b:1", security).java()["sasl.jaas.config"])["password"] == text
    assert _literal(text)[1:-1].replace("''", "") == text.replace("'", "")
    assert _literal(text).count("'") == 2 + 2 * text.count("'")


def test_the_clients_know_these_names(secured: Connection) -> None:
    assert secured.kafka_python().keys() <= KafkaConsumer.DEFAULT_CONFIG.keys()
    unencrypted = KafkaSecurity(security_protocol="SASL_PLAINTEXT", username="me", password=SecretStr("x"))
    Producer(Connection(f"127.0.0.1:{free_ports()['kafka_port']}", unencrypted).librdkafka())  # raises for another name


@pytest.mark.parametrize("settings", [JobSettings, ServingSettings])
def test_settings_read_the_environment_and_show_no_secret(
    settings: Any, monkeypatch: pytest.MonkeyPatch, secured: Connection
) -> None:
    for name, value in secured.security.environment().items():
        monkeypatch.setenv(name, value)
    found = settings(kafka="broker:9093")
    assert found.connection == secured
    assert hash(found.connection) == hash(secured)
    assert pickle.loads(pickle.dumps(found.connection)) == secured
    for text in (repr(found), str(found.connection), repr(found.connection)):
        assert SECRET not in text
        assert "of the key" not in text


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"SECURITY_PROTOCOL": "SASL_SSL", "PASSWORD": "hidden"}, "FRESHET_KAFKA_USERNAME"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "USERNAME": "me"}, "FRESHET_KAFKA_PASSWORD"),
        ({"USERNAME": "me", "PASSWORD": "hidden"}, "FRESHET_KAFKA_SECURITY_PROTOCOL"),
        ({"SECURITY_PROTOCOL": "SSL", "CA": "/absent/ca.pem", "PASSWORD": "hidden"}, "FRESHET_KAFKA_CA"),
        ({"CA": "/absent/ca.pem", "PASSWORD": "hidden"}, "FRESHET_KAFKA_SECURITY_PROTOCOL"),
        ({"SECURITY_PROTOCOL": "TLS", "PASSWORD": "hidden"}, "SASL_SSL"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name_and_without_the_secret(
    given: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"FRESHET_KAFKA_{name}", value)
    with pytest.raises(ValidationError, match=named) as refused:
        KafkaSecurity()
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("bootstrap", ["nonsense", "host:port:0", "", ":"])
def test_an_address_that_is_none_cannot_be_reached(bootstrap: str) -> None:
    with pytest.raises(OSError, match=r"host:port|no broker|resolve|refused|known|supported"):
        Connection(bootstrap).reach()
