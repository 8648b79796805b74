"""What controls do to an answer: filters that nothing relaxes, scores that fall and rise, slots for what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.controls import IDS, KINDS, TARGETS, TIMES
from recommend import controls, explore, steer
from recommend.filtering import ItemFilters
from recommend.filters import NotHidden, NotRefused
from recommend.filters.everywhere import filters_of
from recommend.pipeline import Answer
from recommend.query import Query
from recommend.retrievers import AskedFor
from recommend.stage import StageError
from recommend.surfaces import SURFACES, home, rank, trending
from schemas.events import Item
from tests.serving.made import NOW, catalogue, met, person, pipeline, popular

GENRES = ("comedy", "drama", "horror", "western")
ITEMS = [Item(f"i{k:02}", f"Film {k}", [GENRES[k % 4]], f"studio {k % 3}") for k in range(40)]
VECTORS = {item.item_id: [float(k % 4 == g) + 0.01 * k for g in range(4)] for k, item in enumerate(ITEMS)}


def row(*said: tuple[str, str], ago: Sequence[int] = (), **user: Any) -> dict[str, Any]:
    """A person's row with these controls, (kind, target), newest first, a second apart."""
    times = [NOW - (ago[n] if n < len(ago) else 1000 * (n + 1)) for n in range(len(said))]
    return person(**user) | {
        IDS: [f"c{n}" for n in range(len(said))], KINDS: [kind for kind, _ in said],
        TARGETS: [target for _, target in said], TIMES: times,
    }  # fmt: skip


OF = catalogue(ITEMS, VECTORS)
popular(OF, {item.item_id: -float(k) for k, item in enumerate(ITEMS)})
COMEDY_FAN = {
    "recent": [("like", "i00"), ("like", "i04")], "category_affinity": ["comedy"], "category_affinity_scores": [1.0],
    **met(["i00", "i04"]),
}  # fmt: skip


def query(*said: tuple[str, str], n: int = 10, ago: Sequence[int] = (), **more: Any) -> Query:
    user = {name: more.pop(name) for name in list(more) if name not in Query.__dataclass_fields__}
    return pipeline(OF).query(at=NOW, n=n, user=controls.with_interests(row(*said, ago=ago, **user)), **more)


def answered(surface: Any, *said: tuple[str, str], **more: Any) -> Answer:
    return pipeline(OF).recommend(surface, query(*said, **more))


def genres(answer: Answer) -> list[str]:
    return [ITEMS[int(item_id[1:])].categories[0] for item_id in answer.item_ids]


# -- what is asked ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([("more_category", "a"), ("not_category", "a")], ["more_category"]),
        ([("not_category", "a"), ("more_category", "a"), ("interest", "a")], ["not_category"]),
        ([("interest", "a"), ("more_category", "a")], ["interest", "more_category"]),
        ([("not_category", "b"), ("more_category", "a")], ["not_category", "more_category"]),
        ([("more_brand", "a"), ("not_category", "a")], ["more_brand", "not_category"]),
        ([("less_like", "a"), ("hide", "a")], ["less_like", "hide"]),
        ([("not_brand", "a"), ("more_brand", "a"), ("not_brand", "a")], ["not_brand", "not_brand"]),
        ([("what_comes_later", "a"), ("hide", "a")], ["what_comes_later", "hide"]),
    ],
)
def test_of_one_category_or_brand_the_last_word_holds(said: list[tuple[str, str]], expected: list[str]) -> None:
    assert [each.kind for each in controls.asked(row(*said))] == expected


def test_an_undo_brings_back_what_was_said_before() -> None:
    user = row(("undo", "c1"), ("more_category", "a"), ("not_category", "a"))
    assert [each.kind for each in controls.asked(user)] == ["not_category"]


def test_interests_by_controls_are_added_to_those_of_the_profile() -> None:
    said = ("interest", "western"), ("not_category", "drama"), ("interest", "horror"), ("interest", "comedy")
    found = controls.with_interests(row(*said, interests=["comedy", "drama"]))
    assert found["interests"] == ["comedy", "horror", "western"]
    stranger = person()
    assert controls.with_interests(stranger) is stranger


