"""What the threads that keep a component up to date say of themselves, for `freshet status`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import httpx

from freshet.local import components
from freshet.settings import Settings

JOB_ERRORS = "freshet.user.background.errors"


def problems(settings: Settings, running: Collection[str]) -> list[str]:
    """One line for each thread with errors of the components that run; nothing of one that does not answer."""
    found: list[str] = []
    for name, read in (("server", _server), ("flink", _flink)):
        if name in running:
            try:
                found += [f"{name}: {line}" for line in read(settings)]
            except (httpx.HTTPError, ValueError, KeyError, TypeError):
                continue  # its state is in the table
    return found


def _server(settings: Settings) -> Iterator[str]:
    answer = httpx.get(f"{settings.http_url}/readyz", timeout=components.ANSWER_S, trust_env=False)
    for thread in answer.json()["background"]:
        if not thread["up"]:
            yield f"{thread['name']} fails and is tried again: {thread['last_error']}"
        elif thread["errors"]:
            yield f"{thread['name']} works; {thread['errors']} errors so far, the last: {thread['last_error']}"


def _flink(settings: Settings) -> Iterator[str]:
    with httpx.Client(base_url=settings.flink_url, timeout=components.ANSWER_S, trust_env=False) as client:
        errors = sum(int(float(metric["value"])) for metric in _metrics(client))
    if errors:
        yield f"{errors} errors so far in the threads that follow the catalogue and the bundles (`freshet logs flink`)"


def _metrics(client: httpx.Client) -> Iterator[dict[str, Any]]:
    for job in client.get("/jobs").json()["jobs"]:
        for vertex in client.get(f"/jobs/{job['id']}").json().get("vertices", ()):
            path = f"/jobs/{job['id']}/vertices/{vertex['id']}/metrics"
            names = [metric["id"] for metric in client.get(path).json() if metric["id"].endswith(JOB_ERRORS)]
            if names:
                yield from client.get(path, params={"get": ",".join(names)}).json()
