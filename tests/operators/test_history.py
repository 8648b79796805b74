"""CurrentSession, recents, met items and the place in the log, against the raw list."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.cells import changed
from operators.contract import Signal
from operators.hashes import BLOCK, CHUNK
from operators.history import Applied, CurrentSession, Recent, hash64
from operators.seen import Seen, seen_hashes
from operators.time import DAY, MINUTE
from schemas.errors import StateError
from schemas.events import EVENT_TYPES
from tests.operators import oracles
from tests.operators.signals import T0, Anywhere, changes, later, latest, logs, run, saved

GAP = 30 * MINUTE
SESSION = CurrentSession(GAP, EVENT_TYPES, categories=3)
RECENT = Recent({"click": 1.0, "dislike": -3.0, "rating": 3.0}, k=5)
SEEN = Seen(frozenset({"click", "purchase", "dislike"}), keep=4)


def click(at: int, item: str = "i1", session: str = "", categories: tuple[str, ...] = ()) -> Signal:
    return Signal("click", at, item, session_id=session, categories=categories)


# -- session ---------------------------------------------------------------------------------------


@given(logs(), later)
def test_session_is_made_of_the_signals_that_belong_to_it(signals: list[Signal], after: int) -> None:
    at = latest(signals) + after
    assert list(SESSION.values(run(SESSION, signals), at)) == oracles.session_values(SESSION, signals, at)


@given(logs())
def test_session_changes_once_when_its_gap_has_passed(signals: list[Signal]) -> None:
    state = run(SESSION, signals)
    members, _ = oracles.session(SESSION, signals, latest(signals))
    ends = [max(m.timestamp for m in members) + GAP + 1] if members else []
    assert changes(SESSION, state, latest(signals)) == ends


def session(*signals: Signal) -> dict[str, object]:
    values = SESSION.values(run(SESSION, signals), latest(signals))
    return dict(zip([f.name.removeprefix("session_") for f in SESSION.fields], values, strict=True))


def test_a_gap_ends_the_session() -> None:
    assert session(click(T0), click(T0 + GAP))["start"] == T0
    assert session(click(T0), click(T0 + GAP + 1)) | {"categories": []} == {
        "id": f"s-{T0 + GAP + 1}", "start": T0 + GAP + 1, "length_s": 0.0, "items": 1, "categories": [],
        "counts": [int(name == "click") for name in EVENT_TYPES],
    }  # fmt: skip


def test_the_apps_own_id_decides_however_long_the_gap() -> None:
    found = session(click(T0, "i1", "a"), click(T0 + 3 * GAP, "i2", "a"))
    assert (found["id"], found["length_s"], found["items"]) == ("a", 3 * GAP / 1000, 2)
    found = session(click(T0, "i1", "a"), click(T0 + 1, "i2", "b"))
    assert (found["id"], found["length_s"], found["items"]) == ("b", 0.0, 1)


def test_what_belongs_to_a_session_that_has_ended_is_left_out() -> None:
    now = (click(T0 + DAY, "i2", "b", ("c2",)),)
    assert session(*now, click(T0, "i1", "a", ("c1",)), click(T0, "i3")) == session(*now)


def test_categories_are_the_last_distinct_ones_newest_first() -> None:
    found = session(
        click(T0, categories=("a", "b")), click(T0 + 1, categories=("c",)), click(T0 + 2, categories=("b",))
    )
    assert found["categories"] == ["b", "c", "a"]


# -- recents, met items, place ---------------------------------------------------------------------


@given(logs(), later)
def test_recents_are_the_latest_by_event_time(signals: list[Signal], after: int) -> None:
    state = run(RECENT, signals)
    at = latest(signals) + after
    *exact, tastes = RECENT.values(state, at)
    assert [*exact, pytest.approx(tastes, rel=1e-6)] == oracles.recent(RECENT, signals)
    names = (f.name for f in RECENT.fields)
    assert RECENT.of_row(None, dict(zip(names, RECENT.values(state, at), strict=True))) == state
    assert RECENT.due(state, at) is None
    assert len(state.times) <= RECENT.k


@given(logs(), st.randoms(use_true_random=False))
def test_recents_do_not_depend_on_the_order_of_arrival(signals: list[Signal], rng: object) -> None:
    shuffled = list(signals)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert RECENT.values(run(RECENT, shuffled), T0) == RECENT.values(run(RECENT, signals), T0)


def test_recents_of_a_broken_cell_are_refused() -> None:
    _, cells = RECENT.split(run(RECENT, [click(T0, "i1"), click(T0 + 1, "i2")]))
    assert RECENT.join(None, cells).items == ["i2", "i1"]
    torn = msgspec.msgpack.encode(([T0], ["i1", "i2"], ["click"], [1.0]))
    for broken in ({}, {"recent": cells["recent"][:-1]}, {"recent": torn}):
        with pytest.raises(StateError, match="recent"):
            RECENT.join(None, broken)


@given(logs(), later)
def test_met_items_in_the_order_of_meeting(signals: list[Signal], after: int) -> None:
    state = run(SEEN, signals)
    assert seen_hashes(SEEN.split(state)[1], SEEN.keep).tolist() == oracles.seen(SEEN, signals)
    assert SEEN.values(state, latest(signals) + after) == ()
    assert SEEN.due(state, latest(signals) + after) is None


@pytest.mark.parametrize("save", [1, 50, 10_000])
def test_exactly_the_oldest_meetings_are_forgotten(save: int) -> None:
    """Through many chunks, whose names come round again."""
    declared = Seen(frozenset({"click"}), keep=600)
    state, expected = declared.new(), list[int]()
    for n in range(3_000):
        item = f"i{n * 7919 % 1_300}" if n < 1_500 else f"i{n}"
        declared.update(state, click(T0, item), Anywhere())
        if hash64(item) not in expected:
            expected = [*expected, hash64(item)][-600:]
        if n % save == 0:
            assert seen_hashes(declared.split(state)[1], 600).tolist() == expected
            state = saved(declared, state)
    assert seen_hashes(declared.split(state)[1], 600).tolist() == expected
    assert set(state.cells) <= {field.name for field in declared.cells}


def test_one_more_item_rewrites_the_head_and_at_times_a_chunk() -> None:
    declared = Seen(frozenset({"click"}))
    state, before, sizes = declared.new(), dict[str, bytes](), []
    for n in range(6_000):
        declared.update(state, click(T0, f"i{n}"), Anywhere())
        after = dict(declared.split(state)[1])
        changes = changed(before, after)
        assert len(changes) <= 2
        sizes.append(sum(len(cell or b"") for cell in changes.values()))
        before = after
    assert max(sizes) <= 8 * (BLOCK + CHUNK + 1)
    assert sum(sizes) / len(sizes) < 150
    assert len(seen_hashes(before)) == 5_000


@given(logs(), st.lists(st.integers(-1, 50), max_size=30))
def test_applied_is_the_last_place_and_the_latest_time(signals: list[Signal], offsets: list[int]) -> None:
    declared = Applied()
    placed = [s._replace(offset=o) for s, o in zip(signals, offsets, strict=False)]
    known = [s for s in placed if s.offset >= 0]
    last = (known[-1].partition, known[-1].offset) if known else (-1, -1)
    state = run(declared, placed)
    assert declared.values(state, T0) == (*last, max((s.timestamp for s in placed), default=0), *last)
    declared.refuse(state, 3, 77)
    assert declared.values(state, T0)[:2] == last
    assert declared.values(state, T0)[3:] == (3, 77)
    assert declared.due(state, T0) is None


@pytest.mark.parametrize("text", ["", "i1", "\u4e2d\u6587", "x" * 256])
def test_hashes_are_unsigned_64_bit(text: str) -> None:
    assert 0 <= hash64(text) < 2**64


def test_a_hash_is_the_same_for_ever() -> None:
    """Saved state and online rows hold them."""
    assert hash64("i1") == 1410023844262948393
