"""Features of people of whom a part of their events is known, as in a system that they have just come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from feature_repo.builders import item_operator, user_operator
from feature_repo.repository import Repository
from operators.contract import Record, World
from schemas.events import Interaction, User
from training.live import LivePeople
from training.replay import Replay


class Newcomers:
    """The rows of people who are not in the log, each of a replay of its own."""

    def __init__(self, world: World, declared: Repository) -> None:
        self._declared = declared.for_crosses()
        self._operators = user_operator(world, None, self._declared), item_operator(world, self._declared)

    def row(self, events: Sequence[Interaction], profile: User | None, at: int) -> Mapping[str, Any]:
        """The row as of `at` of the person of these events and the profile."""
        driver = Replay(*self._operators)
        user_id = events[0].user_id if events else profile.user_id if profile else ""
        records = [Record(event) for event in events]
        for record in ([Record(profile)] if profile else []) + records:
            if driver.feed(record) is None:
                raise driver.dead[-1].error
        return LivePeople(driver, self._declared).row(user_id, at)
