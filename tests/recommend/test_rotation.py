"""What rests, against a plain reading of the same showings; and what that does to an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.hashes import hash64
from operators.shown import MOST_MS, VISIT, pack
from operators.time import DAY, days
from recommend.query import Explain
from recommend.rotation import OWN, Rotation, resting
from recommend.surface import Surface
from recommend.surfaces.email import email
from recommend.surfaces.home import home
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, pipeline, popular

Entry = tuple[str, int, int]
"""surface, hash of the item, visit"""
ITEMS = [f"i{n}" for n in range(12)]
TWICE = Rotation(after=2, rest=days(7))
PLAIN = replace(home, rerankers=(), rotation=TWICE)


def entries(*shown: tuple[str, float], surface: str = "home") -> list[Entry]:
    """(item, days before NOW)."""
    return [(surface, hash64(item), int(NOW - ago * DAY) // VISIT) for item, ago in shown]


def row(shown: list[Entry], recent: Any = (), **values: Any) -> dict[str, Any]:
    return {**person(recent, **values), "shown_before": pack(shown)}


def rests(user: dict[str, Any], rotation: Rotation = TWICE, at: int = NOW) -> set[str]:
    found = set(resting(user, at, rotation.on("home")).tolist())
    return {item for item in ITEMS if hash64(item) in found}


def test_an_item_rests_after_so_many_visits_and_comes_back_afresh() -> None:
    assert rests(row(entries(("i1", 1), ("i1", 2), ("i2", 1)))) == {"i1"}
    assert rests(row(entries(("i1", 6.9), ("i1", 8)))) == {"i1"}
    assert rests(row(entries(("i1", 7.1), ("i1", 8)))) == set(), "it has rested for seven days"
    assert rests(row(entries(("i1", 0.1), ("i1", 7.2), ("i1", 8)))) == set(), "it counts afresh once it is back"
    assert rests(row(entries(("i1", 1), ("i1", 2), surface="email"))) == set(), "another surface"
    assert rests(row(entries(("i1", 1), surface="page:home") + entries(("i1", 2), surface="page:new"))) == {"i1"}
    both = Rotation(after=2, of=("home", "email"))
    assert rests(row(entries(("i1", 1)) + entries(("i1", 2), surface="email")), both) == {"i1"}


def test_the_half_hour_that_goes_on_counts_for_what_other_surfaces_have_shown_alone() -> None:
    assert rests(row(entries(("i1", 0), ("i1", 1)))) == set(), "a reload gives the same list"
    assert rests(row(entries(("i1", 0), ("i1", 1))), at=NOW + VISIT) == {"i1"}
    both = Rotation(after=2, of=("home", "email"))
    assert rests(row(entries(("i1", 1)) + entries(("i1", 0), surface="email")), both) == {"i1"}


def test_what_was_taken_does_not_rest() -> None:
    shown = entries(("i1", 1), ("i1", 2), ("i2", 1), ("i2", 2))
    assert rests(row(shown, [("click", "i1")])) == {"i2"}
    assert rests(row(shown, [("dislike", "i1")])) == {"i1", "i2"}
    earlier = person([("click", "i1")])
    earlier["recent_times"] = [NOW - 5 * DAY]
    assert rests({**earlier, "shown_before": pack(shown)}) == {"i1", "i2"}, "shown twice since it was taken"


def test_what_was_shown_later_than_the_time_of_the_answer_counts_for_nothing() -> None:
    user = row(entries(("i1", 1), ("i1", 2)))
    assert rests(user, at=NOW - 36 * 3_600_000) == set()


def test_showings_of_this_server_count_once_with_the_stream_s() -> None:
    shown = entries(("i1", 1), ("i2", 1), ("i2", 2))
    assert rests({**row(shown), OWN: pack(shown)}) == {"i2"}
    assert rests({**row(shown), OWN: pack(entries(("i1", 0.5)))}) == {"i1", "i2"}


def plain(shown: list[Entry], after: int, rest: int) -> set[int]:
    """As the module's text says it, item by item."""
    found = set()
    now = NOW // VISIT
    for item in {hashed for _, hashed, _ in shown}:
        visits = sorted({visit for _, hashed, visit in shown if hashed == item and visit < now})
        for k in range(after - 1, len(visits)):
            if visits[k] - visits[k - after + 1] <= rest // VISIT and now - visits[k] < rest // VISIT:
                found.add(item)
    return found


