"""The rules of merchandisers over HTTP. A change names the version that it was made of, so that none is overwritten."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from recommend.rules.compiled import compiled
from schemas import rules
from schemas.clock import now_ms
from schemas.errors import InvalidEvent
from schemas.rules import MOST_RULES, NAME_OF_RULE, PastChange, Rule, RuleChange
from serving import parameters
from serving.body import read_body
from serving.endpoint import Endpoint
from serving.parameters import Parameter
from serving.problems import Fault, NotFound, Stale, Unprocessable, VersionMissing, document
from serving.services import Services


@dataclass(frozen=True, kw_only=True)
class NameOfRule(Parameter):
    """The name of a rule, in the path."""

    path: bool = True
    longest: int = 64

    def read(self, text: str) -> str:
        """The name. Raises ValueError with the fix."""
        if not re.match(NAME_OF_RULE, text):
            raise ValueError("must be lower-case letters, digits, ., _ and -, at most 64, first a letter or a digit")
        return text

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": NAME_OF_RULE}


NAME = NameOfRule(name="name", doc="the rule: lower-case letters, digits, `.`, `_` and `-`, at most 64")
BY = Parameter(name="by", doc="who makes the change, as in ?by=anna", required=True)
IF_MATCH = Parameter(name="If-Match", doc="the ETag of the rule as it was read; required where there is the rule")
ONE, CHANGE = (NAME,), (NAME, BY)


class RuleState(Struct, frozen=True):
    """A rule and its latest change. `state` is in_force, not_yet, over, off, or unfit: where it does not fit the
    attributes that items have now, as `problem` says; it is in force as soon as it does. `history`, of one rule alone,
    has the changes before, the latest first."""

    name: str
    version: int
    by: str
    at: int
    state: str
    rule: Rule
    problem: str | UnsetType = UNSET
    history: list[PastChange] | UnsetType = UNSET


class RuleList(Struct, frozen=True):
    """All rules, by name."""

    rules: list[RuleState]


class RuleEndpoints:
    """The endpoints of rules."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._book = services.rules
        self._writer = services.rule_writer

    def endpoints(self) -> list[Endpoint]:
        """In the order of the documentation."""
        return [
            Endpoint(
                method="GET", path="/v1/rules", name="rules", summary="All rules", handler=self.all, answer=RuleList,
                problems=(422,),
            ),
            Endpoint(
                method="GET", path="/v1/rules/{name}", name="rule", summary="A rule, with the changes before",
                handler=self.one, parameters=ONE, answer=RuleState, problems=(404, 422),
            ),
            Endpoint(
                method="PUT", path="/v1/rules/{name}", name="put_rule", summary="Add a rule, or replace it",
                handler=self.put, parameters=CHANGE, headers=(IF_MATCH,), body=Rule, answer=RuleState,
                problems=(400, 408, 412, 413, 415, 422, 428),
            ),
            Endpoint(
                method="DELETE", path="/v1/rules/{name}", name="delete_rule", summary="Delete a rule",
                handler=self.delete, parameters=CHANGE, headers=(IF_MATCH,), status=204,
                problems=(404, 412, 422, 428),
            ),
        ]  # fmt: skip

    async def all(self, request: Request) -> Response:
        parameters.read(request, ())
        return document(RuleList([self._state(change) for change in self._book.changes.values()]))

    async def one(self, request: Request) -> Response:
        name = parameters.read(request, ONE)["name"]
        change = self._book.latest(name)
        if change is None or change.rule is None:
            raise _no_rule(name)
        return _answer(msgspec.structs.replace(self._state(change), history=change.past))

    async def put(self, request: Request) -> Response:
        """Answers once the change is in force on this server; on the others it is within a second."""
        asked = parameters.read(request, CHANGE)
        name, by = asked["name"], asked["by"]
        settings = self._services.settings
        body = await read_body(request, settings.body_limit, settings.body_wait_s)
        try:
            rule = rules.loads(body)
            pipeline = self._services.pipeline
            compiled(name, rule, pipeline.columns, pipeline.filters)
        except InvalidEvent as error:
            raise Unprocessable(str(error), [Fault(error.field or "body", error.detail)]) from None
        return _answer(self._state(await self._write(name, rule, by, request)))

    async def delete(self, request: Request) -> Response:
        """The name and the history stay, so that a rule of this name that is made later goes on counting versions."""
        asked = parameters.read(request, CHANGE)
        name, by = asked["name"], asked["by"]
        await self._write(name, None, by, request)
        return Response(status_code=204)

    async def _write(self, name: str, rule: Rule | None, by: str, request: Request) -> RuleChange:
        async with self._writer.turn:
            before = self._book.latest(name)
            exists = before is not None and before.rule is not None
            if rule is None and not exists:
                raise _no_rule(name)
            _check_version(name, before if exists else None, request.headers.get("if-match"))
            if rule is not None and not exists and len(self._book.changes) >= MOST_RULES:
                raise Unprocessable(f"There are {MOST_RULES} rules; delete one first.")
            change = rules.change(before, name, rule, by, now_ms())
            outcome = await self._writer.write(change)
            if outcome.in_force:
                return change
            raise _stale(name, outcome.change)

    def _state(self, change: RuleChange) -> RuleState:
        assert change.rule is not None
        rule, now = rules.loads(change.rule), now_ms()
        problem = self._book.in_force.faults.get(change.name)
        if not rule.enabled:
            state = "off"
        elif problem is not None:
            state = "unfit"
        elif rule.starts is not None and now < rule.starts:
            state = "not_yet"
        else:
            state = "over" if rule.until is not None and now >= rule.until else "in_force"
        return RuleState(change.name, change.version, change.by, change.at, state, rule, problem or UNSET)


def _answer(state: RuleState) -> Response:
    answer = document(state)
    answer.headers["ETag"] = f'"{state.version}"'
    return answer


def _check_version(name: str, before: RuleChange | None, given: str | None) -> None:
    """Raises Stale where the ETag is not that of the rule, and VersionMissing where there is none."""
    if before is None:
        if given is not None:
            raise Stale(f"There is no rule {name} (any more); leave If-Match out to add it.")
        return
    if given is None:
        raise VersionMissing(f'Rule {name} exists: send `If-Match` with its ETag, which is now "{before.version}".')
    if given.strip().removeprefix("W/") not in ("*", f'"{before.version}"'):
        raise _stale(name, before)


def _stale(name: str, now: RuleChange | None) -> Stale:
    if now is None or now.rule is None:
        return Stale(f"Rule {name} has been deleted meanwhile; read the rules again.")
    return Stale(f"Rule {name} has been changed by {now.by}, and is version {now.version} now; read it again.")


def _no_rule(name: str) -> NotFound:
    return NotFound(f"No rule has the name {name!r}.")
