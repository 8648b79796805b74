"""One hydration for several requests of a batch that ask the same of a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from operators.contract import Space
from serving.hydrate import Hydrator, Person
from serving.tokens import Token

_Key: TypeAlias = tuple[str, str | None, str | None, bool, bool]
_shared: ContextVar[dict[_Key, Person] | None] = ContextVar("people_of_batch", default=None)


@contextmanager
def one_hydration() -> Iterator[None]:
    """Within it a person is hydrated once for all requests that have the same token, model space and need of
    attributes and of what was shown. What was read of pairs is kept with the person."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


class HydratedOnce(Hydrator):
    """A Hydrator that keeps people for the duration of `one_hydration`."""

    async def person(
        self,
        user_id: str,
        after: Token | None = None,
        space: Space | None = None,
        attributes: bool = False,
        shown: bool = False,
    ) -> Person:
        shared = _shared.get()
        if shared is None:
            return await super().person(user_id, after, space, attributes, shown)
        key = user_id, None if after is None else after.encode(), None if space is None else space.id, attributes, shown
        found = shared.get(key)
        if found is None:
            found = shared[key] = await super().person(user_id, after, space, attributes, shown)
        return found
