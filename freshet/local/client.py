"""Calls to the running server, whose problems become errors of the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from freshet.errors import ServerError
from freshet.settings import Settings

if TYPE_CHECKING:
    import httpx


@contextmanager
def connected() -> Iterator[httpx.Client]:
    """A client of the server that the settings name, with its key. Raises ServerError where it does not answer."""
    import httpx

    settings = Settings()
    headers = {"X-API-Key": settings.api_key.get_secret_value()} if settings.api_key else {}
    with httpx.Client(base_url=settings.http_url, headers=headers, timeout=60, trust_env=False) as http:
        try:
            yield http
        except httpx.HTTPError as error:
            raise ServerError(
                f"the server at {settings.http_url} does not answer ({error}); see `freshet up`"
            ) from None


def body_of(answer: httpx.Response, name: str = "") -> Any:
    """The body. Raises ServerError with what a problem says, after `name`."""
    if answer.status_code == 200:
        return answer.json()
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"status {answer.status_code}"
    raise ServerError(f"{name}: {detail}" if name else detail)
