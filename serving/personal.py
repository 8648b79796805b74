"""A personal surface's answer, as the server gives it at a request and a digest run for each person."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import NamedTuple

from starlette.requests import Request

from operators.contract import Space
from recommend.pictures import NO_PICTURES, Pictures
from recommend.pipeline import Answer
from recommend.query import Query
from recommend.slots import logged
from schemas.events import Impression
from serving.bodies import degraded_of
from serving.hydrate import Person
from serving.others import OtherPeople, Others
from serving.recording import NOT_RECORDED, Recording
from serving.requested import Requested
from serving.services import Services
from serving.tokens import Token


class Personal(NamedTuple):
    """A person and the answer to them."""

    person: Person
    answer: Answer
    hydrate_ms: float
    hydrated: bool
    """whether the person's features and pairs were read"""

    @property
    def degraded(self) -> list[str]:
        """Steps of which a stage failed, with hydration."""
        return degraded_of(self.hydrated, self.answer)


def is_logged(request: Request, requested: Requested, person: Person | None) -> bool:
    """Whether the list of an answer counts as shown to the person: nothing of somebody without consent does, nor of a
    request that shows nobody a list."""
    return person is not None and person.consent and requested.is_logged and request.method != "HEAD"


def is_explored(request: Request, requested: Requested, person: Person | None) -> bool:
    """Whether an answer that is logged for what is drawn in it alone, counts as shown: where its surface has slots."""
    return requested.surface.exploration is not None and is_logged(request, requested, person)


async def read_person(
    services: Services, requested: Requested, user_id: str, after: Token | None = None, attributes: bool = False
) -> Person:
    """The person as the request reads them, with the attributes of their profile where the request or the caller reads
    them."""
    return await hydrated(
        services, user_id, after, requested.variant.space(requested.surface.parts_name),
        attributes or requested.reads_attributes, requested.reads_shown,
    )  # fmt: skip


async def hydrated(
    services: Services, user_id: str, after: Token | None, space: Space | None, attributes: bool, shown: bool
) -> Person:
    """The person as the hydrator reads them; where what was `shown` is read, with what this server has shown them
    lately."""
    person = await services.hydrator.person(user_id, after, space, attributes, shown)
    return services.shown.over(user_id, person) if shown else person


async def read_others(services: Services, whose: Collection[str], user_id: str, person: Person, at: int) -> Others:
    """The people around a person whose favourites a surface `reads`, for its query's `others`, as of `at`, epoch ms;
    nobody is read for a surface that is made of the person alone."""
    return await OtherPeople(services).of(whose, user_id, person.features, at)


async def answer_to(
    person: Person,
    requested: Requested,
    query: Query,
    hydrate_ms: float = 0.0,
    is_short: bool = False,
    recording: Recording = NOT_RECORDED,
) -> Personal:
    """The answer to a person's query; features of pairs are read in between. `is_short` says that other people could
    not be read."""
    begun = requested.begin(query, recording)
    if wanted := begun.wanted_pairs():
        asked_at = time.perf_counter()
        await person.pairs.prefetch(wanted)
        hydrate_ms += (time.perf_counter() - asked_at) * 1000
    answer = requested.finish(begun)
    hydrated = not (is_short or person.degraded or person.pairs.degraded)
    return Personal(person, answer, hydrate_ms, hydrated)


def impression(
    request_id: str,
    user_id: str,
    requested: Requested,
    answer: Answer,
    chosen: Pictures = NO_PICTURES,
    ranked: Personal | None = None,
) -> Impression:
    """The list as it was shown, with the pictures `chosen`. With `ranked`, of an answer whose ranker is trained on what
    was shown, it has what the items were ranked by too, unless the answer fell back: that is nothing to learn from."""
    asked, variant = requested.asked, requested.variant
    inputs, person = None, None
    if ranked is not None and not ranked.degraded:
        inputs, person = answer.features, ranked.person
    return Impression(
        request_id, user_id, requested.now, answer.item_ids, requested.surface.name, asked.get("region"),
        asked.get("device"), variant.version, variant.name,
        features=None if inputs is None else inputs.tobytes(),
        applied_offset=None if inputs is None or person is None else person.row_offset,
        own_offsets=None if inputs is None or person is None else person.own_offsets,
        **logged(answer.query, len(answer.item_ids)), **chosen.logged(),
    )  # fmt: skip
