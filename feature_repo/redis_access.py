"""How the online store's Redis is reached: password and TLS, from the environment, put into Feast's connection string.

A `feature_store.yaml` then needs no secret.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.client_settings import check_tls_files, variables

PREFIX = "FRESHET_REDIS_"


class RedisAccess(BaseSettings):
    """Password and TLS of the online store; each field is the environment variable `FRESHET_REDIS_` and its name."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    username: str = ""
    password: SecretStr = SecretStr("")
    tls: bool = False
    ca: Path | None = Field(None, description="PEM file of the CAs that sign the server; the system's where not given")
    certificate: Path | None = Field(None, description="PEM file of the client's private key and certificate chain")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.username and not self.password.get_secret_value():
            raise ValueError(f"{PREFIX}USERNAME needs {PREFIX}PASSWORD")
        check_tls_files(PREFIX, self.tls, "TLS=true", ca=self.ca, certificate=self.certificate)
        return self

    def environment(self) -> dict[str, str]:
        """The variables that make another process's settings the same as these."""
        return variables(PREFIX, self)

    def client(self) -> dict[str, object]:
        """Arguments of redis-py's client."""
        found: dict[str, object] = {}
        if self.username:
            found["username"] = self.username
        if self.password.get_secret_value():
            found["password"] = self.password.get_secret_value()
        if self.tls:
            found["ssl"] = True
        if self.ca:
            found["ssl_ca_certs"] = str(self.ca)
        if self.certificate:
            found["ssl_certfile"] = found["ssl_keyfile"] = str(self.certificate)
        return found

    def connection_string(self, address: str) -> str:
        """Feast's connection string `address` ("host:port,name=value,…") with these settings in it.

        Feast splits at commas and reads a value as JSON where it is, so that any text can stand in one. What `address`
        takes from these variables for a stock Feast client (`password=${FRESHET_REDIS_PASSWORD}`) is replaced.
        """
        kept = [part for part in address.split(",") if f"${{{PREFIX}" not in part]
        own = [f"{name}={json.dumps(value)}".replace(",", "\\u002c") for name, value in self.client().items()]
        return ",".join([*kept, *own])