# -- what is out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "surface", [surface for surface in SURFACES if not surface.reports], ids=lambda surface: surface.name
)
def test_what_is_hidden_or_refused_is_in_no_answer_even_where_nothing_else_is_left(surface: Any) -> None:
    said = [("hide", f"i{k:02}") for k in range(0, 40, 4)]
    said += [("not_category", "drama"), ("not_brand", "studio 0"), ("not_brand", "studio 1"), ("not_brand", "studio 2")]
    about = {"item": 0, "cart": np.array([0], np.int64)}
    assert answered(surface, *said, n=20, **about).item_ids == []
    few = answered(surface, *said[:-1], n=20, **about)
    assert set(few.item_ids) <= {i.item_id for i in ITEMS if i.brand == "studio 2" and i.categories[0] in GENRES[2:]}
    assert few.item_ids
    assert few.degraded == answered(surface, n=20, **about).degraded


def test_a_list_of_the_callers_own_is_marked() -> None:
    found = answered(rank, ("hide", "i00"), ("not_category", "drama"), given=np.arange(3), n=3)
    assert {OF.columns.ids[row]: names for row, names in found.marks.items()} == {"i00": ["hidden"], "i01": ["refused"]}


def test_a_refusal_still_fills_the_list() -> None:
    found = answered(home, ("not_category", "comedy"), **COMEDY_FAN, n=20)
    assert len(found.item_ids) == 20
    assert "comedy" not in genres(found)


@given(
    st.lists(st.tuples(st.sampled_from(["hide", "not_category", "not_brand"]), st.integers(0, 45)), max_size=8),
)
def test_the_mask_of_all_rows_and_the_filters_say_the_same_as_a_plain_reading(said: list[tuple[str, int]]) -> None:
    named = {"hide": "i{:02}", "not_category": "c{}", "not_brand": "b{}"}
    many = [f"c{n}" for n in range(20)]
    items = [
        Item(f"i{k:02}", categories=(many[k % 7 :][: k % 11]), brand=None if k % 5 == 0 else f"b{k % 4}")
        for k in range(40)
    ]
    of = catalogue(items)
    controls_ = [(kind, named[kind].format(n if kind == "hide" else n % 20)) for kind, n in said]
    q = pipeline(of).query(at=NOW, user=row(*controls_))
    out = {kind: {target for of_kind, target in controls_ if of_kind == kind} for kind in named}
    expected = [
        item.item_id not in out["hide"]
        and out["not_category"].isdisjoint(item.categories)
        and item.brand not in out["not_brand"]
        for item in items
    ]
    rows = np.arange(40)
    assert q.allowed.tolist() == expected
    assert (NotHidden().keep(q, rows) & NotRefused().keep(q, rows)).tolist() == expected
    assert q.columns.available.all(), "the columns themselves are as they were"


def test_a_control_and_a_filter_are_both_in_force() -> None:
    chosen = ItemFilters(OF.columns).compile('"comedy" in item.categories')
    found = answered(home, ("hide", "i08"), ("not_brand", "studio 0"), filter=chosen, n=40)
    assert found.item_ids
    assert all(k % 4 == 0 and k % 3 and k != 8 for k in (int(i[1:]) for i in found.item_ids))


def test_a_filter_that_fails_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise StageError("broken")

    monkeypatch.setattr(NotHidden, "keep", fail)
    found = answered(home, ("hide", "i00"), n=5)
    assert "i00" not in found.item_ids
    assert found.degraded == ["filter"]
    (record,) = [stage for stage in found.trace if stage.stage == "hidden" and stage.fell_back]
    assert record.fell_back == "closed: none stays"


def test_controls_that_cannot_be_read_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = query(n=5)
    broken.user = {**broken.user, IDS: ["c1"], KINDS: [], TARGETS: [], TIMES: []}
    found = pipeline(OF).recommend(home, broken)
    assert found.item_ids == []
    assert found.degraded


# -- what is moved ---------------------------------------------------------------------------------


