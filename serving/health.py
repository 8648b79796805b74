"""GET /livez, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from follow.loop import LoopHealth
from serving.endpoint import Endpoint
from serving.problems import document
from serving.process_metrics import merged
from serving.services import Services
from serving.siblings import ProcessState, Siblings


class ProcessHealth(ProcessState, frozen=True):
    """One of several server processes on the port. `degraded` and `background` are its own, None where it gives no
    answer."""

    degraded: list[str] | None = None
    background: list[LoopHealth] | None = None


class Health(Struct, frozen=True):
    """The readiness of the process that answers. `degraded` names missing parts: `catalogue`, `rules`, `model`,
    `store`, background threads whose last step failed, and `processes` where another process on the port does not
    serve. Feeds are answered without them. `background` has all threads that keep the process up to date, with the
    last error. `process` is its number and `processes` has all of them; None and empty where it is alone."""

    status: str
    degraded: list[str] = []
    model_version: str | None = None
    background: list[LoopHealth] = []
    process: int | None = None
    processes: list[ProcessHealth] = []


class HealthChecks:
    """For orchestrators and Prometheus; they need no API key."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                method="GET", path="/livez", name="livez", summary="The process answers",
                handler=self.live, answer=Health,
            ),
            Endpoint(
                method="GET", path="/readyz", name="readyz", summary="Feeds can be answered",
                handler=self.ready, answer=Health, not_yet=(503,),
            ),
            Endpoint(
                method="GET", path="/metrics", name="metrics", summary="Metrics for Prometheus",
                handler=self.metrics, answer=str,
            ),
        ]  # fmt: skip

    async def live(self, request: Request) -> Response:
        return document(Health("live"))

    async def ready(self, request: Request) -> Response:
        """Answers 503 until the catalogue has been read, or reading it has timed out."""
        health = _own(self._services)
        if self._services.siblings:
            health = await _with_others(health, self._services.siblings)
        return document(health, 200 if self._services.ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Answers with the metrics of all processes on the port."""
        text, siblings = self._services.metrics.text(), self._services.siblings
        if siblings:
            others = await siblings.ask("metrics")
            text = merged({siblings.number: text, **others}, siblings.states())
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def answers_of(services: Services) -> Mapping[str, Callable[[], bytes]]:
    """Answers to requests of other server processes, by name."""
    return {"health": lambda: msgspec.json.encode(_own(services)), "metrics": services.metrics.text}


def _own(services: Services) -> Health:
    status, version = "ready" if services.ready else "starting", services.variants.default.version
    return Health(status, services.degraded, version, services.background)


async def _with_others(own: Health, siblings: Siblings) -> Health:
    found = {n: msgspec.json.decode(text, type=Health) for n, text in (await siblings.ask("health")).items()}
    found[siblings.number] = own
    processes = [
        ProcessHealth(
            *msgspec.structs.astuple(state),
            *((health.degraded, health.background) if (health := found.get(state.number)) else ()),
        )
        for state in siblings.states()
    ]
    missing = ["processes"] if any(process.state != "serving" for process in processes) else []
    return msgspec.structs.replace(own, degraded=own.degraded + missing, process=siblings.number, processes=processes)
