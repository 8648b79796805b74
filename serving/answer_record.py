"""A record of what one answer was computed from."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, structs

from feature_repo.columns import ItemColumns, Rows
from feature_repo.item_slice import ItemSlice
from recommend.page_rows import Title
from recommend.pictures import Pictures
from recommend.recorded import HeldFavourites, StageFailure, StageOutcome
from recommend.trace import StageTrace
from schemas import packed
from serving.bodies import Around

FORMAT = 3
MOST_BYTES = 1 << 20
"""of one record, compressed; larger ones are dropped, and counted"""
PLAIN = (
    "at", "n", "depth", "min_score", "objective", "region", "device", "timezone", "text", "category", "user_id",
    "diversity", "explain", "language", "seed",
)  # fmt: skip
"""fields of a query that are recorded as they are"""
OF_ROWS = ("given", "cart", "excluded")


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


def undrawn(chosen: Sequence[Pictures]) -> list[str | None]:
    """Why the pictures of each list could not be chosen; nothing where they could be of all."""
    failed = [each.failed for each in chosen]
    return [] if all(each is None for each in failed) else failed


def encode(record: AnswerRecord, body: bytes | memoryview) -> bytes:
    """The compressed record, with the digest of the body. Raises RecordTooLarge."""
    found = structs.replace(record, sha256=hashlib.sha256(body).hexdigest())
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


def rest_of(columns: ItemColumns, rows: Rows, sources: npt.NDArray[np.uint32]) -> bytes:
    """A digest of the items (n,) that stay on a list, and of their sources (n,)."""
    found = hashlib.sha256(columns.hashes[rows].tobytes())
    found.update(sources.tobytes())
    return found.digest()
