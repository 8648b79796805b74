"""GET /v1/trending/categories and /v1/trending/brands: what is popular or gains fast, by category and by brand."""

from __future__ import annotations

import time
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from recommend.surfaces.trending import BY
from recommend.trending_groups import Kind, TrendingGroups
from schemas.clock import now_ms
from serving import parameters
from serving.answers import VELOCITY
from serving.endpoint import REGION, Endpoint
from serving.parameters import Choice, Whole
from serving.problems import document
from serving.services import Services

TRENDING_BY = Choice(
    name="by",
    doc="popularity: the most events of the last days; velocity: only what gains events faster than by its own "
    "baseline, the fastest first",
    default="popularity",
    among=tuple(BY),
)
GROUPS = (TRENDING_BY, REGION, Whole(name="n", doc="how many", default=20, most=200))


class TrendingGroup(Struct, frozen=True):
    """A category or a brand, rank counted from 0."""

    name: str
    rank: int
    popularity: Annotated[float, Meta(description="its items' events, decayed and weighed as the score of trending is")]
    velocity: Annotated[float, Meta(description=VELOCITY)]
    items: Annotated[int, Meta(description="its available items that have events")]


class TrendingCategories(Struct, frozen=True):
    """Categories, the best first."""

    by: str
    region: str | None
    categories: list[TrendingGroup]


class TrendingBrands(Struct, frozen=True):
    """Brands, the best first."""

    by: str
    region: str | None
    brands: list[TrendingGroup]


class Trends:
    """The endpoints of what is trending, other than items."""

    def __init__(self, services: Services) -> None:
        self._groups = TrendingGroups(services.catalogue.columns, time.monotonic)

    def endpoints(self) -> list[Endpoint]:
        """In the order of the documentation."""
        return [
            Endpoint(
                method="GET", path="/v1/trending/categories", name="trending_categories",
                summary="Categories that are popular now, or gain fast", handler=self.categories,
                parameters=GROUPS, answer=TrendingCategories, problems=(422,),
            ),
            Endpoint(
                method="GET", path="/v1/trending/brands", name="trending_brands",
                summary="Brands that are popular now, or gain fast", handler=self.brands,
                parameters=GROUPS, answer=TrendingBrands, problems=(422,),
            ),
        ]  # fmt: skip

    async def categories(self, request: Request) -> Response:
        """Categories by the events of their items."""
        asked = parameters.read(request, GROUPS)
        return document(TrendingCategories(asked["by"], asked["region"], self._best("categories", asked)))

    async def brands(self, request: Request) -> Response:
        """Brands by the events of their items."""
        asked = parameters.read(request, GROUPS)
        return document(TrendingBrands(asked["by"], asked["region"], self._best("brands", asked)))

    def _best(self, kind: Kind, asked: dict[str, Any]) -> list[TrendingGroup]:
        found = self._groups.best(kind, now_ms(), asked["n"], asked["by"], asked["region"] or "")
        return [
            TrendingGroup(group.name, rank, round(group.popularity, 3), round(group.velocity, 3), group.items)
            for rank, group in enumerate(found)
        ]
