"""The ASGI application: its endpoints and middleware, as lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from serving import openapi
from serving.access import RequireKey, Timed
from serving.admission import Admission, Lane, Pace
from serving.batch import Batches
from serving.endpoint import Endpoint
from serving.feeds import Feeds
from serving.health import HealthChecks
from serving.history import History
from serving.ingest import Ingest
from serving.metrics import Metrics
from serving.page import Pages
from serving.people_search import PeopleSearch
from serving.problems import Problem, document, on_error, on_http_exception, on_problem
from serving.profiles import ProfileList
from serving.rank import Ranking
from serving.requested import Requests
from serving.routing import resources
from serving.rule_trials import RuleTrials
from serving.rules import RuleEndpoints
from serving.services import Services
from serving.settings import ServingSettings
from serving.together import Carts
from serving.trends import Trends

STATIC = Path(__file__).parent / "static"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: https:"
READS, WRITES = Pace(requests=1, turns=4), Pace(requests=16, turns=1)
"""A small write takes a fraction of a millisecond of the event loop, a feed several."""
CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "PUT", "DELETE"],
    "allow_headers": ["Authorization", "Content-Encoding", "Content-Type", "If-Match", "X-API-Key"],
    "expose_headers": ["ETag", "Retry-After"],
}


def endpoints_of(services: Services) -> list[Endpoint]:
    """All endpoints, in the order of the documentation."""
    requests = Requests(services)
    found = [
        *Ingest(services).endpoints(),
        *Feeds(services, requests).endpoints(),
        *Trends(services).endpoints(),
        *Pages(services, requests).endpoints(),
        *History(services, requests).endpoints(),
        *Carts(services, requests).endpoints(),
        *Ranking(services, requests).endpoints(),
        *ProfileList(services).endpoints(),
        *PeopleSearch(services).endpoints(),
        *RuleTrials(services).endpoints(),
        *RuleEndpoints(services).endpoints(),
        *HealthChecks(services).endpoints(),
    ]
    return [*found, *Batches(services, found).endpoints()]


def create_app(
    settings: ServingSettings,
    make_services: Callable[[ServingSettings], Services] = Services.of,
    follow: bool = True,
) -> Starlette:
    """The ASGI application. With `follow` False, Kafka's catalogue is not read."""
    services = make_services(settings)
    endpoints = endpoints_of(services)
    described = openapi.build(endpoints, settings.api_key is not None)

    async def describe(request: Request) -> Response:
        return document(described)

    routes: list[BaseRoute] = [
        *resources(_by_use(endpoints)),
        Route("/openapi.json", describe, name="openapi"),
        Route("/docs", _page("docs.html"), name="docs"),
        Route("/", _page("index.html"), name="demo"),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ]
    middleware = _middleware(settings, services.metrics)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await services.start(follow)
        try:
            yield
        finally:
            await services.stop()

    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception, Exception: on_error},
        lifespan=lifespan,
    )
    app.state.services = services
    return app


def _middleware(settings: ServingSettings, metrics: Metrics) -> list[Middleware]:
    """Outermost first. Preflights carry no key, so CORS comes before it."""
    wait_s, queue = settings.queue_wait_ms / 1000, settings.queue_limit
    found = [Middleware(Timed, metrics=metrics)]
    if settings.cors_origins:
        found.append(Middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS))
    if settings.api_key is not None:
        found.append(Middleware(RequireKey, key=settings.api_key))
    found.append(
        Middleware(
            Admission,
            reads=Lane("reads", settings.reads_in_work, READS, queue, wait_s, metrics),
            writes=Lane("writes", settings.writes_in_work, WRITES, queue, wait_s, metrics),
        )
    )
    if settings.compress_from:
        found.append(Middleware(GZipMiddleware, minimum_size=settings.compress_from, compresslevel=1))
    return found


def _by_use(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Feeds first, since the router tries one route after another."""
    return sorted(endpoints, key=lambda e: e.name != "feed")


def _page(name: str) -> Callable[[Request], Response]:
    def page(request: Request) -> Response:
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        return FileResponse(STATIC / name, headers=headers, media_type="text/html; charset=utf-8")

    return page
