"""Kafka's bootstrap servers, TLS and SASL, as configurations of the three Kafka clients in use.

The secrets come from the environment alone. They are SecretStr, so that printing the settings hides them.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.client_settings import check_tls_files, variables

CONNECT_S = 3.0
PREFIX = "FRESHET_KAFKA_"

_SHADED = "org.apache.flink.kafka.shaded."
"""where Flink's Kafka SQL connector, which has a Kafka client of its own, keeps that client's classes"""
_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


class KafkaSecurity(BaseSettings):
    """TLS and SASL of the Kafka clients; each field is the environment variable `FRESHET_KAFKA_` and its name."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str = ""
    password: SecretStr = SecretStr("")
    ca: Path | None = Field(None, description="PEM file of the CAs that sign the brokers; the system's where not given")
    certificate: Path | None = Field(
        None,
        description="PEM file of the client's private key (PKCS #8) and certificate chain, where brokers ask for one",
    )
    key_password: SecretStr | None = Field(None, description="where the private key is encrypted")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.sasl and not (self.username and self.password.get_secret_value()):
            raise ValueError(f"{self.security_protocol} needs {PREFIX}USERNAME and {PREFIX}PASSWORD")
        if self.username and not self.sasl:
            raise ValueError(f"{PREFIX}USERNAME needs {PREFIX}SECURITY_PROTOCOL=SASL_SSL (or SASL_PLAINTEXT)")
        encrypts = "SECURITY_PROTOCOL=SASL_SSL (or SSL)"
        check_tls_files(PREFIX, self.tls, encrypts, ca=self.ca, certificate=self.certificate)
        return self

    @property
    def sasl(self) -> bool:
        """Whether a user name and a password are sent."""
        return self.security_protocol.startswith("SASL_")

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    def environment(self) -> dict[str, str]:
        """The variables that make another process's settings the same as these."""
        return variables(PREFIX, self)


def _plain() -> KafkaSecurity:
    return KafkaSecurity.model_construct()


@dataclass(frozen=True)
class Connection:
    """Bootstrap servers ("host:port,…") and their security; plain text by default."""

    bootstrap: str
    security: KafkaSecurity = field(default_factory=_plain)

    def __str__(self) -> str:
        return self.bootstrap

    def kafka_python(self) -> dict[str, Any]:
        """Arguments of kafka-python's clients."""
        security = self.security
        found: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": security.security_protocol}
        if security.sasl:
            found["sasl_mechanism"] = security.sasl_mechanism
            found["sasl_plain_username"] = security.username
            found["sasl_plain_password"] = security.password.get_secret_value()
        if security.ca:
            found["ssl_cafile"] = str(security.ca)
        if security.certificate:
            found["ssl_certfile"] = found["ssl_keyfile"] = str(security.certificate)
        if security.key_password:
            found["ssl_password"] = security.key_password.get_secret_value()
        return found

    def librdkafka(self) -> dict[str, Any]:
        """Configuration of librdkafka's clients (confluent-kafka)."""
        security = self.security
        found: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "security.protocol": security.security_protocol}
        if security.sasl:
            found["sasl.mechanism"] = security.sasl_mechanism
            found["sasl.username"] = security.username
            found["sasl.password"] = security.password.get_secret_value()
        if security.ca:
            found["ssl.ca.location"] = str(security.ca)
        if security.certificate:
            found["ssl.certificate.location"] = found["ssl.key.location"] = str(security.certificate)
        if security.key_password:
            found["ssl.key.password"] = security.key_password.get_secret_value()
        return found

    def java(self, prefix: str = _SHADED) -> dict[str, str]:
        """Properties of Kafka's Java client; `prefix` is the package in which its classes are, that of Flink's SQL
        connector where not given. Files are read by each task manager, at these paths."""
        security = self.security
        found = {"bootstrap.servers": self.bootstrap, "security.protocol": security.security_protocol}
        if security.sasl:
            module = prefix + _LOGIN_MODULES[security.sasl_mechanism]
            user, password = _quoted(security.username), _quoted(security.password.get_secret_value())
            found["sasl.mechanism"] = security.sasl_mechanism
            found["sasl.jaas.config"] = f"{module} required username={user} password={password};"
        if security.ca:
            found["ssl.truststore.type"], found["ssl.truststore.location"] = "PEM", str(security.ca)
        if security.certificate:
            found["ssl.keystore.type"], found["ssl.keystore.location"] = "PEM", str(security.certificate)
        if security.key_password:
            found["ssl.key.password"] = security.key_password.get_secret_value()
        return found

    def reach(self) -> None:
        """Raises OSError where none of the brokers accepts a TCP connection.

        Called before a kafka-python client is made: one that finds no broker blocks for as long as it may, and leaves
        sockets behind, a consumer a thread too.
        """
        refused: OSError | None = None
        for address in self.bootstrap.split(","):
            host, _, port = address.strip().rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
            except OSError as error:
                refused = error
            except ValueError:
                refused = OSError(f"{address.strip()!r} is not host:port")
            else:
                return
        raise refused or OSError("no broker is named")


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"}


def _quoted(text: str) -> str:
    """A value of a JAAS line: Kafka reads it with Java's StreamTokenizer, in which a backslash escapes as in Java."""
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in text) + '"'
