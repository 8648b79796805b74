"""Who is like a person, and whom an item suits: people near in the model's space, for callers with the API key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from feature_repo.views import CONSENT, MET_BEFORE
from operators.hashes import hash64
from operators.seen import seen_hashes
from schemas.errors import StateError
from serving import parameters
from serving.endpoint import ITEM_ID, USER_ID, Endpoint
from serving.feeds import row_of
from serving.parameters import Whole
from serving.people_space import Near
from serving.problems import Forbidden, document
from serving.services import Services
from serving.store import StoreAway

SPARE, LEAST = 3, 20
"""times n, and how many more people than that are looked at, since some have met the item or do not consent"""
N_USERS = Whole(name="n", doc="how many people", default=20, most=100)
SIMILAR_USERS = (USER_ID, N_USERS)
USERS_FOR = (ITEM_ID, N_USERS)
Cosine = Annotated[float, Meta(description="cosine in the space of the model in force, -1 to 1")]


class SimilarUser(Struct, frozen=True):
    """Somebody, rank counted from 0."""

    user_id: str
    similarity: Cosine
    rank: int


class SimilarUsers(Struct, frozen=True):
    """The people nearest to a person. `people` is how many there are to choose from."""

    user_id: str
    users: list[SimilarUser]
    people: int
    model_version: str | None
    degraded: list[str]


class SuitedUser(Struct, frozen=True):
    """Somebody, rank counted from 0."""

    user_id: str
    score: Cosine
    rank: int


class UsersForItem(Struct, frozen=True):
    """The people whom an item suits best, of those who have not met it. `people` is how many there are to choose
    from."""

    item_id: str
    users: list[SuitedUser]
    people: int
    model_version: str | None
    degraded: list[str]


class PeopleSearch:
    """Two endpoints. They name people, so that they are for callers with the API key alone."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def endpoints(self) -> list[Endpoint]:
        """In the order of the documentation."""
        return [
            Endpoint(
                method="GET", path="/v1/users/{id}/similar-users", name="similar_users",
                summary="People like a person", handler=self.similar_users, parameters=SIMILAR_USERS,
                answer=SimilarUsers, problems=(403, 422),
            ),
            Endpoint(
                method="GET", path="/v1/items/{id}/users", name="users_for_item", summary="Whom an item suits best",
                handler=self.users_for, parameters=USERS_FOR, answer=UsersForItem, problems=(403, 404, 422),
            ),
        ]  # fmt: skip

    async def similar_users(self, request: Request) -> Response:
        """The nearest people; none for a person without consent, or of whom nothing is known."""
        asked = parameters.read(request, SIMILAR_USERS)
        self._check_key()
        services, user_id, n = self._services, asked["id"], asked["n"]
        person = await services.hydrator.person(user_id)
        near = services.people.nearest_to(user_id, person.features, SPARE * n + LEAST)
        shown, away = await self._shown(near, n)
        found = [SimilarUser(each.user_id, round(each.similarity, 5), rank) for rank, each in enumerate(shown)]
        return document(
            SimilarUsers(
                user_id, found, len(services.people), services.variants.default.version,
                ["hydrate"] if person.degraded or away else [],
            )
        )  # fmt: skip

    async def users_for(self, request: Request) -> Response:
        """The people nearest to the item's vector, which a new item has by its content."""
        asked = parameters.read(request, USERS_FOR)
        self._check_key()
        services, n, row = self._services, asked["n"], row_of(self._services, asked["id"])
        model = services.pipeline.model
        vector = model.user_space.vector(asked["id"]) if model else None
        near = [] if vector is None else services.people.nearest(vector, SPARE * n + LEAST)
        shown, away = await self._shown(near, n, services.catalogue.columns.ids[row])
        found = [SuitedUser(each.user_id, round(each.similarity, 5), rank) for rank, each in enumerate(shown)]
        degraded = (["hydrate"] if away else []) + (["retrieve"] if vector is None else [])
        return document(
            UsersForItem(asked["id"], found, len(services.people), services.variants.default.version, degraded)
        )

    def _check_key(self) -> None:
        if self._services.settings.api_key is None:
            raise Forbidden(
                "People are named for callers with the API key: set FRESHET_API_KEY on the server to use it."
            )

    async def _shown(self, near: list[Near], n: int, item_id: str | None = None) -> tuple[list[Near], bool]:
        """The first n who consent by what the store says now, and have not met the item; and whether the store is away,
        of which nobody is shown then."""
        services, shown = self._services, list[Near]()
        read = partial(services.store.people, fields=CONSENT)
        if item_id is not None:  # rows that may be large: they are looked at where they are read
            read = partial(services.store.people, fields=(*CONSENT, *MET_BEFORE), keep=partial(_has_not_met, item_id))
        step = max(n, LEAST)
        for start in range(0, len(near), step):
            those = near[start : start + step]
            try:
                rows = await read([each.user_id for each in those])
            except StoreAway:
                return [], True
            shown += [
                each for each in those if each.user_id in rows and services.may_appear(each.user_id, rows[each.user_id])
            ]
            if len(shown) >= n:
                break
        return shown[:n], False


def _has_not_met(item_id: str, row: Mapping[str, Any]) -> bool:
    """Whether the person of a row has not met the item; False where the row cannot be read."""
    try:
        return np.uint64(hash64(item_id)) not in seen_hashes(row)
    except StateError:
        return False
