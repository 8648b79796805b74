"""POST /v1/rules/try: answers with and without rules that are not in force, of people and surfaces that the caller
names. Nothing is changed, and nothing is logged as shown."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from recommend.pipeline import Answer
from recommend.priors import reads_profiles
from recommend.rules.rule_set import RuleSet
from recommend.rules.ruling import RuleEffect
from schemas import rules
from schemas.clock import now_ms
from schemas.errors import InvalidEvent
from schemas.events import Id, Name
from schemas.faults import field_of
from schemas.rules import Rule, RuleName
from serving import parameters
from serving.body import read_body
from serving.endpoint import Endpoint
from serving.personal import hydrated, read_others
from serving.problems import BadRequest, Fault, Unprocessable, document
from serving.services import Services

MOST = 100
"""requests that are replayed at once"""


class TrialRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """One request of a personal surface."""

    user_id: Id
    surface: Name = "home"
    region: Name | None = None
    device: Name | None = None
    n: Annotated[int, Meta(ge=1, le=200)] = 20


class Trial(Struct, forbid_unknown_fields=True, frozen=True):
    """Rules to try by name, in place of those of the same name; null leaves one out. And the requests to replay."""

    rules: Annotated[dict[RuleName, dict[str, Any] | None], Meta(min_length=1, max_length=MOST)]
    requests: Annotated[list[TrialRequest], Meta(min_length=1, max_length=MOST)]


class TrialAnswer(Struct, frozen=True):
    """The items of one request under the rules as they are and as they would be, and what the tried rules did."""

    user_id: str
    surface: str
    before: list[str]
    after: list[str]
    effects: list[RuleEffect]


class TrialResult(Struct, frozen=True):
    """The answers, in the order of the requests, and how many of them the rules change."""

    changed: int
    answers: list[TrialAnswer]


_read = msgspec.json.Decoder(Trial).decode


class RuleTrials:
    """One endpoint."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                method="POST", path="/v1/rules/try", name="try_rules",
                summary="Answers under the rules as they are, and with some changed", handler=self.try_rules,
                body=Trial, answer=TrialResult, problems=(400, 408, 413, 415, 422),
            )
        ]  # fmt: skip

    async def try_rules(self, request: Request) -> Response:
        """Both answers of a request are made of one hydration, at one time."""
        parameters.read(request, ())
        services, settings = self._services, self._services.settings
        trial = _trial(await read_body(request, settings.body_limit, settings.body_wait_s), services.personal)
        tried = _rules(trial)
        before = await asyncio.to_thread(services.rules.with_changes, {})
        after = await asyncio.to_thread(services.rules.with_changes, tried)
        for name, problem in after.faults.items():
            if name in tried:
                raise Unprocessable(f"rules.{name}: {problem}", [Fault(f"rules.{name}", problem)])
        found = [await self._answer(each, before, after, set(tried)) for each in trial.requests]
        return document(TrialResult(sum(each.before != each.after for each in found), found))

    async def _answer(self, asked: TrialRequest, before: RuleSet, after: RuleSet, tried: set[str]) -> TrialAnswer:
        services = self._services
        surface = services.personal[asked.surface]
        variant = services.variants.chosen(None, asked.user_id, False)
        reads = before.reads_attributes or after.reads_attributes
        reads = reads or reads_profiles(variant.pipeline.model, surface)
        shown = before.reads_shown or after.reads_shown or surface.rotation is not None
        space = variant.space(surface.parts_name)
        person = await hydrated(services, asked.user_id, None, space, reads, shown)
        pipeline, at, answers = variant.pipeline, now_ms(), list[Answer]()
        others = await read_others(services, surface.reads, asked.user_id, person, at)
        for each in (before, after):
            query = pipeline.query(
                at=at, user=person.features, n=asked.n, region=asked.region or "", device=asked.device or "",
                pairs=person.pairs, explain="full", user_id=asked.user_id, rules=each, others=others.favourites,
            )  # fmt: skip
            begun = pipeline.begin(surface, query)
            if wanted := begun.wanted_pairs():
                await person.pairs.prefetch(wanted)
            answers.append(pipeline.finish(begun))
            await asyncio.sleep(0)  # other requests go on
        effects = [each for each in answers[1].query.ruling.effects if each.rule in tried] if after.rules else []
        return TrialAnswer(asked.user_id, surface.name, answers[0].item_ids, answers[1].item_ids, effects)


def _trial(body: bytes, surfaces: Collection[str]) -> Trial:
    try:
        trial = _read(body)
    except msgspec.ValidationError as error:
        name, detail = field_of(error)
        detail = detail.replace("this event", "a trial")
        raise Unprocessable(f"{name or 'body'}: {detail}", [Fault(name or "body", detail)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None
    for index, each in enumerate(trial.requests):
        if each.surface not in surfaces:
            name, detail = f"requests[{index}].surface", f"must be one of: {', '.join(surfaces)}"
            raise Unprocessable(f"{name}: {detail}", [Fault(name, detail)])
    return trial


def _rules(trial: Trial) -> dict[str, Rule | None]:
    found: dict[str, Rule | None] = {}
    for name, given in trial.rules.items():
        try:
            found[name] = None if given is None else rules.parse(given)
        except InvalidEvent as error:
            field = ".".join(filter(None, ("rules", name, error.field)))
            raise Unprocessable(f"{field}: {error.detail}", [Fault(field, error.detail)]) from None
    return found
