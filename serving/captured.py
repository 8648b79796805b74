"""The facts of an answer, taken with it, and the record made of them: the event loop waits for the former alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo import item_slice, views
from feature_repo.arms import NO_ARMS
from feature_repo.columns import Rows
from feature_repo.item_slice import CopiedRows
from operators.hashes import Hashes
from operators.seen import SEEN
from recommend import recorded, rows_read
from recommend.favourites import Favourites, Likes
from recommend.item_space import ItemSpace
from recommend.pictures import NO_PICTURES, Pictures
from recommend.pipeline import Answer
from recommend.query import Query
from recommend.recorded import Found
from serving.answer_record import OF_ROWS, PLAIN, AnswerRecord, RecordedList, rest_of, undrawn
from serving.bodies import Around

NOBODY: Mapping[str, Likes] = MappingProxyType({})
STATE = ("state", SEEN)
"""beginnings of the names of a row's fields that hold an operator's state"""
OF_OTHERS = frozenset(field.name for field in views.user_follows.fields)
"""fields of a person's row that name other people: they decide whose favourites are read, and nothing after that"""


@dataclass(frozen=True)
class Capture:
    """The facts of an answer, of which the record is made later, in another thread: copies of what changes, and what
    never does. It holds no query and no candidates: those have masks of the whole catalogue."""

    around: Around
    record: Callable[[], AnswerRecord]
    """makes it, but for the digest of the body"""
    body: bytes | memoryview
    people: Mapping[str, Likes]
    """those whose favourites were read → what they liked. The record itself does not name them"""

    def made_of(self, record: AnswerRecord) -> list[str]:
        """Whose favourites the record has: it is deleted with them."""
        found, ids = record.others.values(), record.slice.ids
        liked = {ids[row] for held in found for row in held.rows.tolist() if row >= 0}
        return [user_id for user_id, likes in self.people.items() if any(item_id in liked for item_id, _ in likes)]


@dataclass(frozen=True)
class Facts:
    """What all kinds of answers have in common: the rows of the slice, and what fields of the record are made of."""

    copies: CopiedRows
    kept: Sequence[Rows]
    """candidates of each list"""
    plain: dict[str, Any]
    inside: dict[str, Rows]
    """name of OF_ROWS → rows"""
    item: int
    user: Mapping[str, Any]
    """what a record may have of the person's row, defaults included"""
    seen: Hashes
    others: Mapping[str, Favourites]
    pairs: dict[str, dict[str, Any]]
    vectors: Mapping[str, dict[int, Any]]
    n_allowed: int | None

    @property
    def rows(self) -> Rows:
        return self.copies.rows

    @cached_property
    def hashes(self) -> Hashes:
        """Of the slice, ascending."""
        return np.sort(self.copies.columns.hashes[self.rows])

    def position(self, row: int) -> int:
        """The position of a row in the slice, -1 for none."""
        return int(np.searchsorted(self.rows, row)) if row >= 0 else -1

    def among(self, hashes: Hashes) -> Hashes:
        """Those of the slice; where none is, one that is not: whether there are any decides whether a stage runs."""
        if not len(hashes):
            return hashes
        found: Hashes = np.intersect1d(hashes, self.hashes)
        return found if len(found) else hashes[:1]

    def fields(self) -> dict[str, Any]:
        """Fields of the record."""
        rows, kept = self.rows, np.unique(np.concatenate(self.kept))
        return {
            "query": self.plain,
            "rows": {name: np.searchsorted(rows, each[np.isin(each, rows)]) for name, each in self.inside.items()},
            "item": self.position(self.item), "person": _without_defaults(self.user),
            "seen": self.among(self.seen),
            "others": {whose: recorded.held_favourites(each, kept, rows) for whose, each in self.others.items()},
            "pairs": self.pairs, "slice": self.copies.slice(), "vectors": self.vectors, "n_allowed": self.n_allowed,
        }  # fmt: skip


