"""An endpoint as a value, from which its route and its part of the OpenAPI document are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serving.parameters import Parameter

Handler = Callable[[Request], Awaitable[Response]]

USER_ID = Parameter(name="id", doc="the person", path=True)
FOR_USER = Parameter(
    name="user_id", doc="whom it is for: their controls are in force, and nothing is logged", is_id=True
)
ITEM_ID = Parameter(name="id", doc="the item", path=True)
REGION = Parameter(name="region", doc="the person's region, as in the events' `properties.region`")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method of one path. `body` and `answer` are msgspec types; with `many`, a list of bodies is accepted too."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    parameters: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    body: Any = None
    many: bool = False
    status: int = 200
    answer: Any = None
    problems: tuple[int, ...] = ()
    not_yet: tuple[int, ...] = ()
    """statuses that come with the `answer` too"""
