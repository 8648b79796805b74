"""What a person was shown: a set of (surface, item, half hour), whatever the order of impressions and their number."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import views
from operators.aggregator import STATE
from operators.contract import Record
from operators.hashes import hash64
from operators.shown import (
    FIELDS,
    FULL,
    KEEP,
    LATEST,
    MOST,
    MOST_MS,
    NAMES,
    PART,
    TIMES,
    VISIT,
    ShownOperator,
    ShownState,
    appended,
    counted_on,
    entries_of,
    pack,
    sealed,
    showings,
    surface_code,
)
from operators.time import DAY, HOUR
from schemas.errors import Duplicate, NoConsent, StateError
from schemas.events import Impression, Interaction, User
from tests.operators.people import KeyedPerson

T0 = 1_767_225_600_000
Shown = tuple[str, int, int]
"""surface, hash of the item, visit"""
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
    assert len(before["shown_before"]) <= 12 * KEEP + 100


def test_memory_is_bounded_by_surface_and_one_does_not_push_out_another() -> None:
    state = applied([shown("mail", ["m1", "m2"], surface="email")])
    applied([shown(f"r{n}", [f"i{n}-{k}" for k in range(50)], T0 + n * HOUR) for n in range(200)], state)
    row = row_of(state)
    assert len(read(row, "home")) <= KEEP + FULL
    assert {hashed for hashed, _ in read(row, "email")} == {hash64("m1"), hash64("m2")}
    long_ago = T0 - MOST_MS - DAY
    assert not read({"shown_before": sealed(pack([("home", 1, long_ago // VISIT)]), (), T0)}, "home")


def test_surfaces_that_apps_make_up_do_not_push_out_what_was_mailed() -> None:
    state = applied([shown("mail", [f"m{k}" for k in range(10)], surface="email")])
    for day in range(1, 41):
        names = [f"made-up-{n}" for n in range(40)]
        applied([shown(f"{n}-{day}", [f"{n}-{day}-{k}" for k in range(20)], T0 + day * DAY, n) for n in names], state)
    row = row_of(state)
    assert {hashed for hashed, _ in read(row, "email")} == {hash64(f"m{k}") for k in range(10)}
    assert len(row["shown_before"]) <= 12 * MOST + 8 * 41 + 50
    # One name for each impression: no list of names is full, and none of it is longer than what was mailed.
    applied([shown(f"r{n}", [f"x{n}"], T0 + 41 * DAY, f"once-{n}") for n in range(3 * MOST)], state)
    row = row_of(state)
    assert len(row["shown_before"]) <= 20 * MOST + 50
    assert read(row, "once-11999"), "the newest are there"


def test_pages_every_day_do_not_push_out_what_was_mailed_and_count_as_the_home_feed() -> None:
    state = applied([shown("mail", ["m1"], surface="email"), shown("feed", ["h1"])])
    kinds = ["home", "continue", "again", "because_item", "new", "category", "popular_in_region", "trending", "on_sale"]
    for day in range(1, 6):
        applied(
            [shown(f"{k}-{day}", [f"{k}-{day}-{n}" for n in range(20)], T0 + day * DAY, f"page:{k}") for k in kinds],
            state,
        )
    row = row_of(state)
    assert {hashed for hashed, _ in read(row, "email")} == {hash64("m1")}
    at_home = {hashed for hashed, _ in read(row, "home")}
    assert {hash64("h1"), hash64("home-1-0"), hash64("on_sale-5-19")} <= at_home
    assert hash64("trending-1-0") not in at_home
    assert hash64("trending-1-0") in {hashed for hashed, _ in read(row, "trending")}
    assert read(row, "page:home") == read(row, "home")
    assert [counted_on(name) for name in ("page:because_item", "page:made-up", "page:", "pages")] == [
        "similar", "home", "home", "pages"
    ]  # fmt: skip


@pytest.mark.parametrize("n", [0, 1, 20, 250])
def test_the_cell_of_one_impression_has_the_entries_that_the_job_keeps_of_it(n: int) -> None:
    shown = Impression("r", "u1", T0, [f"i{k}" for k in range(n)], "page:trending")
    entries = [("trending", hashed, visit) for _, hashed, visit in entries_of(shown)]
    assert appended(b"", shown, 400) == pack(entries)


def test_no_impression_is_too_much_for_the_cell_of_a_server() -> None:
    cell = b""
    for n in range(2000):
        cell = appended(cell, Impression(f"r{n}", "u1", T0 + n * VISIT, ["i1"], f"s{n}"), 400)
    assert len(cell) <= 20 * 2 * 400 + 50
    for at in (0, 1 << 62):
        cell = appended(cell, Impression("r", "u1", at, [f"i{k}" for k in range(1000)], "\x00é" * 50), 400)
    assert LATEST in {visit for _, visit in read({"shown_before": cell}, "\x00é" * 50)}
    assert read({"shown_before": cell}, "s1999")


def test_a_long_memory_is_checked_in_well_under_a_millisecond() -> None:
    state = OPERATOR.new()
    state.sealed = sealed(pack([(f"s{n % 4}", n, T0 // VISIT) for n in range(MOST)]), (), T0)
    cells = OPERATOR.encode("", state)
    started = time.perf_counter()
    for _ in range(20):
        OPERATOR.decode("", cells)
    assert time.perf_counter() - started < 20 * 0.001


def plainly_kept(shown: set[Shown], at: int) -> set[Shown]:
    """What is kept, as plain as it can be."""
    kept: list[Shown] = []
    for entry in sorted(shown, key=lambda each: (-each[2], each[1])):
        surface, hashed, visit = entry
        if (
            visit >= (at - MOST_MS) // VISIT
            and sum(each[:2] == (surface, hashed) for each in kept) < TIMES
            and sum(each[0] == surface for each in kept) < KEEP
        ):
            kept.append(entry)
    while len(kept) > FEW:
        longest = max(Counter(each[0] for each in kept).values())
        full = [name for name, n in Counter(each[0] for each in kept).items() if n == longest]
        last = [[each for each in kept if each[0] == name][-1] for name in full]
        kept.remove(min(last, key=lambda each: (each[2], -surface_code(each[0]))))
    return set(kept)


FEW = 30
entries = st.lists(
    st.tuples(
        st.sampled_from([f"s{n}" for n in range(12)]),
        st.integers(0, 6),
        st.integers((T0 - MOST_MS - 3 * DAY) // VISIT, T0 // VISIT),
    ),
    max_size=120,
)


@given(entries, entries)
def test_what_is_sealed_is_what_is_to_be_kept(before: list[Shown], recent: list[Shown]) -> None:
    old = plainly_kept(set(before), T0)
    coded = {(surface_code(surface), hashed, visit): None for surface, hashed, visit in recent}
    cell = sealed(pack(sorted(old)) if old else b"", coded, T0, FEW)
    for surface in {each[0] for each in (*before, *recent)}:
        expected = {each[1:] for each in plainly_kept(old | set(recent), T0) if each[0] == surface}
        assert read({"shown_before": cell}, surface) == expected


def test_cells_of_a_server_are_read_with_a_row() -> None:
    own = appended(b"", Impression("r9", "u1", T0 + VISIT, ["i9"], "home"), 400)
    row = row_of(applied([shown("r1", ["i1"])]))
    found = showings(row, ["home"], own)
    assert set(found.hashes.tolist()) == {hash64("i1"), hash64("i9")}
    assert set(showings({}, ["home"], own).hashes.tolist()) == {hash64("i9")}
    assert len(showings({}, ["home"]).hashes) == 0


def test_a_state_that_is_broken_is_refused() -> None:
    good = OPERATOR.encode("", OPERATOR.new())[STATE]
    for cells in (
        {},
        {STATE: b""},
        {STATE: b"\xc1"},
        {STATE: b"\x92\x01\x94\x90\x91\xc4\x01\x00\xc4\x00\xc4\x00"},
        {STATE: good, "shown_before": msgspec.msgpack.encode([b"\1\0\0\0", b"\xff" * 4, b"", b""])},
        {STATE: good, "shown_before": msgspec.msgpack.encode([b"", b"", b"\1" * 8, b"\1" * 4])},
        {STATE: good, "shown_before": msgspec.msgpack.encode([b"\1", b"", b"", b""])},
    ):
        with pytest.raises(StateError, match="user_shown"):
            OPERATOR.decode("", cells)
    with pytest.raises(StateError):
        showings({"shown_before": b"\xc1"}, ["home"])


# -- within the person's key -----------------------------------------------------------------------


class Person(KeyedPerson):
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