def capture(
    around: Around,
    answer: Answer,
    found: Found,
    shares: npt.NDArray[np.float64],
    rules: str,
    body: bytes | memoryview,
    chosen: Pictures = NO_PICTURES,
    people: Mapping[str, Likes] = NOBODY,
) -> Capture:
    """The facts of an answer."""
    query, listed = answer.query, answer.query.listed
    facts = facts_of(query, [found], [answer.candidates.rows] if any(chosen.images) else [])
    runs, failures, resting = found.runs, found.failures, query.resting
    on_list = None if listed is None else (listed.rows, listed.sources, listed.relaxed)
    trace = answer.trace if query.explains_all else []
    rest = answer.rest.rows, answer.rest.sources

    def record() -> AnswerRecord:
        return AnswerRecord(
            around=around, rules=rules, shares=shares, resting=facts.among(resting),
            listed=None if on_list is None else RecordedList(np.searchsorted(facts.rows, on_list[0]), *on_list[1:]),
            outcomes=recorded.outcomes(runs, facts.rows), failures=failures, trace=trace,
            undrawn=undrawn([chosen]), rest=rest_of(facts.copies.columns, *rest), sha256="", **facts.fields(),
        )  # fmt: skip

    return Capture(around, record, body, people if query.others else NOBODY)


def facts_of(query: Query, found: Sequence[Found], pictured: Sequence[Rows]) -> Facts:
    """The facts of an answer to the query whose lists were made from what was `found`; `pictured` are rows of items of
    which a bandit has chosen a picture."""
    columns, drawn = query.columns, query.drawn
    partners = rows_read.partners(found)
    rows = rows_read.rows_read(found, partners)
    vectors: dict[str, dict[int, Any]] = {}
    for each in found:
        space = each.query.parts.space
        if space is not None and each.surface.parts_name not in vectors:
            vectors[each.surface.parts_name] = changed_vectors(space, rows)
    arms = NO_ARMS if drawn is None and not pictured else columns.arms.take(
        {} if drawn is None else dict(zip(rows.tolist(), range(len(rows)), strict=True)),
        {row: at for of in pictured for row, at in zip(of.tolist(), np.searchsorted(rows, of).tolist(), strict=True)},
        found[0].surface.name if drawn is not None and drawn.contexts is not None else "",
    )  # fmt: skip
    return Facts(
        copies=item_slice.copied(columns, rows, query.region, partners, arms), kept=[each.kept for each in found],
        plain={name: getattr(query, name) for name in PLAIN} | {"filter": query.filter and query.filter.text},
        inside={name: getattr(query, name) for name in OF_ROWS}, item=query.item, user=_of_person(query),
        seen=query.seen, others=query.others,
        pairs={view: dict(known) for view, known in getattr(query.pairs, "read", {}).items()},
        vectors=vectors, n_allowed=query.__dict__.get("n_allowed"),
    )  # fmt: skip


def changed_vectors(space: ItemSpace, rows: Rows) -> dict[int, Any]:
    """Position among `rows` → vector, None for none, of those that differ from the bundle."""
    places = np.flatnonzero(space.differs(rows))
    if not len(places):
        return {}
    found, has = space.vectors_of(rows[places]), space.has(rows[places])
    return {
        int(place): vector if there else None
        for place, vector, there in zip(places, found, has, strict=True)
    }  # fmt: skip


def _of_person(query: Query) -> dict[str, Any]:
    """The person's row without those whom the person follows and, unless the answer takes it apart, without the
    operators' state: the rest is not to be held until the record is made."""
    is_left_out = OF_OTHERS.__contains__ if query.explain == "events" else _is_left_out
    return {name: value for name, value in query.user.items() if not is_left_out(name)}


@cache  # as many as fields are declared
def _is_left_out(name: str) -> bool:
    return name in OF_OTHERS or name.startswith(STATE)


def _without_defaults(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not _is_default(name, value)}


def _is_default(name: str, value: Any) -> bool:
    if name not in views.DEFAULTS:
        return False
    default = views.DEFAULTS[name]
    return len(value) == 0 if isinstance(default, list) and not default else bool(np.array_equal(value, default))
