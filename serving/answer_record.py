"""A record of what one answer was computed from: the facts of its request, taken at once and encoded later."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, structs

from feature_repo import item_slice, views
from feature_repo.columns import Rows
from feature_repo.item_slice import ItemSlice
from operators.hashes import Hashes
from operators.seen import SEEN
from recommend import recorded
from recommend.candidate_set import CandidateSet
from recommend.pipeline import Answer
from recommend.query import Query
from recommend.recorded import RecordingTrace, StageOutcome
from recommend.surface import Surface
from recommend.trace import StageTrace
from schemas import packed
from serving.bodies import Around

FORMAT = 1
MOST_BYTES = 1 << 20
"""of one record, compressed; larger ones are dropped, and counted"""
PLAIN = (
    "at", "n", "depth", "min_score", "objective", "region", "device", "timezone", "text", "category", "user_id",
    "diversity", "explain", "language", "seed",
)  # fmt: skip
"""fields of a query that are recorded as they are"""
OF_ROWS = ("given", "cart", "excluded")
STATE = ("state", SEEN)
"""beginnings of the names of a row's fields that hold an operator's state"""


class RecordTooLarge(ValueError):
    """The record is larger than one may be."""


class RecordedList(Struct, frozen=True):
    """A list that an answer continues, as positions in the slice."""

    rows: Any
    sources: Any
    relaxed: int


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
    vectors: dict[int, Any]
    """row → vector, None for none, of those that differ from the bundle"""
    shares: Any
    """of contexts, in the whole catalogue"""
    n_allowed: int | None
    """items of the whole catalogue that were allowed, where that was counted"""
    outcomes: list[StageOutcome]
    trace: list[StageTrace]
    """where the answer has it"""
    rest: bytes
    """digest of what stays on the list for later pages"""
    sha256: str
    """of the body"""


@dataclass(frozen=True)
class Capture:
    """A record that is not encoded yet."""

    record: AnswerRecord
    body: bytes | memoryview


def capture(
    surface: Surface,
    around: Around,
    answer: Answer,
    trace: RecordingTrace,
    kept: Rows,
    shares: npt.NDArray[np.float64],
    rules: str,
    body: bytes | memoryview,
) -> Capture:
    """The facts of an answer, none of which changes any more. `kept` are the candidates before they were ranked."""
    query, runs = answer.query, recorded.trimmed(surface, trace.runs, kept)
    rows, columns = recorded.rows_read(query, runs, kept), query.columns
    space, listed = query.parts.space, query.listed
    vectors: dict[int, Any] = {}
    if space is not None:
        places = np.flatnonzero(space.differs(rows))
        found = space.vectors_of(rows[places])
        has = space.has(rows[places])
        vectors = {
            int(place): vector if there else None
            for place, vector, there in zip(places, found, has, strict=True)
        }  # fmt: skip
    inside = {name: getattr(query, name) for name in OF_ROWS}
    return Capture(
        AnswerRecord(
            around=around, rules=rules,
            query={name: getattr(query, name) for name in PLAIN} | {"filter": query.filter and query.filter.text},
            rows={name: np.searchsorted(rows, each[np.isin(each, rows)]) for name, each in inside.items()},
            item=int(np.searchsorted(rows, query.item)) if query.item >= 0 else -1,
            listed=None if listed is None else RecordedList(
                np.searchsorted(rows, listed.rows), listed.sources, listed.relaxed
            ),
            person=_person(query), seen=_among(query, query.seen, rows), resting=_among(query, query.resting, rows),
            pairs={view: dict(known) for view, known in getattr(query.pairs, "read", {}).items()},
            slice=item_slice.take(columns, rows, query.region, recorded.bought_with(query)),
            vectors=vectors, shares=shares, n_allowed=query.__dict__.get("n_allowed"),
            outcomes=recorded.outcomes(runs, rows), trace=answer.trace if query.explains_all else [],
            rest=rest_of(query, answer.rest), sha256="",
        ),
        body,
    )  # fmt: skip


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
    """The person's row without defaults and, unless the answer takes it apart, without the operators' state."""
    with_state = query.explain == "events"
    return {
        name: value
        for name, value in query.user.items()
        if (with_state or not name.startswith(STATE)) and not _is_default(name, value)
    }


def _is_default(name: str, value: Any) -> bool:
    if name not in views.DEFAULTS:
        return False
    default = views.DEFAULTS[name]
    return len(value) == 0 if isinstance(default, list) and not default else bool(np.array_equal(value, default))


def _among(query: Query, hashes: Hashes, rows: Rows) -> Hashes:
    """Those of the slice; where none is, one that is not: whether there are any decides whether a stage runs."""
    found: Hashes = np.intersect1d(hashes, query.columns.hashes[rows])
    return found if len(found) else hashes[:1]
