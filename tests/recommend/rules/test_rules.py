"""Rules over the pipeline: what each kind does on its own, and what holds whatever rules are in force together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.aggregator import ATTRIBUTES
from operators.decay import POPULARITY_ORIGIN
from operators.time import DAY
from recommend.candidate_set import Listed
from recommend.filtering import ItemFilter, ItemFilters
from recommend.pipeline import Answer, Pipeline
from recommend.popular import LENGTH, Popular
from recommend.rankers.popularity import POPULARITY
from recommend.rules.rule_set import RuleSet, compile_all
from recommend.surfaces import SURFACES, home, rank, trending
from recommend.surfaces.email import email
from schemas import rules
from schemas.events import Item
from serving.catalogue import LiveCatalogue
from tests.serving.made import NOW, catalogue, met, person, popular

N = 60
BRANDS = ("A", "B", "C", "D")
ITEMS = [
    Item(
        f"i{k}", f"Title {k}", ["horror" if k % 3 == 0 else "comedy"], BRANDS[k % 4], float(k),
        attributes={
            "series": f"s{k // 2}", "year": 1950 + k,
            **({"min_age": 18} if k % 10 == 0 else {}),
            **({"regions": ["DE", "AT"]} if k % 10 == 1 else {}),
        },
    )
    for k in range(N)
]  # fmt: skip


def stocked() -> LiveCatalogue:
    found = catalogue(ITEMS, {f"i{k}": [1, k / 4, 0, 0] for k in range(N)})
    for region in ("", "DE", "AT", "FR", "A"):
        popular(found, {f"i{k}": (NOW - POPULARITY_ORIGIN) / POPULARITY.half_life + k / 8 for k in range(N)}, region)
    return found


STOCK = stocked()


def rule_set(of: LiveCatalogue, **documents: Mapping[str, Any]) -> RuleSet:
    """The rules by name, `_` for `-`."""
    found = compile_all(
        {name: rules.parse(each) for name, each in documents.items()}, of.columns, ItemFilters(of.columns)
    )
    assert found.faults == {}
    return found


def ask(found: RuleSet, of: LiveCatalogue = STOCK, surface: Any = trending, **others: Any) -> Answer:
    pipeline = Pipeline(of.columns, of.model, rules=lambda: found)
    others.setdefault("cart", of.columns.rows(["i30"]))
    others.setdefault("item", 30)
    return pipeline.recommend(surface, pipeline.query(at=others.pop("at", NOW), explain="full", **others))


def numbers(answer: Answer) -> list[int]:
    assert [stage.failed for stage in answer.trace if stage.stage == "rules" and stage.failed] == []
    return [int(item[1:]) for item in answer.item_ids]


def effects(answer: Answer) -> dict[str, Any]:
    return {each.rule: each for stage in answer.trace for each in stage.rules}


PLAIN = list(range(59, 39, -1))
"""what is trending without rules"""


def test_without_rules_nothing_changes() -> None:
    assert numbers(ask(RuleSet())) == PLAIN
    assert all(stage.stage != "rules" for stage in ask(RuleSet()).trace)


def test_hidden_items_go_and_others_fill_up() -> None:
    answer = ask(rule_set(STOCK, a={"kind": "hide", "where": 'item.brand == "D"'}))
    assert numbers(answer) == [k for k in range(59, 0, -1) if k % 4 != 3][:20]


@pytest.mark.parametrize("surface", [each for each in SURFACES if not each.reports], ids=lambda s: s.name)
def test_a_hidden_item_is_gone_from_every_surface(surface: Any) -> None:
    shown = set(numbers(ask(RuleSet(), surface=surface, n=N)))
    assert shown >= {59, 58}
    hidden = rule_set(STOCK, a={"kind": "hide", "items": ["i59"]}, b={"kind": "hide", "where": "item.price == 58"})
    left = set(numbers(ask(hidden, surface=surface, n=N)))
    assert left == shown - {58, 59}


@pytest.mark.parametrize("surface", [trending, home], ids=["trending", "home"])
def test_a_list_stays_full_where_rules_hide_all_that_is_popular(surface: Any) -> None:
    n = 3 * LENGTH
    of = catalogue([Item(f"i{k}", price=float(k)) for k in range(n)], {f"i{k}": [1, k, 0, 0] for k in range(n)})
    popular(of, {f"i{k}": (NOW - POPULARITY_ORIGIN) / POPULARITY.half_life + k / n for k in range(n)})
    hide = rule_set(of, a={"kind": "hide", "where": f"item.price >= {LENGTH}"})
    pipeline = Pipeline(of.columns, of.model, Popular(of.columns, lambda: 0.0), rules=lambda: hide)
    answer = pipeline.recommend(surface, pipeline.query(at=NOW))
    assert len(answer.item_ids) == 20
    assert max(numbers(answer)) < LENGTH


def test_promoted_and_buried_items_move_by_places() -> None:
    up = rule_set(STOCK, a={"kind": "promote", "items": ["i50"], "places": 4})
    assert numbers(ask(up))[5] == 50
    down = rule_set(STOCK, a={"kind": "bury", "items": ["i59"], "places": 3})
    assert numbers(ask(down))[:5] == [58, 57, 56, 59, 55]
    end = rule_set(STOCK, a={"kind": "bury", "where": "item.price >= 50"})
    assert numbers(ask(end, n=N))[-10:] == list(range(59, 49, -1))


def test_an_item_that_no_retriever_found_is_promoted_to_the_top() -> None:
    answer = ask(rule_set(STOCK, a={"kind": "promote", "items": ["i0"]}), surface=home)
    assert numbers(answer)[0] == 0
    assert effects(answer)["a"].items == ["i0"]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 1.0])
def test_a_share_is_met_in_every_beginning(share: float) -> None:
    found = numbers(ask(rule_set(STOCK, a={"kind": "promote", "where": "item.price < 20", "share": share})))
    for m in range(1, len(found) + 1):
        assert sum(k < 20 for k in found[:m]) == math.floor(share * m + 1e-9)


def test_of_two_rules_the_one_of_the_higher_priority_has_its_way() -> None:
    pins = {
        "a": {"kind": "pin", "item_id": "i1", "position": 2, "priority": 1},
        "b": {"kind": "pin", "item_id": "i2", "position": 2, "priority": 2},
    }
    assert numbers(ask(rule_set(STOCK, **pins)))[:4] == [59, 58, 2, 57]
    ends = {
        "a": {"kind": "promote", "items": ["i1"], "priority": 2},
        "b": {"kind": "bury", "items": ["i1"], "priority": 1},
    }
    assert numbers(ask(rule_set(STOCK, **ends)))[0] == 1


def test_a_pin_is_shown_to_somebody_who_has_met_the_item() -> None:
    user = person(vector=STOCK.space and [0.5, 0.5, 0.5, 0.5], **met(["i7"]))
    found = ask(rule_set(STOCK, a={"kind": "pin", "item_id": "i7", "position": 3}), surface=home, user=user)
    assert numbers(found)[3] == 7
    assert len(set(numbers(found))) == 20
    unavailable = stocked()
    unavailable.put_item(msgspec.structs.replace(ITEMS[7], available=False))
    rule = rule_set(unavailable, a={"kind": "pin", "item_id": "i7", "position": 3})
    assert 7 not in numbers(ask(rule, unavailable))


def test_a_pin_meets_the_filter_of_the_request_and_is_not_hidden() -> None:
    both = rule_set(STOCK, a={"kind": "pin", "item_id": "i7", "position": 0}, b={"kind": "hide", "items": ["i7"]})
    assert 7 not in numbers(ask(both))
    pin = rule_set(STOCK, a={"kind": "pin", "item_id": "i7", "position": 0})
    only = ItemFilters(STOCK.columns).compile("item.price > 30")
    assert numbers(ask(pin, filter=only))[0] == 59
    assert 30 not in numbers(
        ask(rule_set(STOCK, a={"kind": "pin", "item_id": "i30", "position": 0}), surface=SURFACES[1])
    )


def test_sponsored_positions_are_marked() -> None:
    answer = ask(
        rule_set(STOCK, a={"kind": "sponsor", "where": 'item.brand == "A"', "positions": [1, 4], "label": "Ad"})
    )
    found = numbers(answer)
    assert (found[1], found[4]) == (56, 52)
    marks = answer.query.ruling.marks
    assert {row: mark.label for row, mark in marks.items()} == {56: "Ad", 52: "Ad"}


def test_a_series_is_shown_once_and_the_best_of_it() -> None:
    assert numbers(ask(rule_set(STOCK, a={"kind": "dedupe", "by": "series"}))) == list(range(59, 19, -2))


def test_caps_hold_in_the_answer_and_in_a_window() -> None:
    found = numbers(ask(rule_set(STOCK, a={"kind": "cap", "by": "brand", "most": 2})))
    assert found == PLAIN[:8], "fewer items rather than more of a brand"
    window = numbers(ask(rule_set(STOCK, a={"kind": "cap", "by": "category", "most": 2, "first": 4})))
    assert window[:4] == [59, 58, 57, 54]
    assert window[4:8] == [56, 55, 53, 52], "what had to wait comes next"
    some = numbers(ask(rule_set(STOCK, a={"kind": "cap", "where": "item.price >= 50", "most": 3})))
    assert some == [59, 58, 57, *range(49, 32, -1)]


def test_age_fails_closed() -> None:
    limit = rule_set(STOCK, a={"kind": "age_limit", "attribute": "min_age"})
    assert limit.reads_attributes
    open_to_all = [k for k in PLAIN + list(range(39, 0, -1)) if k % 10]
    for age in ({}, {"age": 17}, {"age": "old"}, {"age": True}):
        user = person(**{ATTRIBUTES: msgspec.msgpack.encode(age)})
        assert numbers(ask(limit, user=user)) == open_to_all[:20]
    adult = person(**{ATTRIBUTES: msgspec.msgpack.encode({"age": 18})})
    assert numbers(ask(limit, user=adult)) == PLAIN


def test_region_fails_closed() -> None:
    limit = rule_set(STOCK, a={"kind": "region_limit", "attribute": "regions"})
    without = [k for k in PLAIN + list(range(39, 0, -1)) if k % 10 != 1]
    assert numbers(ask(limit)) == without[:20]
    assert numbers(ask(limit, region="FR")) == without[:20]
    assert numbers(ask(limit, region="AT")) == PLAIN


def test_a_policy_whose_evaluation_fails_removes_all_and_another_rule_is_skipped(monkeypatch: Any) -> None:
    limit = rule_set(
        STOCK,
        a={"kind": "age_limit", "attribute": "min_age"},
        b={"kind": "hide", "where": "item.brand == request.region"},
    )

    def broken(self: ItemFilter, *arguments: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(ItemFilter, "passes", broken)
    answer = ask(limit, region="A")
    assert answer.item_ids == []
    found = effects(answer)
    assert (found["a"].effect, found["a"].failed) == ("removed all", "ZeroDivisionError")
    assert (found["b"].effect, found["b"].failed) == ("skipped", "ZeroDivisionError")


def test_not_again_for_some_days() -> None:
    user = person([("purchase", "i59"), ("view", "i58"), ("purchase", "i57")])
    user["recent_times"] = [NOW, NOW - DAY, NOW - 9 * DAY]
    days = {"kind": "not_again", "days": 7}
    assert numbers(ask(rule_set(STOCK, a=days), user=user))[:2] == [57, 56]
    assert numbers(ask(rule_set(STOCK, a={**days, "events": ["purchase"]}), user=user))[:2] == [58, 57]
    assert numbers(ask(rule_set(STOCK, a={**days, "items": ["i58"]}), user=user))[:2] == [59, 57]


def test_segments_that_read_the_same_of_a_person_each_have_their_own_result() -> None:
    found = rule_set(
        STOCK,
        a={"kind": "hide", "items": ["i59"], "segment": 'user.country == "DE"'},
        b={"kind": "hide", "items": ["i58"], "segment": 'user.country != "FR"'},
        c={"kind": "hide", "items": ["i57"], "segment": 'user.country == "DE" && request.region == "A"'},
    )
    hidden = {"DE": {59, 58}, "FR": set(), "AT": {58}}
    for country in ("DE", "FR", "AT", "DE", "FR", "AT"):
        user = person([]) | {"profile_attributes": msgspec.msgpack.encode({"country": country})}
        assert {57, 58, 59} - set(numbers(ask(found, user=user, n=N))) == hidden[country], country


CONDITIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"surfaces": ["home"]}, {}),
    ({"regions": ["DE"]}, {"region": "FR"}),
    ({"regions": ["DE"]}, {}),
    ({"devices": ["ios"]}, {"device": "android"}),
    ({"from": NOW + 1}, {}),
    ({"until": NOW}, {}),
    ({"enabled": False}, {}),
    ({"segment": 'user.country == "DE"'}, {}),
    ({"segment": 'request.region == "DE"'}, {"region": "FR"}),
]


@pytest.mark.parametrize(("condition", "request_"), CONDITIONS)
def test_a_rule_whose_condition_is_not_met_does_nothing(condition: dict[str, Any], request_: dict[str, Any]) -> None:
    assert numbers(ask(rule_set(STOCK, a={"kind": "hide", "items": ["i59"], **condition}), **request_)) == PLAIN


def test_a_rule_whose_condition_is_met_is_in_force() -> None:
    rule = {
        "kind": "hide", "items": ["i59"], "surfaces": ["home", "trending"], "regions": ["DE"], "devices": ["ios"],
        "from": NOW, "until": NOW + 1, "segment": 'user.country == "DE"',
    }  # fmt: skip
    user = person(**{ATTRIBUTES: msgspec.msgpack.encode({"country": "DE"})})
    assert numbers(ask(rule_set(STOCK, a=rule), region="DE", device="ios", user=user))[0] == 58


def test_items_that_change_and_come_are_matched_at_once() -> None:
    of = stocked()
    hide = rule_set(of, a={"kind": "hide", "where": 'item.brand == "X"'}, b={"kind": "hide", "items": ["late"]})
    assert numbers(ask(hide, of)) == PLAIN
    of.put_item(msgspec.structs.replace(ITEMS[59], brand="X"))
    assert numbers(ask(hide, of)) == [*PLAIN[1:], 39]
    of.put_item(ITEMS[59])
    assert numbers(ask(hide, of)) == PLAIN
    for name in ("late", "i60"):
        of.put_item(Item(name, brand="X" if name == "i60" else "Y"))
        popular(of, {name: (NOW - POPULARITY_ORIGIN) / POPULARITY.half_life + 99})
    assert numbers(ask(hide, of)) == PLAIN


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"kind": "hide", "where": "item.yaer > 3"},
            "where: character 1: item.yaer is not known; did you mean item.year",
        ),
        ({"kind": "hide", "where": "item.year >"}, "where: character"),
        ({"kind": "hide", "items": ["i1"], "segment": "item.year > 3"}, "segment: character 1: a segment is of people"),
        ({"kind": "dedupe", "by": "serie"}, "by: no item has the attribute 'serie'; there are brand, category"),
        ({"kind": "age_limit", "attribute": "age"}, "attribute: no item has the attribute 'age'"),
    ],
)
def test_what_does_not_fit_the_attributes_is_named_with_its_place(rule: dict[str, Any], message: str) -> None:
    found = compile_all({"a": rules.parse(rule)}, STOCK.columns, ItemFilters(STOCK.columns))
    assert found.faults["a"].startswith(message)
    assert found.rules == ()


def test_what_rules_add_is_of_the_category_that_is_asked_for() -> None:
    found = rule_set(
        STOCK,
        a={"kind": "pin", "item_id": "i3", "position": 0},
        b={"kind": "promote", "items": ["i5", "i6"]},
        c={"kind": "pin", "item_id": "i7", "position": 1},
    )
    assert numbers(ask(found, category="comedy"))[:4] == [5, 7, 59, 58]


def test_a_fault_of_the_pipeline_itself_shows_nothing_that_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rule_set(
        STOCK, a={"kind": "hide", "where": "item.price < 10"}, b={"kind": "region_limit", "attribute": "regions"}
    )
    monkeypatch.setattr("recommend.steps.retrieve", lambda *arguments: 1 / 0)
    assert ask(found, surface=home).item_ids == [f"i{k}" for k in range(10, 33) if k % 10 != 1]


# -- whatever rules there are --------------------------------------------------------------------------

sets = st.sampled_from(
    ["item.price < 20", "item.price >= 40", 'item.brand == "A"', '"horror" in item.categories', "item.price == 45"]
)
about = st.builds(lambda where: {"where": where}, sets) | st.builds(
    lambda ids: {"items": [f"i{k}" for k in ids]}, st.lists(st.integers(0, 69), min_size=1, max_size=5, unique=True)
)
places = st.builds(lambda n: {} if n is None else {"places": n}, st.none() | st.integers(1, 50))
one_rule = st.one_of(
    st.builds(lambda a, p: {"kind": "promote", **a, **p}, about, places),
    st.builds(lambda a, s: {"kind": "promote", **a, "share": s}, about, st.sampled_from([0.1, 0.25, 0.5, 1.0])),
    st.builds(lambda a, p: {"kind": "bury", **a, **p}, about, places),
    st.builds(lambda a: {"kind": "hide", **a}, about),
    st.builds(lambda k, p: {"kind": "pin", "item_id": f"i{k}", "position": p}, st.integers(0, 69), st.integers(0, 25)),
    st.builds(
        lambda a, p: {"kind": "sponsor", **a, "positions": p},
        about, st.lists(st.integers(0, 25), min_size=1, max_size=4, unique=True),
    ),
    st.builds(
        lambda by, most, first: {"kind": "cap", "by": by, "most": most, **({"first": first} if first else {})},
        st.sampled_from(["brand", "category", "series"]), st.integers(1, 6), st.none() | st.integers(1, 30),
    ),
    st.builds(lambda a, most: {"kind": "cap", **a, "most": most}, about, st.integers(1, 6)),
    st.just({"kind": "dedupe", "by": "series"}),
)  # fmt: skip
some_rules = st.lists(st.tuples(one_rule, st.integers(0, 3)), max_size=7).map(
    lambda found: {f"r{k}": {**rule, "priority": priority} for k, (rule, priority) in enumerate(found)}
)


def matching(rule: Mapping[str, Any]) -> set[str]:
    """What the plainest reading says that the rule is about."""
    tests: dict[str, Any] = {
        "item.price < 20": lambda i: i.price < 20,
        "item.price >= 40": lambda i: i.price >= 40,
        'item.brand == "A"': lambda i: i.brand == "A",
        '"horror" in item.categories': lambda i: "horror" in i.categories,
        "item.price == 45": lambda i: i.price == 45,
    }
    if "items" in rule:
        return set(rule["items"])
    return {i.item_id for i in ITEMS if tests[rule["where"]](i)} if "where" in rule else {i.item_id for i in ITEMS}


def groups(item_id: str, by: str | None) -> list[str]:
    item = ITEMS[int(item_id[1:])]
    if by is None:
        return [""]
    return {"brand": [item.brand], "category": item.categories, "series": [item.attributes["series"]]}[by]  # type: ignore[return-value]


@given(some_rules, st.sampled_from([each for each in SURFACES if not each.reports]), st.sampled_from([1, 5, 20]))
def test_whatever_rules_are_in_force(found: dict[str, dict[str, Any]], surface: Any, n: int) -> None:
    plain = ask(RuleSet(), surface=surface, n=N)
    answer = ask(rule_set(STOCK, **found), surface=surface, n=n)
    ids = answer.item_ids
    assert [stage.failed for stage in answer.trace if stage.stage == "rules" and stage.failed] == []
    assert len(ids) == len(set(ids)), "no item twice"
    assert set(ids) <= set(plain.item_ids), "nothing that may not be shown"
    for rule in found.values():
        if rule["kind"] == "hide":
            assert not matching(rule) & set(ids), "what is hidden is not shown"
        if rule["kind"] in ("cap", "dedupe"):
            counts = Counter(
                group
                for item in ids[: rule.get("first", n)]
                if item in matching(rule)
                for group in groups(item, rule.get("by"))
            )
            assert max(counts.values(), default=0) <= rule.get("most", 1), "no cap is exceeded"
    done = effects(answer)
    pins = {name: rule for name, rule in found.items() if name in done and rule["kind"] == "pin"}
    for name, rule in pins.items():
        if done[name].effect == "pinned" and rule["position"] < len(ids) and len(ids) == min(n, len(plain.item_ids)):
            assert ids[rule["position"]] == rule["item_id"]
    marks = {answer.query.columns.ids[row] for row in answer.query.ruling.marks}
    sponsored = {item for rule in found.values() if rule["kind"] == "sponsor" for item in matching(rule)}
    assert marks <= sponsored
    if not any(rule["kind"] in ("cap", "dedupe", "hide") for rule in found.values()):
        assert len(ids) == min(n, len(plain.item_ids)), "no item is lost"


@given(st.lists(some_rules, min_size=1, max_size=3), st.booleans())
def test_what_was_known_of_the_same_items_is_right_in_the_next_set(sets: list[Any], changes: bool) -> None:
    """A set that was made of the one before it, between which items changed, decides as one that was made anew."""
    made, found = stocked(), RuleSet()
    filters = ItemFilters(made.columns)
    for number, each in enumerate(sets):
        parsed = {name: rules.parse(rule) for name, rule in each.items()}
        found = compile_all(parsed, made.columns, filters, found)
        if changes:
            made.put_item(Item(f"i{number}", "", ["horror"], "A", 45.0))
            made.put_item(Item(f"more{number}", "", ["comedy"], "B", 5.0))
        if found.matches is None:
            continue
        anew = compile_all(parsed, made.columns, ItemFilters(made.columns)).matches
        assert anew is not None
        rows = np.arange(made.columns.n)
        assert (found.matches.bits(rows, number * 60).packed == anew.bits(rows, 0).packed).all()


def test_rules_of_a_surface_are_in_force_there_and_not_where_its_parts_are_used() -> None:
    of_email = rule_set(STOCK, a={"kind": "hide", "items": ["i59"], "surfaces": ["email"]})
    of_home = rule_set(STOCK, a={"kind": "hide", "items": ["i59"], "surfaces": ["home"]})
    shown = {
        (surface.name, name): 59 in numbers(ask(found, surface=surface, n=N))
        for surface in (home, email)
        for name, found in (("email", of_email), ("home", of_home))
    }
    assert shown == {
        ("home", "email"): True, ("home", "home"): False, ("email", "email"): False, ("email", "home"): True,
    }  # fmt: skip


def test_a_list_of_the_callers_own_stays_whole_whatever_rules_ask_for() -> None:
    found = rule_set(
        STOCK, a={"kind": "sponsor", "items": ["i50"], "positions": [0]}, b={"kind": "cap", "by": "brand", "most": 1},
        c={"kind": "pin", "item_id": "i51", "position": 1}, d={"kind": "promote", "items": ["i52"]},
    )  # fmt: skip
    own = STOCK.columns.rows([f"i{k}" for k in range(12)])
    assert sorted(numbers(ask(found, surface=rank, n=12, given=own))) == list(range(12))


def test_a_cap_holds_on_a_page_that_takes_up_what_is_new() -> None:
    """No more than n are left on the list, so that others are found; they count as well."""
    found = rule_set(STOCK, a={"kind": "cap", "by": "brand", "most": 1})
    left = STOCK.columns.rows(["i40", "i41"])
    listed = Listed(left, np.ones(2, np.uint32))
    shown = numbers(ask(found, n=6, depth=200, listed=listed))
    assert len({k % 4 for k in shown}) == len(shown) == 4
    assert {40, 41} <= set(shown)
