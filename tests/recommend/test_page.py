"""Pages of rows: the choice of rows as a property, and whole pages over small catalogues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.shown import ROW, counted_on
from operators.time import DAY
from recommend import page as pages
from recommend.page import SAME, Candidate, Page, arrange
from recommend.page_rows import AGAIN, BECAUSE, FOR_YOU, KINDS, RowKind
from recommend.pipeline import Pipeline
from recommend.query import STRANGER, Query
from recommend.retrievers import New
from recommend.trace import Trace
from schemas.events import Item
from tests.serving.made import NOW, catalogue, met, person, popular

N = 200
ITEMS = [
    Item(
        f"i{k}", f"Title {k}", [f"c{k % 5}"], brand=f"b{k % 3}", created_at=NOW - k * DAY,
        attributes={"on_sale": k % 4 == 0},
    )
    for k in range(N)
]  # fmt: skip
VECTORS = {f"i{k}": [1, k / 40, (k % 5) / 5, 0] for k in range(N)}
SHARES = {"category_affinity": ["c1", "c2"], "category_affinity_scores": [0.6, 0.4]}
RECENT = (("play", "i4"), ("purchase", "i1"), ("click", "i3"))


@pytest.fixture
def world() -> Pipeline:
    of = catalogue(ITEMS, VECTORS)
    popular(of, {f"i{k}": float(k) for k in range(N)})
    popular(of, {f"i{k}": float(N - k) for k in range(N)}, "DE")
    return Pipeline(of.columns, of.model)


def page_of(world: Pipeline, rows: int = 8, per_row: int = 4, kinds: Sequence[RowKind] = KINDS, **about: Any) -> Page:
    query = world.query(**({"at": NOW, "n": per_row} | about))
    return pages.finish(world, pages.begin(world, query, rows, per_row, kinds))


def shown(page: Page) -> list[tuple[str, list[str]]]:
    return [(row.kind.name, row.answer.item_ids) for row in page.rows]


def fan() -> dict[str, Any]:
    return person(RECENT, **met(["i4", "i1", "i3"]), **SHARES, vector=[1.0, 0, 0, 0], vector_space="space-v1")


# -- the choice of rows ----------------------------------------------------------------------------

ROWS = st.lists(st.integers(0, 29), unique=True, max_size=15)
CANDIDATES = st.lists(
    st.tuples(st.sampled_from("abc"), ROWS, st.integers(1, 4), st.randoms(use_true_random=False)), max_size=8
).map(
    lambda found: [
        Candidate(kind, np.array(rows, np.int64), np.array([chance.random() for _ in rows]), least)
        for kind, rows, least, chance in found
    ]
)


@settings(max_examples=300, deadline=None)
@given(CANDIDATES, st.integers(1, 6), st.integers(1, 6))
def test_no_item_twice_no_empty_row_and_the_order_of_each_row_is_kept(
    candidates: list[Candidate], rows: int, per_row: int
) -> None:
    placed = arrange(candidates, rows, per_row, 30)
    items = [candidates[at].rows[positions].tolist() for at, positions, _ in placed]
    together = [row for each in items for row in each]
    assert len(set(together)) == len(together)
    assert all(1 <= len(each) <= per_row for each in items)
    assert all((np.diff(positions) > 0).all() for _, positions, _ in placed)
    assert len(placed) <= rows
    assert len({at for at, _, _ in placed}) == len(placed)
    assert bool(placed) is any(len(each.rows) for each in candidates)
    if len(placed) > 1:
        assert all(len(p) >= min(candidates[at].least, per_row) for at, p, _ in placed)
    assert [(at, p.tolist(), v) for at, p, v in arrange(candidates, rows, per_row, 30)] == [
        (at, p.tolist(), v) for at, p, v in placed
    ]


@settings(max_examples=200, deadline=None)
@given(CANDIDATES, st.integers(1, 6))
def test_each_row_is_the_best_of_those_that_are_left(candidates: list[Candidate], per_row: int) -> None:
    """Against the formula, computed anew for every row and place."""
    placed = arrange(candidates, 8, per_row, 30)
    taken: set[int] = set()
    kinds: list[str] = []
    done: set[int] = set()
    for at, _, value in placed:
        worth = {}
        for other, each in enumerate(candidates):
            left = [k for k, row in enumerate(each.rows.tolist()) if row not in taken][:per_row]
            if other not in done and (len(left) >= min(each.least, per_row) or (not done and left)):
                gained = sum(each.values[k] / np.log2(j + 2) for j, k in enumerate(left))
                worth[other] = gained * SAME ** kinds.count(each.kind)
        assert value == pytest.approx(worth[at])
        if done:
            assert value == pytest.approx(max(worth.values()))
        done.add(at)
        kinds.append(candidates[at].kind)
        left = [row for row in candidates[at].rows.tolist() if row not in taken][:per_row]
        taken |= set(left)


def test_a_second_row_of_a_kind_has_to_be_worth_more() -> None:
    made = [Candidate(kind, np.arange(k * 3, k * 3 + 3), np.full(3, v)) for k, (kind, v) in enumerate(
        [("a", 1.0), ("a", 0.9), ("b", 0.8)]
    )]  # fmt: skip
    assert [at for at, _, _ in arrange(made, 3, 3, 9)] == [0, 2, 1]


# -- pages -----------------------------------------------------------------------------------------


def test_a_page_for_somebody_known(world: Pipeline) -> None:
    page = page_of(world, rows=12, per_row=3, user=fan(), region="DE")
    found = shown(page)
    names = [name for name, _ in found]
    assert {"home", "because_item", "category", "popular_in_region", "trending", "new", "on_sale", "continue"} == set(
        names
    )
    assert names.count("because_item") == names.count("category") == 2
    items = [item for _, ids in found for item in ids]
    assert len(set(items)) == len(items)
    assert page.degraded == []
    titles = {row.plan.title.text for row in page.rows}
    assert {"Because you watched Title 4", "Because you bought Title 1", "More c1", "More c2"} <= titles
    assert dict(found)["continue"] == ["i4", "i3"]
    assert all(int(item[1:]) % 4 == 0 for item in dict(found)["on_sale"])
    unmet = [item for name, ids in found if name not in ("continue", "again") for item in ids]
    assert not {"i4", "i1", "i3"} & set(unmet)


def test_rows_say_why_and_what_they_are_about(world: Pipeline) -> None:
    page = page_of(world, rows=12, per_row=3, user=fan(), explain="full")
    row = next(row for row in page.rows if row.plan.title.text == "Because you watched Title 4")
    reason = row.answer.reasons[0]
    assert reason is not None
    assert (reason.code, reason.item_id) == ("because_item", "i4")
    assert world.columns.ids[row.plan.anchor] == "i4"
    home = next(row for row in page.rows if row.kind is FOR_YOU)
    assert all(reason is not None for reason in home.answer.reasons)
    assert home.answer.detail(0).sources
    without = page_of(world, user=fan(), explain="none")
    assert all(reason is None for row in without.rows for reason in row.answer.reasons)


def test_a_stranger_has_rows_of_nobody(world: Pipeline) -> None:
    page = page_of(world, rows=12, user=STRANGER, region="DE")
    assert {name for name, _ in shown(page)} == {"home", "trending", "popular_in_region", "on_sale"}
    assert all(len(ids) == 4 for _, ids in shown(page))


def test_without_a_model_a_page_is_not_empty() -> None:
    of = catalogue(ITEMS)
    page = page_of(Pipeline(of.columns, None), user=fan())
    assert {"home", "trending"} <= {name for name, _ in shown(page)}
    assert "because_item" not in dict(shown(page))
    assert page.degraded[:2] == ["retrieve", "rank"]


def test_one_item_makes_a_page() -> None:
    of = catalogue([Item("only")], {"only": [1, 0, 0, 0]})
    assert shown(page_of(Pipeline(of.columns, of.model), user=STRANGER))[0][1] == ["only"]


def test_an_empty_catalogue_has_no_row() -> None:
    of = catalogue([])
    assert shown(page_of(Pipeline(of.columns, None), user=STRANGER)) == []


def test_a_page_is_the_same_every_time(world: Pipeline) -> None:
    assert shown(page_of(world, user=fan())) == shown(page_of(world, user=fan()))


def test_a_row_that_fails_is_left_out_and_named(world: Pipeline) -> None:
    def broken(query: Query) -> Any:
        raise RuntimeError

    class BrokenNew(New):
        find = broken  # type: ignore[assignment]

    kinds = [
        replace(kind, surface=replace(kind.surface, retrievers=(BrokenNew(),))) if kind.name == "new" else kind
        for kind in KINDS
    ]
    page = page_of(world, user=fan(), kinds=kinds)
    assert "new" not in dict(shown(page))
    assert page.degraded == ["retrieve", "row:new"]
    assert page.rows


def test_a_kind_that_cannot_be_planned_is_left_out_and_named(world: Pipeline) -> None:
    def plan(query: Query, filters: Any) -> Any:
        raise RuntimeError

    kinds = [replace(kind, plan=plan) if kind.surface is BECAUSE else kind for kind in KINDS]
    page = page_of(world, user=fan(), kinds=kinds)
    assert page.degraded == ["row:because_item"]
    assert page.rows


def test_scoring_that_fails_leaves_a_page(world: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(page: Any, trace: Trace) -> Any:
        raise RuntimeError

    monkeypatch.setattr(pages, "_scored", broken)
    page = page_of(world, user=fan())
    assert page.rows
    assert page.degraded == ["rank"]


def test_scores_are_those_of_the_feed(world: Pipeline) -> None:
    """The one run of the ranker over all rows gives the home row what the feed gives."""
    page = page_of(world, rows=1, per_row=10, kinds=[FOR_YOU], user=fan())
    feed = world.recommend(FOR_YOU.surface, world.query(at=NOW, n=10, depth=10, user=fan()))
    assert page.rows[0].answer.item_ids == feed.item_ids
    assert page.rows[0].answer.scores == pytest.approx(feed.scores)
    assert page.rows[0].answer.features is not None


def test_excluded_and_hidden_items_and_those_of_a_filter_are_in_no_row(world: Pipeline) -> None:
    whole = page_of(world, user=fan(), region="DE")
    out = [item for _, ids in shown(whole) for item in ids][:10]
    rows = np.sort(world.columns.rows(out))
    found = page_of(world, user=fan(), region="DE", excluded=rows)
    assert not set(out) & {item for _, ids in shown(found) for item in ids}
    chosen = world.filters.compile('item.brand == "b2"')
    found = page_of(world, rows=12, user=fan(), region="DE", filter=chosen)
    assert all(int(item[1:]) % 3 == 2 for _, ids in shown(found) for item in ids)
    assert "on_sale" in dict(shown(found))


def test_items_due_are_in_a_row_of_their_own(world: Pipeline) -> None:
    bought = person([("purchase", "i9"), ("purchase", "i9")], **met(["i9"]))
    bought["recent_times"] = [NOW - 30 * DAY, NOW - 60 * DAY]
    found = dict(shown(page_of(world, user=bought)))
    assert found["again"] == ["i9"]
    assert AGAIN.name == "again"


def test_pairs_of_all_candidates_are_asked_for_at_once(world: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[np.ndarray[Any, Any]] = []

    def wanted(self: Any, query: Query, rows: Any) -> dict[str, list[str]]:
        asked.append(rows)
        return {"pairs": ["x"]}

    monkeypatch.setattr(type(FOR_YOU.surface.ranker), "wanted_pairs", wanted)
    begun = pages.begin(world, world.query(at=NOW, user=fan()), 8, 4)
    assert begun.wanted_pairs() == {"pairs": ["x"]}
    assert len(asked) == 1
    assert set(asked[0].tolist()) == {r for _, _, each in begun.begun for r in each.candidates.rows.tolist()}


def test_each_row_counts_as_shown_on_the_surface_whose_stages_and_rules_it_has() -> None:
    for kind in KINDS:
        assert counted_on(ROW + kind.name) == (kind.surface.rules_of or kind.name), kind.name
