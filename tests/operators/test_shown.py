"""What a person was shown: a set of (surface, item, half hour), whatever the order of impressions and their number."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import views
from feature_repo.builders import user_operator
from operators.contract import Record, Row
from operators.driver import Driver
from operators.hashes import hash64
from operators.shown import (
    FIELDS,
    FULL,
    KEEP,
    MOST_MS,
    NAMES,
    PART,
    SURFACES,
    TIMES,
    VISIT,
    Entry,
    ShownOperator,
    ShownState,
    entries_of,
    pack,
    sealed,
    showings,
)
from operators.time import DAY, HOUR
from schemas.errors import Duplicate, NoConsent, StateError
from schemas.events import Impression, Interaction, User
from tests.operators.records import World
from tests.operators.signals import MadeSpace

T0 = 1_767_225_600_000
OPERATOR = ShownOperator(views.user_shown)


def shown(id: str, items: list[str], at: int = T0, surface: str = "home") -> Record:
    return Record(Impression(id, "u1", at, items, surface), "impressions", 0, 0, at)


def applied(log: list[Record], state: ShownState | None = None) -> ShownState:
    state = state or OPERATOR.new()
    for record in log:
        OPERATOR.on_event("", state, record)
    return state


def row_of(state: ShownState) -> dict[str, Any]:
    return dict(zip(NAMES, OPERATOR.row("u1", "", state, T0).values, strict=True))


def read(row: dict[str, Any], *surfaces: str) -> set[tuple[int, int]]:
    found = showings(row, surfaces)
    return set(zip(found.hashes.tolist(), found.visits.tolist(), strict=True))


def expected(log: list[Record], surface: str) -> set[tuple[int, int]]:
    """As plain as it can be: every item of every impression, each once in a half hour."""
    return {
        (hash64(item), record.event.timestamp // VISIT)
        for record in log
        if isinstance(record.event, Impression) and record.event.surface == surface
        for item in record.event.items
    }


impressions = st.lists(
    st.tuples(
        st.lists(st.sampled_from([f"i{n}" for n in range(40)]), min_size=1, max_size=20, unique=True),
        st.integers(0, 40),
        st.sampled_from(["home", "email", "tv"]),
    ),
    max_size=30,
)


@given(impressions, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_row_has_what_was_shown_in_any_order_and_after_any_restart(log: list[Any], random: Any) -> None:
    records = [shown(f"r{n}", items, T0 + hour * VISIT, surface) for n, (items, hour, surface) in enumerate(log)]
    random.shuffle(records)
    state = OPERATOR.new()
    for n, record in enumerate(records):
        OPERATOR.on_event("", state, record)
        if n % 4 == 0:
            cells = OPERATOR.encode("", state)
            state = OPERATOR.decode("", cells)
            assert OPERATOR.encode("", state) == cells
    for surface in ("home", "email", "tv"):
        of_item: dict[int, list[int]] = {}
        for hashed, visit in expected(records, surface):
            of_item.setdefault(hashed, []).append(visit)
        newest = {(hashed, visit) for hashed, visits in of_item.items() for visit in sorted(visits)[-TIMES:]}
        found = read(row_of(state), surface)
        assert newest <= found <= expected(records, surface)


def test_a_list_that_is_shown_again_within_the_half_hour_is_one_showing_and_changes_nothing() -> None:
    state = applied([shown("r1", ["i1", "i2"])])
    before = OPERATOR.encode("", state)
    assert OPERATOR.on_event("", state, shown("r2", ["i2", "i1"], T0 + 60_000)) is None
    assert OPERATOR.encode("", state) == before
    assert OPERATOR.on_event("", state, shown("r3", ["i1"], T0 + VISIT)) == []


def test_one_more_impression_is_a_small_write_however_much_was_shown() -> None:
    state = OPERATOR.new()
    sizes: list[int] = []
    before: dict[str, bytes] = {}
    for n in range(300):
        applied([shown(f"r{n}", [f"i{n}-{k}" for k in range(20)], T0 + n * HOUR)], state)
        cells = OPERATOR.encode("", state)
        sizes.append(sum(len(cell) for name, cell in cells.items() if before.get(name) != cell))
        before = cells
    assert sorted(sizes[100:])[100] < 2_000
    assert sum(sizes[200:]) / 100 < 4_000
    assert len(before["shown_before"]) <= 13 * KEEP + 100


def test_memory_is_bounded_by_surface_and_one_does_not_push_out_another() -> None:
    state = applied([shown("mail", ["m1", "m2"], surface="email")])
    applied([shown(f"r{n}", [f"i{n}-{k}" for k in range(50)], T0 + n * HOUR) for n in range(200)], state)
    row = row_of(state)
    assert len(read(row, "home")) <= KEEP + FULL
    assert {hashed for hashed, _ in read(row, "email")} == {hash64("m1"), hash64("m2")}
    many = {"shown_before": sealed(b"", [(f"s{n}", n, 1000 + n) for n in range(20)], 0)}
    assert [n for n in range(20) if read(many, f"s{n}")] == list(range(20 - SURFACES, 20))
    long_ago = T0 - MOST_MS - DAY
    assert not read({"shown_before": sealed(b"", [("home", 1, long_ago // VISIT)], T0)}, "home")


def plainly_kept(entries: set[Entry], at: int) -> set[Entry]:
    """What is kept, as plain as it can be."""
    kept: list[Entry] = []
    for entry in sorted(entries, key=lambda each: (-each[2], each[0], each[1])):
        surface, hashed, visit = entry
        surfaces = [each[0] for each in kept]
        if (
            visit >= (at - MOST_MS) // VISIT
            and sum(each[:2] == (surface, hashed) for each in kept) < TIMES
            and surfaces.count(surface) < KEEP
            and (surface in surfaces or len(set(surfaces)) < SURFACES)
        ):
            kept.append(entry)
    return set(kept)


entries = st.lists(
    st.tuples(
        st.sampled_from([f"s{n}" for n in range(12)]),
        st.integers(0, 6),
        st.integers((T0 - MOST_MS - 3 * DAY) // VISIT, T0 // VISIT),
    ),
    max_size=120,
)


@given(entries, entries)
def test_what_is_sealed_is_what_is_to_be_kept(before: list[Entry], recent: list[Entry]) -> None:
    old = plainly_kept(set(before), T0)
    cell = sealed(pack(sorted(old)) if old else b"", dict.fromkeys(recent), T0)
    for surface in {each[0] for each in (*before, *recent)}:
        expected = {each[1:] for each in plainly_kept(old | set(recent), T0) if each[0] == surface}
        assert read({"shown_before": cell}, surface) == expected


def test_cells_of_a_server_are_read_with_a_row() -> None:
    own = pack(entries_of(Impression("r9", "u1", T0 + VISIT, ["i9"], "home")))
    row = row_of(applied([shown("r1", ["i1"])]))
    found = showings(row, ["home"], own)
    assert set(found.hashes.tolist()) == {hash64("i1"), hash64("i9")}
    assert set(showings({}, ["home"], own).hashes.tolist()) == {hash64("i9")}
    assert len(showings({}, ["home"]).hashes) == 0


def test_a_state_that_is_broken_is_refused() -> None:
    for cells in (
        {},
        {"shown": b""},
        {"shown": b"\xc1"},
        {"shown": b"\x92\x01\x94\x90\x91\xc4\x01\x00\xc4\x00\xc4\x00"},
    ):
        with pytest.raises(StateError, match="user_shown"):
            OPERATOR.decode("", cells)
    with pytest.raises(StateError):
        showings({"shown_before": b"\xc1"}, ["home"])


# -- within the person's key -----------------------------------------------------------------------


class Person:
    """The user operator behind its gate, and the rows as the store has them."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Any, ...]] = {}
        self._driver = Driver(user_operator(World(MadeSpace("one"))), self._emit)
        self.states = self._driver.states

    def _emit(self, row: Row, at: int) -> None:
        if row.values:
            self.rows[row.view] = row.values
        else:
            self.rows.pop(row.view, None)

    def take(self, record: Record) -> None:
        self._driver.take("u1", record)

    @property
    def shown(self) -> set[tuple[int, int]]:
        return read(dict(zip(NAMES, self.rows.get("user_shown", (b"", b"")), strict=True)), "home")


