"""Health of background threads and server processes, for `freshet status`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import httpx

from follow.bundles import WATCH
from freshet.local import components, server
from freshet.settings import Settings
from schemas.errors import BundleError
from schemas.traffic import TRAFFIC

JOB_ERRORS = "freshet.user.background.errors"
REFUSED = f"{BundleError.__name__}: "
"""begins the last error of the thread `bundles` where what a bundle holds is wrong"""


def problems(settings: Settings, running: Collection[str]) -> list[str]:
    """One line for each background thread with errors, and for each server process that does not serve or was
    restarted. Components that do not answer are left out."""
    found: list[str] = []
    for name, read in (("server", _server), ("flink", _flink)):
        if name in running:
            try:
                found += [f"{name}: {line}" for line in read(settings)]
            except (httpx.HTTPError, ValueError, KeyError, TypeError):
                continue  # its state is in the table
    return found


def processes(settings: Settings, running: Collection[str]) -> str:
    """How many of several server processes serve; "" where the server has one, or does not run."""
    found = server.processes(settings) if "server" in running else []
    if not found:
        return ""
    serving = [process for process in found if process.state == "serving"]
    pids = ", ".join(str(process.pid) for process in serving)
    return f"server: {len(serving)} of {len(found)} processes serve (pid {pids})"


def _server(settings: Settings) -> Iterator[str]:
    health = httpx.get(f"{settings.http_url}/readyz", timeout=components.ANSWER_S, trust_env=False).json()
    several = health["processes"]
    for process in several:
        yield from (f"process {process['number']} {line}" for line in _process(process))
    if not several:
        yield from _threads(health["background"], health["degraded"])


def _process(process: dict[str, Any]) -> Iterator[str]:
    if process["state"] != "serving":
        how = f"it {process['last_exit']}" if process["last_exit"] else "it has not served yet"
        yield f"does not serve ({process['state']}): {how}"
    elif process["restarts"]:
        yield f"was started again, {process['restarts']} times so far; the last time it {process['last_exit']}"
    yield from (
        f"(pid {process['pid']}): {line}" for line in _threads(process["background"] or (), process["degraded"] or ())
    )


def _threads(threads: Iterable[dict[str, Any]], degraded: Collection[str]) -> Iterator[str]:
    for thread in threads:
        if not thread["up"] and thread["name"] == WATCH and thread["last_error"].startswith(REFUSED):
            yield _refused(thread["last_error"].removeprefix(REFUSED), degraded)
        elif not thread["up"]:
            yield f"{thread['name']} fails and is tried again: {thread['last_error']}"
        elif thread["errors"]:
            yield f"{thread['name']} works; {thread['errors']} errors so far, the last: {thread['last_error']}"


def _refused(cause: str, degraded: Collection[str]) -> str:
    """What is refused and why, what serves meanwhile, and what mends it. `degraded` are the parts that the server
    serves without. Of several faults at once, `cause` is that of the bundle for everybody where that is one of them."""
    variants = [name.removeprefix("variant ") for name in degraded if name.startswith("variant ")]
    meanwhile, mend = "the one before is in force", "`freshet train` makes another"
    if cause.startswith(f"{TRAFFIC}: "):
        mend = f"correct {TRAFFIC} in the folder of bundles"
    elif "model" in degraded:
        meanwhile = "no model is in force, and feeds are of popular items"
    elif variants:
        meanwhile = f"variant {', '.join(variants)} does not serve"
        mend = f"{mend}, and {TRAFFIC} in the folder of bundles names it"
    return f"what is published is refused: {cause}; {meanwhile}; {mend}"


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