def places(answer: Answer, genre: str) -> float:
    """The mean place of the genre's items; the length of the list stands for one without any."""
    found = [place for place, name in enumerate(genres(answer)) if name == genre]
    return float(np.mean(found)) if found else float(len(answer.item_ids))


@pytest.mark.parametrize("surface", [home, trending], ids=lambda surface: surface.name)
def test_less_like_an_item_lowers_what_is_near_to_it(surface: Any) -> None:
    plain = answered(surface, n=36)
    less = answered(surface, ("less_like", "i00"), n=36)
    assert places(less, "comedy") > places(plain, "comedy") + 5
    assert set(less.item_ids) == set(plain.item_ids) or len(less.item_ids) == 36


@pytest.mark.parametrize("surface", [home, trending], ids=lambda surface: surface.name)
@pytest.mark.parametrize("said", [("more_category", "western"), ("interest", "western")])
def test_more_of_a_category_raises_it(surface: Any, said: tuple[str, str]) -> None:
    assert places(answered(surface, said, n=20), "western") < places(answered(surface, n=20), "western")


def test_more_of_a_brand_raises_it() -> None:
    brand = [int(item_id[1:]) % 3 for item_id in answered(trending, ("more_brand", "studio 2"), n=10).item_ids]
    assert brand.count(2) > 6


def test_more_of_what_no_source_has_brings_it_in() -> None:
    """Beyond the 1,000 most popular items and near to nothing: only a source of its own finds it."""
    rare = [Item(f"r{k}", f"Rare {k}", ["rare"], "tiny") for k in range(3)]
    of = catalogue([*(Item(f"p{k}", f"P {k}", ["common"]) for k in range(1200)), *rare])
    popular(of, {f"p{k}": float(k) for k in range(1200)})
    for said in (("more_category", "rare"), ("more_brand", "tiny"), ("interest", "rare")):
        q = pipeline(of).query(at=NOW, n=10, user=row(said))
        found = pipeline(of).recommend(home, q)
        assert {"r0", "r1", "r2"} <= set(found.item_ids), said


def test_brands_that_are_asked_for_are_looked_up_without_a_scan_of_the_catalogue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def scans(*given: Any, **others: Any) -> Any:
        raise AssertionError("a list of all items is made")

    q = query(("more_brand", "studio 2"), ("more_brand", "studio 1"))
    monkeypatch.setattr(q.popular, "everywhere", scans)
    brands = q.columns.brand[AskedFor().find(q)]
    codes = [q.columns.brand_codes[f"studio {k}"] for k in (1, 2)]
    assert sorted(set(brands.tolist())) == sorted(codes)
    assert brands[:6].tolist() == [brands[0], brands[1]] * 3, "in turn"


def test_likeness_is_that_of_the_formula() -> None:
    q = query(("less_like", "i05"))
    rows = np.arange(40)
    vectors = q.vectors(rows)
    for k in (0, 1, 5, 9, 22):
        share = float(k % 4 == 1)
        expected = 1.0 if k == 5 else (max(0.0, float(vectors[k] @ vectors[5])) + share) / 2
        assert steer.likeness(q, rows, q.controls.less_like)[k] == pytest.approx(expected, abs=1e-6)


def test_likeness_without_a_model_is_that_of_categories() -> None:
    items = [Item("a", categories=["x", "y"]), Item("b", categories=["y", "z"]), Item("c"), Item("d", categories=["q"])]
    q = pipeline(catalogue(items)).query(at=NOW, user=row(("less_like", "a")))
    assert steer.likeness(q, np.arange(4), q.controls.less_like) == pytest.approx([1, 1 / 3, 0, 0])


def test_scores_are_moved_by_shares_of_their_spread() -> None:
    q = query(("more_category", "western"), ("interest", "horror"), ("less_like", "i00"))
    scores = np.linspace(3, 1, 40, dtype=np.float32)
    found = steer.Steering().adjusted(q, np.arange(40), scores)
    change = steer.MORE * steer.asked(q, np.arange(40)) - steer.likeness(q, np.arange(40), q.controls.less_like)
    assert found == pytest.approx(scores + 2 * change, abs=1e-5)
    assert steer.asked(q, np.array([3, 2, 1])).tolist() == [1.0, 0.5, 0.0]
    same = np.full(3, 7, np.float32)
    assert steer.Steering().adjusted(q, np.array([3, 2, 1]), same)[0] == pytest.approx(7.5, abs=0.3)


