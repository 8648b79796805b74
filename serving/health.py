"""Liveness, readiness and metrics."""

from __future__ import annotations

from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from follow.loop import LoopHealth
from serving.endpoint import Endpoint
from serving.problems import document
from serving.services import Services


class Health(Struct, frozen=True):
    """`degraded` names what is not there: `catalogue`, `model`, `store`, and background threads whose last step failed.
    Feeds are answered without it. `background` has all threads that keep the server up to date, with the last error."""

    status: str
    degraded: list[str] = []
    model_version: str | None = None
    background: list[LoopHealth] = []


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
                handler=self.ready, answer=Health, problems=(503,),
            ),
            Endpoint(
                method="GET", path="/metrics", name="metrics", summary="Metrics for Prometheus",
                handler=self.metrics, answer=str,
            ),
        ]  # fmt: skip

    async def live(self, request: Request) -> Response:
        return document(Health("live"))

    async def ready(self, request: Request) -> Response:
        """503 until the catalogue has been read (or cannot be, for now)."""
        services = self._services
        status, version = "ready" if services.ready else "starting", services.variants.default.version
        health = Health(status, services.degraded, version, services.background)
        return document(health, 200 if services.ready else 503)

    async def metrics(self, request: Request) -> Response:
        return Response(self._services.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