def test_people_who_were_shown_nothing_have_no_part() -> None:
    person = Person()
    person.take(Record(Interaction("e1", "click", "u1", T0, "i1"), "interactions", 0, 1, T0))
    assert list(person.rows) == ["user_activity"]
    person.take(shown("r1", ["i1"]))
    assert [part for _, part in person.states] == ["", PART]
    assert len(person.shown) == 1
    assert [field.name for field in views.user_shown.fields] == [field.name for field in FIELDS]


def test_what_the_gate_refuses_is_not_remembered() -> None:
    person = Person()
    person.take(shown("r1", ["i1"]))
    with pytest.raises(Duplicate):
        person.take(shown("r1", ["i2"]))
    assert {hashed for hashed, _ in person.shown} == {hash64("i1")}


def test_a_withdrawal_drops_it_and_a_new_consent_begins_without() -> None:
    person = Person()
    person.take(shown("r1", ["i1"]))
    person.take(Record(User("u1", consent=False), "users", 0, 0, T0 + 1))
    assert "user_shown" not in person.rows
    assert list(person.states) == [("u1", "")]
    with pytest.raises(NoConsent):
        person.take(shown("r2", ["i2"], T0 + 2))
    person.take(Record(User("u1", consent=True), "users", 0, 1, T0 + 3))
    person.take(shown("r3", ["i3"], T0 + 4))
    assert {hashed for hashed, _ in person.shown} == {hash64("i3")}