def test_scores_stay_where_steering_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = answered(trending, n=10)
    monkeypatch.setattr(steer.Steering, "adjusted", lambda self, q, rows, scores: scores * np.nan)
    found = answered(trending, ("more_category", "western"), n=10)
    assert found.item_ids == plain.item_ids
    assert found.degraded == ["rank"]
    assert found.trace[-1].fell_back == "the scores as they were"


# -- exploring -------------------------------------------------------------------------------------


def test_exploring_gives_a_third_of_the_slots_to_unknown_categories() -> None:
    fan = {"category_affinity": ["comedy", "drama", "horror"], "category_affinity_scores": [0.5, 0.3, 0.2]}
    plain = genres(answered(trending, n=12, **fan))
    found = genres(answered(trending, ("explore", ""), n=12, **fan))
    assert plain.count("western") == 3
    assert [place for place, genre in enumerate(found) if genre == "western"] == [2, 5, 8, 11]
    rest = [genre for genre in found if genre != "western"]
    assert rest == [genre for genre in genres(answered(trending, n=40, **fan)) if genre != "western"][:8]


def test_exploring_ends_after_an_hour() -> None:
    fan = {"category_affinity": ["comedy", "drama", "horror"], "category_affinity_scores": [0.5, 0.3, 0.2]}
    plain = answered(trending, n=12, **fan).item_ids
    for ago, explores in ((controls.EXPLORE_MS - 1, True), (controls.EXPLORE_MS, False), (-60_000, True)):
        found = answered(trending, ("explore", ""), ago=[ago], n=12, **fan).item_ids
        assert (found != plain) is explores, ago


def test_exploring_finds_what_is_far_from_everything() -> None:
    found = answered(home, ("explore", ""), n=9, **COMEDY_FAN)
    assert sum(genre != "comedy" for genre in genres(found)) >= 3
    assert {found.reasons[k].code for k, genre in enumerate(genres(found)) if genre != "comedy"} == {"explore"}  # type: ignore[union-attr]


def test_nothing_moves_where_everything_is_new() -> None:
    assert answered(trending, ("explore", ""), n=12).item_ids == answered(trending, n=12).item_ids
    assert explore.known_codes(query()) == []


# -- reasons, cost ---------------------------------------------------------------------------------


def test_reasons_say_which_control_led_to_an_item() -> None:
    found = answered(home, ("more_category", "western"), ("more_brand", "studio 1"), ("interest", "horror"), n=30)
    texts = {
        item_id: (reason.code, reason.text)
        for item_id, reason in zip(found.item_ids, found.reasons, strict=True)
        if reason
    }
    assert texts["i03"] == ("more_of", "More of western, as you asked")
    assert texts["i01"] == ("more_of", "More of studio 1, as you asked")
    assert texts["i02"] == ("interest", "Because horror is one of your interests")
    assert texts["i05"][0] not in ("more_of", "interest", "explore")


def test_a_person_without_controls_pays_for_no_stage_of_them() -> None:
    q = query(n=5)
    found = pipeline(OF).recommend(home, q)
    ours = {"hidden", "refused", "controls", "explore", "asked_for", "unfamiliar"}
    assert not ours & {stage.stage for stage in found.trace}
    assert q.allowed is q.columns.available or np.shares_memory(q.allowed, q.columns.available)


def test_every_surface_has_the_filters_of_a_person() -> None:
    names = {each.name for each in filters_of(replace(home, filters=()), query(("hide", "i00"), ("not_brand", "x")))}
    assert names == {"hidden", "refused"}


def test_a_mapping_of_a_row_stays_as_it_was() -> None:
    user: Mapping[str, Any] = row(("interest", "western"))
    before = dict(user)
    controls.with_interests(user)
    assert user == before