showing = st.tuples(st.sampled_from(ITEMS[:4]), st.integers(-50, 700))


@given(st.lists(showing, max_size=40), st.integers(1, 5), st.integers(1, 10))
@settings(deadline=None)
def test_it_agrees_with_a_plain_reading(shown: list[tuple[str, int]], after: int, rest_days: int) -> None:
    entries = [("home", hash64(item), NOW // VISIT - back) for item, back in shown]
    rotation = Rotation(after=after, rest=days(rest_days))
    assert set(resting(row(entries), NOW, rotation.on("home")).tolist()) == plain(entries, after, rotation.rest)


@pytest.mark.parametrize(
    "wrong", [{"after": 0}, {"after": 6}, {"rest": 1}, {"rest": MOST_MS + 1}, {"rate": 0.0}, {"rate": 1.5}]
)
def test_a_rotation_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"rotation: {next(iter(wrong))}"):
        Rotation(**wrong)


# -- in an answer ------------------------------------------------------------------------------------


def answer(surface: Surface, user: dict[str, Any], n: int = 4, explain: Explain = "reason", **others: Any) -> Any:
    of = catalogue([Item(item, item, ["c"]) for item in ITEMS])
    popular(of, {item: 100.0 - k for k, item in enumerate(ITEMS)})
    found = pipeline(of)
    return found.recommend(surface, found.query(at=NOW, user=user, n=n, explain=explain, user_id="u1", **others))


def test_what_rests_makes_way_and_the_list_stays_full() -> None:
    assert answer(PLAIN, row([])).item_ids == ["i0", "i1", "i2", "i3"]
    shown = entries(*((item, ago) for item in ("i0", "i2") for ago in (1, 2)))
    found = answer(PLAIN, row(shown), explain="full")
    assert found.item_ids == ["i1", "i3", "i4", "i5"]
    record = next(each for each in found.trace if each.stage == "rotation")
    assert (record.moved, sorted(record.rotated)) == (2, ["i0", "i2"])
    assert record.failed is None


def test_where_nothing_else_is_left_what_rests_is_last() -> None:
    shown = entries(*((item, ago) for item in ITEMS[:10] for ago in (1, 2)))
    assert answer(PLAIN, row(shown), 12).item_ids == ["i10", "i11", *ITEMS[:10]]
    every = entries(*((item, ago) for item in ITEMS for ago in (1, 2)))
    assert answer(PLAIN, row(every), 12).item_ids == ITEMS


def test_a_rate_below_one_lowers_by_that_share_of_the_spread() -> None:
    shown = entries(("i0", 1), ("i0", 2))
    soft = replace(PLAIN, rotation=Rotation(after=2, rate=0.9))
    found = answer(soft, row(shown), 12).item_ids
    assert 2 < found.index("i0") < 8
    assert [item for item in found if item != "i0"] == ITEMS[1:]


def test_what_was_mailed_is_not_mailed_again_and_nothing_fills_up() -> None:
    user = row(entries(*((item, 3) for item in ITEMS[:10]), surface="push"))
    found = answer(email, user, 10, explain="full")
    assert sorted(found.item_ids) == ["i10", "i11"]
    assert next(each.removed for each in found.trace if each.stage == "rotation") == 10
    late = row(entries(*((item, 31) for item in ITEMS[:10]), surface="email"))
    assert len(answer(email, late, 10).item_ids) == 10


def test_memory_that_cannot_be_read_rotates_nothing_and_is_shown_and_mails_nothing() -> None:
    broken = {**person(), "shown": b"\xc1"}
    found = answer(PLAIN, broken)
    assert found.item_ids == ["i0", "i1", "i2", "i3"]
    assert next(each.fell_back for each in found.trace if each.stage == "rotation") == "the scores as they were"
    assert answer(email, broken).item_ids == []
