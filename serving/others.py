"""The people whom an answer for somebody else is made from: those whom the person follows, and those like them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from operators.follows import following
from recommend.favourites import ALIKE, FRIENDS, Favourites, Likes, favourites, likes
from serving.captured import NOBODY
from serving.people_space import Near
from serving.services import Services
from serving.store import StoreAway

MOST_FRIENDS = 50
"""followed people who are read, the latest first"""


MOST_ALIKE = 20
"""nearest people whose favourites count"""
SIMILAR = 0.3
"""least cosine of two people who are called alike"""


class Others(NamedTuple):
    """Whose favourites → what they liked, as `Query.others` has it."""

    favourites: Mapping[str, Favourites]
    degraded: bool = False
    """whether the store did not answer"""
    people: Mapping[str, Likes] = NOBODY
    """id of each of those people → what they liked, for records of the answer"""


class OtherPeople:
    """Reads other people's rows for the surfaces that are made from them, in one round trip; of the people that a
    surface does not ask for, and for a person who has none, nothing is read."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def of(self, whose: Collection[str], user_id: str, row: Mapping[str, Any], at: int) -> Others:
        """What a surface `reads` of the people around a person, whose row this is, as of `at`, epoch ms. A person
        without consent has none."""
        found: dict[str, Favourites] = {}
        people: dict[str, Likes] = {}
        if ALIKE in whose and (alike := self._alike(user_id, row)):
            found[ALIKE] = self._favourites([(near.likes, near.similarity) for near in alike], at)
            people = {near.user_id: near.likes for near in alike}
        whom = following(row)[:MOST_FRIENDS] if FRIENDS in whose else []
        if not whom:
            return Others(found, people=people)
        services = self._services
        try:
            rows = await services.store.people(whom)
        except StoreAway:
            return Others(found, True, people)
        friends = {friend: likes(each) for friend, each in rows.items() if services.may_appear(friend, each)}
        found[FRIENDS] = self._favourites([(each, 1.0) for each in friends.values()], at)
        for friend, liked in friends.items():
            people[friend] = [*people.get(friend, ()), *liked]
        return Others(found, people=people)

    def _alike(self, user_id: str, row: Mapping[str, Any]) -> list[Near]:
        services = self._services
        return [
            near
            for near in services.people.nearest_to(user_id, row, MOST_ALIKE)
            if near.similarity >= SIMILAR and not services.has_withdrawn(near.user_id)
        ]

    def _favourites(self, people: Sequence[tuple[Likes, float]], at: int) -> Favourites:
        return favourites(self._services.catalogue.columns, people, at)
