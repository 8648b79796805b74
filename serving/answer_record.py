"""A record of what one answer was computed from: the facts of its request, taken at once and encoded later."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, structs

from feature_repo import item_slice, views
from feature_repo.arms import NO_ARMS
from feature_repo.columns import Rows
from feature_repo.item_slice import ItemSlice
from operators.hashes import Hashes
from operators.seen import SEEN
from recommend import recorded
from recommend.candidate_set import CandidateSet
from recommend.favourites import Likes
from recommend.item_space import ItemSpace
from recommend.page_rows import Title
from recommend.pictures import NO_PICTURES, Pictures
from recommend.pipeline import Answer
from recommend.query import Query
from recommend.recorded import Found, HeldFavourites, StageFailure, StageOutcome
from recommend.trace import StageTrace
from schemas import packed
from serving.bodies import Around

FORMAT = 3
MOST_BYTES = 1 << 20
"""of one record, compressed; larger ones are dropped, and counted"""
NOBODY: Mapping[str, Likes] = MappingProxyType({})
PLAIN = (
    "at", "n", "depth", "min_score", "objective", "region", "device", "timezone", "text", "category", "user_id",
    "diversity", "explain", "language", "seed",
)  # fmt: skip
"""fields of a query that are recorded as they are"""
OF_ROWS = ("given", "cart", "excluded")
STATE = ("state", SEEN)
"""beginnings of the names of a row's fields that hold an operator's state"""
OF_OTHERS = frozenset(field.name for field in views.user_follows.fields)
"""fields of a person's row that name other people: they decide whose favourites are read, and nothing after that"""


class RecordTooLarge(ValueError):
    """The record is larger than one may be."""


class RecordedList(Struct, frozen=True):
    """A list that an answer continues, as positions in the slice."""

    rows: Any
    sources: Any
    relaxed: int


class RecordedRow(Struct, frozen=True, kw_only=True):
    """One row that was considered for a page: what was asked for, and what the steps that search have found."""

    kind: str
    title: Title
    anchor: int
    """position of the item that it is about, -1 without"""
    about: dict[str, Any]
    """fields of the row's query beside the page's: `item` as a position, `filter` as its text"""
    resting: Any
    outcomes: list[StageOutcome]
    failures: list[StageFailure]
    n_allowed: int | None
    """items of the whole catalogue that the row might have, where that was counted"""


class RecordedPage(Struct, frozen=True, kw_only=True):
    """What a record of a page of rows has beside that of its person and request."""

    size: tuple[int, int]
    """rows, and items of each, that were asked for"""
    logged: bool
    """whether its pictures were drawn"""
    failed: list[str]
    """kinds of rows that could not be planned"""
    rows: list[RecordedRow]
    failures: list[StageFailure]
    """of what is computed of all rows together"""
    traces: list[list[StageTrace]]
    """of the rows that were shown, where the answer has them"""


class AnswerRecord(Struct, frozen=True, kw_only=True):
    """One answer's facts. Rows are positions in `slice`; arrays are NumPy's."""

    format: int = FORMAT
    around: Around
    rules: str
    """digest of the rules that were in force, "" for none"""
    query: dict[str, Any]
    """the fields of PLAIN, and the text of the filter"""
    rows: dict[str, Any]
    item: int
    listed: RecordedList | None
    person: dict[str, Any]
    """fields of the person's row that are not the default"""
    seen: Any
    """hashes of those items of the slice that the person has met"""
    resting: Any
    """and of those that rest"""
    pairs: dict[str, dict[str, Any]]
    slice: ItemSlice
    others: dict[str, HeldFavourites]
    """whose favourites → those among the candidates, without a word of who liked them"""
    vectors: dict[str, dict[int, Any]]
    """surface whose parts of the bundle are used → row → vector, None for none, of those that differ from the bundle"""
    shares: Any
    """of contexts, in the whole catalogue"""
    n_allowed: int | None
    """items of the whole catalogue that were allowed, where that was counted"""
    outcomes: list[StageOutcome]
    failures: list[StageFailure]
    trace: list[StageTrace]
    """where the answer has it"""
    undrawn: list[str | None]
    """for each list of items, one or the rows of a page, why pictures could not be chosen; empty where they could"""
    page: RecordedPage | None = None
    """of a page of rows, whose outcomes, failures and traces are here"""
    rest: bytes
    """digest of what stays on the list for later pages"""
    sha256: str
    """of the body"""


@dataclass(frozen=True)
class Capture:
    """A record that is not encoded yet."""

    record: AnswerRecord
    body: bytes | memoryview
    people: Mapping[str, Likes]
    """those whose favourites were read → what they liked. The record itself does not name them"""

    def made_of(self) -> list[str]:
        """Whose favourites the record has: it is deleted with them."""
        found, ids = self.record.others.values(), self.record.slice.ids
        liked = {ids[row] for held in found for row in held.rows.tolist() if row >= 0}
        return [user_id for user_id, likes in self.people.items() if any(item_id in liked for item_id, _ in likes)]


