"""The operator of the main path that is keyed by user; the other one is in operators/item.py.

Both run the aggregations of a view; the user operator also admits events (no duplicates, none too late or in the
future), so that what reaches the item operator has been admitted exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import repeat
from typing import Any, NamedTuple

from operators.aggregator import REBUILD as REBUILD  # re-exported
from operators.aggregator import STATE as STATE
from operators.aggregator import STATE_FIELD as STATE_FIELD
from operators.aggregator import Aggregator, KeyedState
from operators.contract import Cells, Operator, Record, Row, Signal, Space, View, World
from operators.cooccurrence import Basket
from operators.gate import IMPRESSION as IMPRESSION  # re-exported: views name it from here
from operators.gate import Gate
from operators.history import Applied
from operators.own_rows import OwnRows
from operators.subject import Profile
from operators.time import DEFAULT_LATENESS
from operators.vector import UserVector
from schemas.errors import NoConsent
from schemas.events import NO_BEHAVIOUR, Impression, Interaction, Item, User


class _InSpace(NamedTuple):
    """A world with another space."""

    space: Space
    item: Callable[[str], Item | None]


class UserOperator(Operator[Any]):
    """Interactions, impressions and profiles of one user → the user's row, and signals for the item operator; controls,
    follows and what was shown → rows of their own (operators/own_rows.py), in parts that people without any do not
    have.

    The watermark is the user's own: the latest event time of that key. It depends on nothing but
    the order of the user's events in their partition, so a replay of the log comes to the very
    same decisions; a stream-wide watermark would depend on who else was busy at the time.

    Of a person without consent the state is a new one, but for what was said of consent and the places in Kafka of the
    last profile and the last interaction, which tokens are compared with. Their events are refused. After consent is
    given again, so are events that the broker had before: only the broker's clock is compared, so that neither a
    device's clock nor the order in which topics are read matters.
    """

    name = "user"

    def __init__(
        self,
        view: View[Any],
        world: World,
        lateness: int | None = DEFAULT_LATENESS,
        opt_in: bool = False,
        controls: View[Any] | None = None,
        follows: View[Any] | None = None,
        shown: View[Any] | None = None,
    ) -> None:
        """`view.extra` is `state_fields` of its aggregations; `lateness` is the allowed lateness in ms, None as for
        `Gate`; `opt_in` says that a person who has not spoken of consent has not given it. Without `controls`,
        `follows` or `shown`, the views of their rows, such events are admitted and nothing else."""
        self.world = world
        self.view = view
        self._features = Aggregator(view, split=True)
        self._gate = Gate(world, lateness)
        self._own_rows = OwnRows(controls, follows, shown)
        self._opt_in = opt_in
        self._live = lateness is not None
        self._held = tuple(f.name for f in view.extra)
        self._profile = self._features.of_kind(Profile)
        self._applied = self._features.of_kind(Applied)
        self._vector = self._features.of_kind(UserVector)
        self._basket = self._features.of_kind(Basket)

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        event = record.event
        kind = type(event)
        if kind is Impression or (type(event) is Interaction and event.event_type in NO_BEHAVIOUR):
            # In this order: what is not admitted does not come to them.
            return "", *self._own_rows.parts(key, record)
        return () if kind is Signal else ("",)

    def consents(self, state: KeyedState) -> bool:
        """Whether the person allows personalization."""
        return not self._opt_in if state.consent is None else state.consent

    def new(self, part: str = "") -> Any:
        if part:
            return self._own_rows.of(part).new()
        return self._emptied(self._features.new()) if self._opt_in else self._features.new()

    def encode(self, part: str, state: Any) -> dict[str, bytes]:
        return self._own_rows.of(part).encode("", state) if part else self._features.encode(state)

    def decode(self, part: str, cells: Cells) -> Any:
        """As the contract says; the state of a person without consent, if one was saved before that, is emptied."""
        if part:
            return self._own_rows.of(part).decode("", cells)
        state = self._features.decode(cells)
        return state if self.consents(state) else self._emptied(state)

    def of_row(self, row: Mapping[str, Any]) -> KeyedState:
        """The state to continue from outside the stream, from a row (field name → value). Its user vector is in the
        row's precision, and it has the last ids alone. Raises StateError where the row is of another declaration."""
        state = self._features.of_row(row)
        return state if self.consents(state) else self._emptied(state)

    def parts_of_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The same of what has a row of its own, by part."""
        return self._own_rows.of_row(row)

    def embed(self, state: KeyedState, space: Space | None = None) -> None:
        """Takes the user vector into a space, the world's where not given, if it is not there yet."""
        if self._vector:
            place, vector = self._vector
            vector.embed(state.parts[place], _InSpace(space or self.world.space, self.world.item))

    def vector(self, state: KeyedState) -> dict[str, Any]:
        """The fields of the user vector, by name."""
        assert self._vector is not None
        place, vector = self._vector
        return dict(zip((f.name for f in vector.fields), vector.values(state.parts[place], 0), strict=True))

    def watermark(self, state: Any) -> int:
        return int(state.watermark)

    def row(self, key: str, part: str, state: Any, at: int, cells: Cells | None = None) -> Row:
        if part:
            return self._own_rows.of(part).row(key, "", state, at, cells)
        values = self._features.values(state, at)
        found = self._features.encode(state) if cells is None else cells
        return Row(self.view.name, (key,), (*values, *map(found.get, self._held, repeat(b""))))

    def due(self, part: str, state: Any, at: int) -> int | None:
        return None if part else self._features.due(state, at)

    def listeners(self, signal: Signal) -> Iterable[str]:
        return (signal.item_id,) if signal.item_id else ()

    def withholds(self, states: Mapping[str, Any]) -> bool:
        own = states.get("")
        return self._opt_in if own is None else not self.consents(own)

    def dropped(self, key: str, states: Mapping[str, Any], record: Record | None = None) -> Collection[str]:
        return [part for part in states if part] if self.withholds(states) else ()

    def on_event(self, part: str, state: Any, record: Record) -> list[Signal] | None:
        event = record.event
        if part:
            return self._own_rows.of(part).on_event("", state, record)
        if type(event) is User:
            self._take_profile(state, record, event)
            return []
        if (state.consent is not True or state.since) and type(event) in (Interaction, Impression):
            self._check_consent(state, record)
        signals = self._gate.take(state, record)
        if type(event) is Interaction:
            if event.event_type in NO_BEHAVIOUR:  # says nothing of behaviour: no session, count or taste has it
                if self._applied:
                    place, applied = self._applied
                    applied.update(state.parts[place], signals[0], self.world)
                return signals
            self._features.update(state, signals[0], self.world)
            if self._basket:
                place, basket = self._basket
                signals += basket.take(state.parts[place], signals[0])
        return signals

    def _check_consent(self, state: KeyedState, record: Record) -> None:
        """Raises NoConsent where it is missing, or was when the broker had the event. What the archive has came
        after."""
        if not self.consents(state):
            raise NoConsent("the person has not consented to personalization", "user_id")
        if self._live and record.arrived < state.since:
            raise NoConsent("the person had not consented to personalization when it was sent", "user_id")

    def _take_profile(self, state: KeyedState, record: Record, user: User) -> None:
        """Takes a profile. One that states no consent leaves it as it was, so that a deleted profile grants nothing; so
        does one that is older by the broker's clock than the last one that states it: producers may choose partitions
        in different ways."""
        before = self.consents(state)
        if user.consent is not None and record.arrived >= state.stated:
            state.consent, state.stated = user.consent, record.arrived
        consents = self.consents(state)
        if consents:
            if not before:
                state.since = record.arrived
            self._gate.take(state, record)
            state.attributes = None
        else:
            self._emptied(state)
        if self._profile:
            place, profile = self._profile
            profile.take(state.parts[place], record, consents, state.consent is True)

    def _emptied(self, state: KeyedState) -> KeyedState:
        """The state, in which nothing is left but what was said of consent, and the places of the last profile and the
        last interaction."""
        new = self._features.new()
        if self._applied:
            place, _ = self._applied
            before, after = state.parts[place], new.parts[place]
            after.read_partition, after.read_offset = before.read_partition, before.read_offset
        if self._profile:
            place, _ = self._profile
            before, after = state.parts[place], new.parts[place]
            after.partition, after.offset, after.arrived = before.partition, before.offset, before.arrived
            after.consent, after.given = self.consents(state), state.consent is True
        state.watermark, state.did, state.shown = 0, new.did, new.shown
        state.profile, state.attributes, state.parts = new.profile, new.attributes, new.parts
        return state

    def refuse(self, part: str, state: Any, record: Record) -> bool:
        if part or type(record.event) is not Interaction or not self._applied:
            return False
        place, applied = self._applied
        applied.refuse(state.parts[place], record.partition, record.offset)
        return True
