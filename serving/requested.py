"""What a request asks of a surface: its parameters checked against the catalogue, the bundle and the cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from feature_repo.columns import Rows
from operators.time import DAY
from recommend.filtering import FilterError, ItemFilter
from recommend.model import NO_PARTS
from recommend.pipeline import Answer, Begun
from recommend.priors import reads_profiles
from recommend.query import Listed, Query
from recommend.rules.rule_set import RuleSet
from recommend.surface import Surface
from recommend.wording import DEFAULT
from schemas.clock import now_ms
from serving.bodies import Around, Kind
from serving.cursors import LEFT_BITS, Cursor, Cursors, InvalidCursor, digest
from serving.hydrate import Person
from serving.parameters import Parameter
from serving.problems import Fault, Forbidden, Unprocessable
from serving.recording import NOT_RECORDED, Recording
from serving.request_parameters import FREE
from serving.rows_by_hash import RowsByHash
from serving.services import Services
from serving.settings import WHERE_SHOWN
from serving.variants import Variant

AT_DAYS = 90
"""how far from now `at` may be: popularity is kept as of now, and taken back or forth by its decay alone"""
MOST_LEFT = 220
"""items in a cursor that were not shown: a whole list, and some that cannot be shown at the moment"""


@dataclass(frozen=True)
class Requested:
    """One request, checked."""

    surface: Surface
    variant: Variant
    asked: Mapping[str, Any]
    now: int
    """epoch ms"""
    filter: ItemFilter | None
    unknown: list[str]
    """item ids of the request that no item has, each once"""
    bound: Mapping[str, bytes]
    cursor: Cursor | None
    rules: RuleSet
    """those that were in force when the request came: no answer has half of a change"""
    _cursors: Cursors
    _rows: RowsByHash
    _excluded: Rows = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def is_logged(self) -> bool:
        """Whether what a person is shown counts as shown."""
        return not self.asked.get("dry_run") and self.asked.get("at") is None

    @property
    def at(self) -> int:
        """The time that the answer is as of, epoch ms."""
        at: int | None = self.asked.get("at")
        return self.now if at is None else at

    @property
    def reads_attributes(self) -> bool:
        """Whether the filter, a rule or the surface's priors read attributes of the person's profile."""
        filtered = self.filter is not None and self.filter.of_attributes is not None
        return filtered or self.rules.reads_attributes or reads_profiles(self.variant.pipeline.model, self.surface)

    @property
    def reads_shown(self) -> bool:
        """Whether rotation or a rule reads what the person was shown."""
        return self.surface.rotation is not None or self.rules.reads_shown

    def query(self, **about: Any) -> Query:
        """The query; `about` has the person, the place, and what the surface is about, as the fields of `Query`."""
        asked, cursor = self.asked, self.cursor
        excluded, listed = self._excluded, None
        if cursor is not None:
            rows = self._rows.find(cursor.left, LEFT_BITS)
            listed = Listed(rows[rows >= 0], cursor.sources[rows >= 0], cursor.relaxed)
            # Half of a hash may be that of an item on the list, too.
            given = np.setdiff1d(self._rows.find_all(cursor.given), listed.rows)
            excluded = np.union1d(excluded, given)
        return self.variant.pipeline.query(
            at=self.at, explain=asked["explain"], filter=self.filter, excluded=excluded,
            listed=listed, depth=self.surface.paging.depth, min_score=asked.get("min_score"),
            objective=asked["objective"], rules=self.rules, language=asked.get("locale", DEFAULT),
            diversity=asked.get("diversity"), **about,
        )  # fmt: skip

    def begin(self, query: Query, recording: Recording = NOT_RECORDED) -> Begun:
        """The first half of the answer."""
        recording.before(query)
        begun = self.variant.pipeline.begin(self.surface, query, recording.new_trace())
        recording.between(begun)
        return begun

    def finish(self, begun: Begun) -> Answer:
        """The second half."""
        return self.variant.pipeline.finish(begun)

    def answer(self, query: Query, recording: Recording = NOT_RECORDED) -> Answer:
        """The answer of a surface that reads nothing between the halves."""
        return self.finish(self.begin(query, recording))

    def around(
        self,
        kind: Kind,
        answer: Answer,
        request_id: str,
        timings_ms: dict[str, float],
        user_id: str | None = None,
        person: Person | None = None,
        hydrated: bool = True,
        velocity: bool = False,
    ) -> Around:
        """What the answer says around its items; of a person also how fresh their features are."""
        return Around(
            kind=kind, request_id=request_id, surface=self.surface.name, unknown_items=self.unknown,
            next=self.next(answer), model_version=self.variant.version, variant=self.variant.name,
            timings_ms=timings_ms, user_id=user_id, freshness=person.freshness if person else None, hydrated=hydrated,
            velocity=velocity,
        )  # fmt: skip

    def next(self, answer: Answer) -> str | None:
        """The cursor of the page that follows; None where nothing is left."""
        if not answer.has_more:
            return None
        hashes, cursor = answer.query.columns.hashes, self.cursor
        shown = hashes[answer.candidates.rows]
        given = (shown >> np.uint64(32)).astype(np.uint32)
        left, sources = hashes[answer.rest.rows] & LEFT_BITS, answer.rest.sources
        if cursor is not None:
            given = np.concatenate([cursor.given, given])
            # What cannot be shown at the moment stays on the list.
            held = ~np.isin(cursor.left, np.concatenate([shown & LEFT_BITS, left]))
            left, sources = np.concatenate([left, cursor.left[held]]), np.concatenate([sources, cursor.sources[held]])
        return self._cursors.next(
            Cursor(self.bound, answer.relaxed, given, left[:MOST_LEFT], sources[:MOST_LEFT]), self.now
        )


class Requests:
    """Checks requests. One for all endpoints of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        secret = settings.cursor_key or settings.api_key
        self._cursors = Cursors(secret.get_secret_value() if secret else None, settings.cursor_s)
        self._rows = RowsByHash(services.catalogue.columns)

    def check(
        self,
        asked: Mapping[str, Any],
        surface: Surface,
        parameters: Sequence[Parameter],
        user_id: str = "",
        body: Mapping[str, object] | None = None,
        items: Sequence[str] = (),
    ) -> Requested:
        """The request of these values of `parameters`. `body` are values of the body that all pages have in common;
        `items` are ids in it. Raises Unprocessable and Forbidden."""
        services, now = self._services, now_ms()
        has_key = services.settings.api_key is not None
        variant = services.variants.chosen(asked["variant"], user_id, has_key)
        _check_time(asked["at"], has_key, now)
        _check_objective(asked["objective"], surface, variant)
        columns = variant.pipeline.columns
        excluded = asked.get("exclude", ())
        unknown = [item_id for item_id in dict.fromkeys((*items, *excluded)) if item_id not in columns.row_of]
        common = {p.name: asked[p.name] for p in parameters if asked[p.name] is not None and p.name not in FREE}
        common |= {"surface": surface.name, **(body or {})}
        bound = {name: digest(value) for name, value in common.items() if value not in (None, ())}
        return Requested(
            surface, variant, asked, now, self._filter(asked["filter"], surface, variant), unknown, bound,
            self._cursor(asked.get("next"), bound, now), variant.pipeline.rules(), self._cursors, self._rows,
            np.unique(columns.rows(excluded)),
        )  # fmt: skip

    def _cursor(self, text: str | None, bound: Mapping[str, bytes], now: int) -> Cursor | None:
        if text is None:
            return None
        try:
            return self._cursors.decode(text, bound, now)
        except InvalidCursor as error:
            raise _refused("next", str(error)) from None

    def _filter(self, text: str | None, surface: Surface, variant: Variant) -> ItemFilter | None:
        """The request's filter. Raises Unprocessable where it cannot be read, does not fit the items, or reads a person
        on a surface that is not for one, and Forbidden where it reads attributes of profiles that the server does not
        show."""
        if text is None:
            return None
        try:
            found = variant.pipeline.filters.compile(text)
            if found.of_user is not None and not surface.personal:
                raise FilterError(found.of_user, f"{surface.name} is not for one person: leave user out")
        except FilterError as error:
            raise _refused("filter", str(error)) from None
        if found.of_attributes is not None and not self._services.settings.shows_profiles:
            at = found.of_attributes + 1
            raise Forbidden(
                f"filter: character {at}: attributes of profiles can be read by filters only {WHERE_SHOWN}."
            )
        return found


def _check_time(at: int | None, has_key: bool, now: int) -> None:
    if at is None:
        return
    if not has_key:
        raise Forbidden("`at` is for callers with the API key: set FRESHET_API_KEY on the server to use it.")
    if abs(at - now) > AT_DAYS * DAY:
        raise _refused("at", f"must be at most {AT_DAYS} days from now")


def _check_objective(weights: Mapping[str, float] | None, surface: Surface, variant: Variant) -> None:
    if weights is None:
        return
    parts = variant.model.parts(surface.parts_name) if variant.model else NO_PARTS
    heads = surface.ranker.heads(parts)
    unknown = [name for name in weights if name not in heads]
    if unknown:
        there_are = f"there are: {', '.join(heads)}" if heads else "the bundle has none: leave it out"
        raise _refused("objective", f"{unknown[0][:100]!r} is not a head of the ranker; {there_are}")


def _refused(name: str, detail: str) -> Unprocessable:
    return Unprocessable(f"{name}: {detail}", [Fault(name, detail)])