@dataclass(frozen=True)
class Facts:
    """What all kinds of answers have in common: the rows of the slice, and fields of the record."""

    rows: Rows
    fields: dict[str, Any]

    def position(self, row: int) -> int:
        """The position of a row in the slice, -1 for none."""
        return int(np.searchsorted(self.rows, row)) if row >= 0 else -1

    def resting(self, query: Query) -> Hashes:
        """Of the items that rest those of the slice."""
        return _among(query, query.resting, self.rows)


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
    """The facts of an answer, none of which changes any more."""
    query, listed = answer.query, answer.query.listed
    facts = facts_of(query, [found], [answer.candidates.rows] if any(chosen.images) else [])
    return Capture(
        AnswerRecord(
            around=around, rules=rules, shares=shares, resting=facts.resting(query),
            listed=None if listed is None else RecordedList(
                np.searchsorted(facts.rows, listed.rows), listed.sources, listed.relaxed
            ),
            outcomes=recorded.outcomes(found.runs, facts.rows), failures=found.failures,
            trace=answer.trace if query.explains_all else [],
            undrawn=undrawn([chosen]), rest=rest_of(query, answer.rest), sha256="", **facts.fields,
        ),
        body, people if query.others else NOBODY,
    )  # fmt: skip


def facts_of(query: Query, found: Sequence[Found], pictured: Sequence[Rows]) -> Facts:
    """The facts of an answer to the query whose lists were made from what was `found`; `pictured` are rows of items of
    which a bandit has chosen a picture."""
    columns, drawn = query.columns, query.drawn
    rows = np.unique(np.concatenate([recorded.rows_read(each.query, each.runs, each.kept) for each in found]))
    kept = np.unique(np.concatenate([each.kept for each in found]))
    vectors: dict[str, dict[int, Any]] = {}
    for each in found:
        space = each.query.parts.space
        if space is not None and each.surface.parts_name not in vectors:
            vectors[each.surface.parts_name] = changed_vectors(space, rows)
    partners = list(dict.fromkeys(row for each in found for row in recorded.bought_with(each.query)))
    arms = NO_ARMS if drawn is None and not pictured else columns.arms.take(
        {} if drawn is None else dict(zip(rows.tolist(), range(len(rows)), strict=True)),
        {row: at for of in pictured for row, at in zip(of.tolist(), np.searchsorted(rows, of).tolist(), strict=True)},
        found[0].surface.name if drawn is not None and drawn.contexts is not None else "",
    )  # fmt: skip
    inside = {name: getattr(query, name) for name in OF_ROWS}
    return Facts(rows, {
        "query": {name: getattr(query, name) for name in PLAIN} | {"filter": query.filter and query.filter.text},
        "rows": {name: np.searchsorted(rows, each[np.isin(each, rows)]) for name, each in inside.items()},
        "item": int(np.searchsorted(rows, query.item)) if query.item >= 0 else -1,
        "person": _person(query), "seen": _among(query, query.seen, rows),
        "others": {whose: recorded.held_favourites(each, kept, rows) for whose, each in query.others.items()},
        "pairs": {view: dict(known) for view, known in getattr(query.pairs, "read", {}).items()},
        "slice": item_slice.take(columns, rows, query.region, partners, arms),
        "vectors": vectors, "n_allowed": query.__dict__.get("n_allowed"),
    })  # fmt: skip


def changed_vectors(space: ItemSpace, rows: Rows) -> dict[int, Any]:
    """Position among `rows` → vector, None for none, of those that differ from the bundle."""
    places = np.flatnonzero(space.differs(rows))
    found, has = space.vectors_of(rows[places]), space.has(rows[places])
    return {
        int(place): vector if there else None
        for place, vector, there in zip(places, found, has, strict=True)
    }  # fmt: skip


def undrawn(chosen: Sequence[Pictures]) -> list[str | None]:
    """Why the pictures of each list could not be chosen; nothing where they could be of all."""
    failed = [each.failed for each in chosen]
    return [] if all(each is None for each in failed) else failed


def encode(captured: Capture) -> bytes:
    """The compressed record. Raises RecordTooLarge."""
    found = structs.replace(captured.record, sha256=hashlib.sha256(captured.body).hexdigest())
    data = zlib.compress(packed.pack(found), 1)
    if len(data) > MOST_BYTES:
        raise RecordTooLarge(f"{len(data)} bytes; at most {MOST_BYTES}")
    return data


def decode(data: bytes) -> AnswerRecord:
    """The record. Raises ValueError where it is of another format, or broken."""
    try:
        return packed.unpack(zlib.decompress(data), AnswerRecord)
    except zlib.error as error:
        raise ValueError(str(error)) from None


def rest_of(query: Query, rest: CandidateSet) -> bytes:
    """A digest of the items that stay on a list, and of their sources."""
    found = hashlib.sha256(query.columns.hashes[rest.rows].tobytes())
    found.update(rest.sources.tobytes())
    return found.digest()


def _person(query: Query) -> dict[str, Any]:
    """The person's row without defaults, without those whom the person follows and, unless the answer takes it apart,
    without the operators' state."""
    with_state = query.explain == "events"
    return {
        name: value
        for name, value in query.user.items()
        if name not in OF_OTHERS and (with_state or not name.startswith(STATE)) and not _is_default(name, value)
    }


def _is_default(name: str, value: Any) -> bool:
    if name not in views.DEFAULTS:
        return False
    default = views.DEFAULTS[name]
    return len(value) == 0 if isinstance(default, list) and not default else bool(np.array_equal(value, default))


def _among(query: Query, hashes: Hashes, rows: Rows) -> Hashes:
    """Those of the slice; where none is, one that is not: whether there are any decides whether a stage runs."""
    if not len(hashes):
        return hashes
    found: Hashes = np.intersect1d(hashes, query.columns.hashes[rows])
    return found if len(found) else hashes[:1]
