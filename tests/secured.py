"""Servers that ask for a password and encrypt: a Kafka with a SASL_SSL listener, and certificates made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from feature_repo.redis_access import RedisAccess
from follow.connection import KafkaSecurity, _quoted
from freshet.local.components import Launch, Reporter
from freshet.local.kafka import Kafka
from freshet.settings import Settings

USER = "freshet"
PASSWORD = "p\"a\\s's, =;$x"
REDIS_PASSWORD = "r\"e\\d'i, =s"

_LISTENER = """
listeners=PLAINTEXT://{host}:{plain},SASL_SSL://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{plain},SASL_SSL://localhost:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config={jaas}
listener.name.sasl_ssl.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
"""


def certificates(folder: Path) -> None:
    """A CA (ca.pem), and of it a broker (broker.pem, of localhost) and a client (client.pem): key and certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made with openssl, which is not installed")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    made = "req", "-newkey", "rsa:2048", "-nodes"
    openssl(*made, "-x509", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name in ("broker", "client"):
        openssl(*made, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.crt")
        (folder / f"{name}.pem").write_text((folder / f"{name}.key").read_text() + (folder / f"{name}.crt").read_text())


def settings_of(home: Path, folder: Path, port: int, **ports: int) -> Settings:
    """A stack whose parts reach Kafka on `port` with SASL and TLS, and Redis with a password."""
    security = KafkaSecurity(
        security_protocol="SASL_SSL", username=USER, password=SecretStr(PASSWORD),
        ca=folder / "ca.pem", certificate=folder / "client.pem",
    )  # fmt: skip
    access = RedisAccess(password=SecretStr(REDIS_PASSWORD))
    return Settings(home=home, kafka=f"localhost:{port}", kafka_security=security, redis_access=access, **ports)


class SecuredKafka(Kafka):
    """The stack's broker with a SASL_SSL listener of its own; the plain one is for the question whether it is ready."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port

    def check(self, settings: Settings) -> None:
        """This one does have them."""

    def prepare(self, settings: Settings, report: Reporter) -> Launch:
        launch = super().prepare(settings, report)
        jaas = f"org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}={_quoted(PASSWORD)};"
        with (settings.run / "kafka.properties").open("a") as file:
            file.write(
                _LISTENER.format(
                    host=settings.host,
                    plain=settings.kafka_port,
                    controller=settings.kafka_controller_port,
                    port=self._port,
                    folder=self._folder,
                    jaas=jaas.replace("\\", "\\\\"),
                )
            )
        return launch
