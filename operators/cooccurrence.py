"""Items of the same basket: what each is bought together with, decayed, in bounded state.

    interaction ─► Basket, of the person ─► BASKET for the item that joins, with the others as partners
                                        └─► PARTNER for each of the others, with the item as its partner
    BASKET, PARTNER ─► Cooccurrence, of the item: its own baskets, and those with each of its partners

A basket takes an item once, and relates it to at most `most` others: an interaction has at most `most` + 1 signals.
Sums decay forward (Cormode et al., ICDE 2009, as in operators/decay.py), so that neither the order of arrival nor the
passage of time matters.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from operators.contract import CellAggregation, Cells, Field, Signal, World
from operators.decay import POPULARITY_ORIGIN, REBASE_AFTER
from operators.membership import Membership, assign
from operators.time import DAY
from schemas.errors import StateError

BASKET = "basket"
"""event type of the signal of an item that joins a basket"""
PARTNER = "basket_partner"
"""event type of the signal of an item whose basket another one joins"""
OF_BASKETS = frozenset({BASKET, PARTNER})
CELL = "basket"
UNKNOWN = -1e9
"""log2 of the baskets of an item that was in none"""


class BasketHead(Struct, array_like=True, gc=False):
    """The current basket without its items: the session's id, the first and the last event time, epoch ms."""

    id: str
    start: int
    last: int


class BasketState(Struct, array_like=True, gc=False):
    """The current basket: its last items, oldest first, and their cell, None where it has to be made."""

    head: BasketHead
    items: list[str]
    cell: bytes | None = b""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BasketState) and (self.head, self.items) == (other.head, other.items)


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[str]).decode


@dataclass(frozen=True)
class Basket(CellAggregation[BasketState]):
    """The items that a person has bought, or put into the cart, in one go.

    The session id decides, else a gap in time ends the basket; so does `longest` after its start, since a session id
    may be a device's. An event older than the basket's start (late) belongs to one that has ended and is left out. The
    view has no fields of it.
    """

    types: frozenset[str]
    gap: int
    most: int = 50
    """items that one that joins is related to, the latest ones"""
    longest: int = DAY
    state: type[BasketState] = BasketState
    head: type[BasketHead] = BasketHead

    @property
    def fields(self) -> tuple[Field, ...]:
        return ()

    def new(self) -> BasketState:
        return BasketState(BasketHead("", 0, 0), [])

    def split(self, state: BasketState) -> tuple[BasketHead, Cells]:
        if state.cell is None:
            state.cell = _pack(state.items)
        return state.head, {CELL: state.cell}

    def join(self, head: BasketHead, cells: Cells) -> BasketState:
        cell = cells.get(CELL, b"")
        try:
            return BasketState(head, _unpack(cell) if cell else [], cell)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{CELL}: {error}") from None

    def take(self, state: BasketState, signal: Signal) -> list[Signal]:
        """Applies an interaction, and returns the signals for the items of its basket: none where it adds no item."""
        item, at = signal.item_id, signal.timestamp
        if signal.event_type not in self.types or not item:
            return []
        head = state.head
        if head.last and at > head.start + self.longest:
            head.last = 0
        found = assign(head, at, signal.session_id, self.gap)
        if found is Membership.ENDED:
            return []
        if found is Membership.NEW:
            state.items, state.cell = [], None
        others = state.items
        if item in others:
            return []
        signals = [Signal(BASKET, at, item, partners=tuple(others))]
        signals += [Signal(PARTNER, at, other, partners=(item,)) for other in others]
        others.append(item)
        del others[: -self.most]
        state.cell = None
        return signals

    def values(self, state: BasketState, at: int) -> tuple[Any, ...]:
        return ()

    def due(self, state: BasketState, at: int) -> int | None:
        return None


class CooccurrenceState(Struct, array_like=True, gc=False):
    """Decayed numbers of baskets relative to `origin`: of the item, and of it with each partner."""

    origin: int
    baskets: float
    partners: dict[str, float]


@dataclass(frozen=True)
class Cooccurrence(CellAggregation[CooccurrenceState]):
    """What an item is in a basket with: its baskets, and its most frequent partners' shares of them.

    Everything of an item decays alike, so that shares hold between events; `baskets` is a logarithm at one instant, as
    the popularity of an item is. A partner's lift, share / (its own baskets / all baskets), needs what is kept of the
    partner: who reads the rows of all items computes it (recommend/together.py).
    """

    half_life: int
    top: int = 100
    """partners in a row"""
    keep: int = 200
    """partners that stay in the state when there are a quarter more; the least frequent are dropped. A sum is
    therefore never above the true one"""
    state: type[CooccurrenceState] = CooccurrenceState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("baskets", "float64", UNKNOWN, "log2 decayed number of baskets with the item, as of 2020-01-01"),
            Field("partners", "string[]", [], "items in the same baskets, most frequent first"),
            Field("partner_shares", "float32[]", [], "share of the item's decayed baskets with each of them"),
        )

    def new(self) -> CooccurrenceState:
        return CooccurrenceState(0, 0.0, {})

    def update(self, state: CooccurrenceState, signal: Signal, world: World) -> None:
        if signal.event_type not in OF_BASKETS:
            return
        partners = state.partners
        if not state.baskets and not partners:
            state.origin = signal.timestamp
        age = (signal.timestamp - state.origin) / self.half_life
        if age > REBASE_AFTER:
            factor = 2.0**-age
            state.baskets *= factor
            for name in partners:
                partners[name] *= factor
            state.origin, age = signal.timestamp, 0.0
        gain = 2.0**age
        if signal.event_type == BASKET:
            state.baskets += gain
        for name in signal.partners:
            partners[name] = partners.get(name, 0.0) + gain
        if len(partners) > self.keep + self.keep // 4:
            for name in sorted(partners, key=lambda name: (partners[name], name))[: -self.keep]:
                del partners[name]

    def values(self, state: CooccurrenceState, at: int) -> tuple[Any, ...]:
        if not state.baskets:
            return UNKNOWN, [], []
        best = heapq.nsmallest(self.top, ((-value, name) for name, value in state.partners.items()))
        baskets = math.log2(state.baskets) + (state.origin - POPULARITY_ORIGIN) / self.half_life
        return baskets, [name for _, name in best], [min(1.0, -value / state.baskets) for value, _ in best]

    def due(self, state: CooccurrenceState, at: int) -> int | None:
        return None
