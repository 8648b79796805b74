"""The states of one view's aggregations: made, encoded, updated and read together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct

from operators.contract import CellAggregation, Cells, Field, Signal, View, World, read_time
from operators.gate import Admissions, Head
from operators.hashes import hash64
from schemas.errors import StateError

STATE = "state"
"""the cell of all heads"""
STATE_FIELD = Field(STATE, "bytes", b"", "operator state: what a server continues from")
ATTRIBUTES = "profile_attributes"
"""the cell of the latest profile's attributes, which rows of people hold too"""
ATTRIBUTES_FIELD = Field(ATTRIBUTES, "bytes", b"", "attributes of the profile, as MessagePack")
FORMAT = 7
"""of encoded states and of rows: those of another number are refused"""
REBUILD = "start the job without its saved state, so that it reads the log anew (freshet up --no-restore)"


def state_fields(aggregations: Sequence[CellAggregation[Any]]) -> tuple[Field, ...]:
    """The fields of a row that hold the state, for a server to continue from."""
    return (STATE_FIELD, *(cell for aggregation in aggregations for cell in aggregation.cells))


_Consent = tuple[bool | None, int, int]
"""`consent`, `stated` and `since` of a KeyedState"""


class KeyedState(Struct, gc=False):
    """State of one part: admissions and the profile's attributes (empty where there are none), each aggregation's
    state, and what the person has said of consent."""

    watermark: int
    did: Admissions
    shown: Admissions
    profile: dict[str, Any]
    parts: tuple[Any, ...]
    attributes: bytes | None = None
    """`profile` encoded; None where it has changed since"""
    consent: bool | None = None
    """as last stated; None where the person has not spoken of it"""
    stated: int = 0
    """when the broker had that profile, epoch ms"""
    since: int = 0
    """when the broker had the profile that gave consent after it had been missing; 0 where it has never been"""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyedState) and all(getattr(self, name) == getattr(other, name) for name in _COMPARED)


_COMPARED = ("watermark", "did", "shown", "profile", "parts", "consent", "stated", "since")


class Aggregator:
    """The states of one view's aggregations: made, encoded, updated and read together.

    Heads are one cell, `state`: format, layout (a hash of the view's declaration: a state of another one is refused
    rather than misread), watermark, consent, admissions, the aggregations' heads. `split` says whether long memories
    have cells of their own; else they are in that cell too.
    """

    def __init__(self, view: View[Any], split: bool = False) -> None:
        self.view = view
        self._all = cast(tuple[CellAggregation[Any], ...], view.aggregations)
        self._split = split
        self._updates = tuple(None if type(a).update is CellAggregation.update else a.update for a in self._all)
        """None for those that leave `update` out, since signals do not change them: they are skipped"""
        self._encode = msgspec.msgpack.Encoder().encode
        heads: Any = tuple[tuple(a.head for a in self._all)]  # type: ignore[misc]
        self._decode = msgspec.msgpack.Decoder(
            tuple[int, int, int, _Consent, Head, Head, heads, dict[str, bytes]]
        ).decode
        self._attributes = msgspec.msgpack.Decoder(dict[str, Any]).decode
        self.layout = hash64(repr((FORMAT, view.name, [_declaration(a) for a in self._all]))) >> 40

    def new(self) -> KeyedState:
        return KeyedState(0, Admissions(), Admissions(), {}, tuple(a.new() for a in self._all), b"")

    def encode(self, state: KeyedState) -> dict[str, bytes]:
        """The state in cells."""
        heads: list[Any] = []
        cells: dict[str, bytes] = {}
        for aggregation, part in zip(self._all, state.parts, strict=True):
            head, own = aggregation.split(part)
            heads.append(head)
            cells.update(own)
        if state.attributes is None:
            state.attributes = self._encode(state.profile) if state.profile else b""
        cells[ATTRIBUTES] = state.attributes
        inside = {} if self._split else {name: cell for name, cell in cells.items() if cell}
        admitted = state.did.head, state.shown.head
        consent = state.consent, state.stated, state.since
        blob = self._encode((FORMAT, self.layout, state.watermark, consent, *admitted, heads, inside))
        return {STATE: blob, **cells, **state.did.cells(), **state.shown.cells()} if self._split else {STATE: blob}

    def decode(self, cells: Cells) -> KeyedState:
        """Raises StateError where the cells are another view's, or an older version's of this one, or broken."""
        watermark, consent, did, shown, heads, inside = self._heads(cells)
        own = cells if self._split else inside
        parts = tuple(a.join(head, own) for a, head in zip(self._all, heads, strict=True))
        attributes = own.get(ATTRIBUTES, b"")
        try:
            profile = self._attributes(attributes) if attributes else {}
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{self.view.name}: {error}; {REBUILD}") from None
        did, shown = Admissions.of(did, "did", cells), Admissions.of(shown, "shown", cells)
        return KeyedState(watermark, did, shown, profile, parts, attributes, *consent)

    def of_row(self, row: Mapping[str, Any]) -> KeyedState:
        """The state that a row was made of, field name → value, but for most ids; the profile's attributes stay
        encoded. Raises StateError as `decode`."""
        watermark, consent, did, shown, heads, _ = self._heads(row)
        parts = tuple(a.of_row(head, row) for a, head in zip(self._all, heads, strict=True))
        return KeyedState(
            watermark, Admissions.of_row(did), Admissions.of_row(shown), {}, parts, row.get(ATTRIBUTES, b""), *consent
        )

    def _heads(self, cells: Mapping[str, Any]) -> tuple[Any, ...]:
        try:
            form, layout, *found = self._decode(cells.get(STATE, b""))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{self.view.name}: {error}; {REBUILD}") from None
        if (form, layout) != (FORMAT, self.layout):
            raise StateError(f"{self.view.name}: the view has changed; {REBUILD}")
        return tuple(found)

    def update(self, state: KeyedState, signal: Signal, world: World) -> None:
        for update, part in zip(self._updates, state.parts, strict=True):
            if update is not None:
                update(part, signal, world)

    def values(self, state: KeyedState, at: int) -> tuple[Any, ...]:
        found: list[Any] = []
        at = read_time(state.watermark, at)
        for aggregation, part in zip(self._all, state.parts, strict=True):
            found += aggregation.values(part, at)
        return tuple(found)

    def due(self, state: KeyedState, at: int) -> int | None:
        soonest = None
        at = read_time(state.watermark, at)
        for aggregation, part in zip(self._all, state.parts, strict=True):
            time = aggregation.due(part, at)
            if time is not None and (soonest is None or time < soonest):
                soonest = time
        return soonest

    def of_kind(self, kind: type[Any]) -> tuple[int, Any] | None:
        """The place and the declaration of the first aggregation of this kind."""
        return next(((n, a) for n, a in enumerate(self._all) if isinstance(a, kind)), None)


def readable(blob: bytes) -> bool:
    """Whether a row's `state` is of this format, so that its fields mean what they are called."""
    return blob[:2] == bytes([0x98, FORMAT])  # msgpack: an array of eight, the first of which is a small number


def _declaration(aggregation: CellAggregation[Any]) -> tuple[Any, ...]:
    """Its kind, fields and parameters; counts kept by another order of types would be read as other events'."""
    parameters = [
        (name, sorted(value) if isinstance(value, frozenset) else value)
        for name, value in sorted(vars(aggregation).items())
        if not name.startswith("_") and name not in ("state", "head", "fields", "cells")
    ]
    return type(aggregation).__name__, [(f.name, f.dtype) for f in aggregation.fields], parameters
