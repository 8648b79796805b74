"""What settings of a client that connects with TLS and a password have in common, whatever it connects to."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings


def check_tls_files(prefix: str, encrypted: bool, needs: str, **files: Path | None) -> None:
    """Raises ValueError where one of the files is not there, or one is given though connections are not `encrypted`.

    A file is that of the variable `prefix` and its name; `needs` is the setting, after the prefix, that encrypts.
    """
    for name, file in files.items():
        if file is None:
            continue
        if not encrypted:
            raise ValueError(f"{prefix}{name.upper()} needs {prefix}{needs}")
        if not file.is_file():
            raise ValueError(f"{prefix}{name.upper()}: there is no file {file}")


def variables(prefix: str, settings: BaseSettings) -> dict[str, str]:
    """The environment variables, `prefix` and a field's name, that make another process's settings the same as these,
    secrets in plain text and paths absolute."""
    found: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value:
            found[prefix + name.upper()] = str(value.absolute() if isinstance(value, Path) else value)
    return found
