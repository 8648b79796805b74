"""Password and TLS of the online store, in Feast's connection string."""

from __future__ import annotations

from pathlib import Path

import pytest
from feast.infra.online_stores.redis import RedisOnlineStore
from pydantic import SecretStr, ValidationError

from feature_repo.redis_access import RedisAccess
from feature_repo.store import config


def parsed(connection_string: str) -> tuple[list[dict[str, str]], dict[str, object]]:
    """As Feast reads it."""
    return RedisOnlineStore._parse_connection_string(connection_string)  # type: ignore[no-any-return]


@pytest.mark.parametrize("password", ["plain", "with, comma", "a=b", '"quoted"', "back\\slash", "123", "true", "ä €"])
def test_any_password_comes_through_feast_as_it_is(password: str) -> None:
    given = RedisAccess(username="me", password=SecretStr(password)).connection_string("one:1,two:2,db=3")
    assert parsed(given) == (
        [{"host": "one", "port": "1"}, {"host": "two", "port": "2"}],
        {"db": 3, "username": "me", "password": password},
    )


def test_tls_and_its_files(tmp_path: Path) -> None:
    ca, certificate = tmp_path / "ca,1.pem", tmp_path / "client.pem"
    for file in (ca, certificate):
        file.write_text("PEM")
    _, found = parsed(RedisAccess(tls=True, ca=ca, certificate=certificate).connection_string("redis:6379"))
    assert found == {
        "ssl": True, "ssl_ca_certs": str(ca), "ssl_certfile": str(certificate), "ssl_keyfile": str(certificate),
    }  # fmt: skip


def test_nothing_said_changes_nothing() -> None:
    assert RedisAccess().connection_string("redis:6379,db=1") == "redis:6379,db=1"


def test_the_placeholder_for_a_stock_client_is_replaced() -> None:
    address = "redis:6379,password=${FRESHET_REDIS_PASSWORD}"
    assert RedisAccess().connection_string(address) == "redis:6379"
    assert parsed(RedisAccess(password=SecretStr("x")).connection_string(address))[1] == {"password": "x"}


def test_the_configuration_takes_them_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_REDIS_PASSWORD", "secret, with comma")
    online = config(timeout_s=0.5).online_store
    assert parsed(online.connection_string)[1] == {
        "password": "secret, with comma", "socket_timeout": 0.5, "socket_connect_timeout": 0.5,
    }  # fmt: skip
    assert "secret" not in repr(RedisAccess())


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"USERNAME": "me"}, "FRESHET_REDIS_PASSWORD"),
        ({"CA": "/absent", "PASSWORD": "hidden"}, "FRESHET_REDIS_TLS"),
        ({"TLS": "true", "CA": "/absent", "PASSWORD": "hidden"}, "FRESHET_REDIS_CA"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(
    given: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"FRESHET_REDIS_{name}", value)
    with pytest.raises(ValidationError, match=named) as refused:
        RedisAccess()
    assert "hidden" not in str(refused.value)
