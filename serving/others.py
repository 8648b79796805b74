"""The people whom an answer for somebody else is made from: those whom the person follows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from operators.follows import following
from recommend.favourites import FRIENDS, Favourites, favourites
from schemas.clock import now_ms
from serving.services import Services
from serving.store import StoreAway

MOST_FRIENDS = 50
"""followed people who are read, the latest first"""


class Others(NamedTuple):
    """Whose favourites → what they liked, as `Query.others` has it."""

    favourites: Mapping[str, Favourites]
    degraded: bool = False
    """whether the store did not answer"""


NOBODY = Others({})


class OtherPeople:
    """Reads other people's rows for the surfaces that are made from them, in one round trip; of the people that a
    surface does not ask for, and for a person who has none, nothing is read."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def of(self, whose: Collection[str], row: Mapping[str, Any]) -> Others:
        """What a surface `reads` of the people around the person of a row. A person without consent has none."""
        whom = following(row)[:MOST_FRIENDS] if FRIENDS in whose else []
        if not whom:
            return NOBODY
        try:
            found = await self._services.store.people(whom)
        except StoreAway:
            return Others({}, True)
        people = [(found[user_id], 1.0) for user_id in whom if user_id in found and self.is_shown(user_id, found)]
        return Others({FRIENDS: favourites(self._services.catalogue.columns, people, now_ms())})

    def is_shown(self, user_id: str, found: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether the person consents, by their row and by what was posted to this server since."""
        row, services = found[user_id], self._services
        consents = row["consent"] and (row["consent_given"] or not services.settings.opt_in)
        return bool(consents) and not services.own.has_withdrawn(user_id)
