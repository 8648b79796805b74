"""Places of a list for new items."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommend.candidate_set import CandidateSet
from recommend.rerankers import NewSlots
from recommend.rerankers.new_slots import FEW
from schemas.events import Item
from tests.serving.made import NOW, catalogue, pipeline

SOURCES = "nearest", "new"


def ordered(n: int, new: list[int], events: dict[int, int], of: int = 60, slots: NewSlots | None = None) -> list[int]:
    """Positions chosen of `of` candidates, where those at the positions `new` are new; a later one is newer."""
    made = catalogue([Item(f"i{k}", created_at=NOW - 1000 + k) for k in range(of)])
    for row, count in events.items():
        made.columns.events_7d[row] = count
    bits = np.ones(of, np.uint32)
    bits[new] = 2
    found = CandidateSet(np.arange(of), bits, SOURCES, np.linspace(1, 0, of, dtype=np.float32))
    return (slots or NewSlots()).order(pipeline(made).query(at=NOW, n=n), found).tolist()


def test_one_of_twenty_is_new_and_stands_in_the_middle() -> None:
    order = ordered(20, [40, 50], {})
    assert order == [*range(10), 50, *range(10, 19)]


def test_those_that_fewest_people_met_come_first_and_none_that_many_met() -> None:
    assert ordered(20, [40, 50], {50: 1})[10] == 40
    assert ordered(20, [50], {50: FEW}) == list(range(20))


def test_an_item_that_ranks_by_itself_counts() -> None:
    assert ordered(20, [3, 50], {}) == list(range(20))


@pytest.mark.parametrize(("n", "applies"), [(5, False), (10, True), (20, True)])
def test_short_lists_have_no_slot(n: int, applies: bool) -> None:
    assert NewSlots().applies(pipeline(catalogue([])).query(at=NOW, n=n)) is applies


@given(st.integers(1, 60), st.lists(st.integers(0, 59), unique=True), st.sampled_from([0.05, 0.2, 1.0]))
def test_nothing_comes_twice_and_the_share_is_kept(n: int, new: list[int], share: float) -> None:
    slots = NewSlots(share=share)
    order = ordered(n, new, {}, slots=slots)
    assert len(order) == len(set(order)) == n
    already = sum(position < n for position in new)
    assert sum(position in new for position in order) == min(max(int(share * n + 0.5), already), len(new))
    rest = [position for position in order if position < n]
    assert rest == sorted(rest)
