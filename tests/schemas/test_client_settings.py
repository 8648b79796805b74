"""Files and variables of secured clients; what Kafka and Redis say of theirs is tested with each."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from schemas.client_settings import check_tls_files, variables


class Given(BaseSettings):
    password: SecretStr = SecretStr("")
    ca: Path | None = None
    tls: bool = False
    name: str = ""


def test_files_need_tls_and_have_to_be_there(tmp_path: Path) -> None:
    there = tmp_path / "ca.pem"
    there.touch()
    check_tls_files("X_", True, "TLS=true", ca=there, certificate=None)
    check_tls_files("X_", False, "TLS=true", ca=None)
    with pytest.raises(ValueError, match=r"^X_CA needs X_TLS=true$"):
        check_tls_files("X_", False, "TLS=true", ca=there)
    with pytest.raises(ValueError, match=r"^X_CERTIFICATE: there is no file .*gone\.pem$"):
        check_tls_files("X_", True, "TLS=true", ca=there, certificate=tmp_path / "gone.pem")


def test_variables_are_those_that_say_something() -> None:
    given = Given(password=SecretStr("pass word"), ca=Path("ca.pem"), tls=True)
    assert variables("X_", given) == {
        "X_PASSWORD": "pass word", "X_CA": str(Path("ca.pem").absolute()), "X_TLS": "True",
    }  # fmt: skip
