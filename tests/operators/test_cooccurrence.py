"""Baskets and co-occurrence against plain counts over the raw log."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import builders, views
from feature_repo.repository import EMPTY, Repository
from operators.contract import Record, Signal
from operators.cooccurrence import BASKET, OF_BASKETS, PARTNER, UNKNOWN, Basket, Cooccurrence
from operators.decay import POPULARITY_ORIGIN
from operators.features import Count
from operators.features import item as item_entity
from operators.item import TOGETHER
from operators.time import DAY, HOUR, MINUTE
from schemas.errors import StateError
from schemas.events import Impression, Interaction, User
from tests.operators.signals import ITEMS, T0, Anywhere, latest, logs, run, saved
from training.replay import KnownItems, Replay

BOUGHT = frozenset({"add_to_cart", "purchase"})
BASKETS = Basket(BOUGHT, gap=30 * MINUTE)
TOGETHER_WITH = Cooccurrence(half_life=30 * DAY)


def signals_of(declared: Basket, log: list[Signal]) -> list[Signal]:
    """The signals of a person's baskets; the state is saved and restored after each interaction."""
    state, found = declared.new(), []
    for signal in log:
        found += declared.take(state, signal)
        state = saved(declared, state)
    return found


def plain_baskets(declared: Basket, log: list[Signal]) -> list[list[Signal]]:
    """The baskets, each with the first signal of each of its items, from the list of all signals."""
    baskets: list[list[Signal]] = []
    members: list[Signal] = []
    id = ""
    for s in log:
        if s.event_type not in declared.types or not s.item_id:
            continue
        start, last = min((m.timestamp for m in members), default=0), max((m.timestamp for m in members), default=0)
        too_long = s.timestamp > start + declared.longest
        belongs = s.session_id == id if s.session_id else start <= s.timestamp <= last + declared.gap
        if members and belongs and not too_long:
            members.append(s)
            if s.item_id not in {m.item_id for m in baskets[-1]}:
                baskets[-1].append(s)
        elif s.timestamp > last:
            members, id = [s], s.session_id or f"s-{s.timestamp}"
            baskets.append([s])
    return baskets


# -- baskets ---------------------------------------------------------------------------------------


@given(logs(tuple(BOUGHT) * 3 + ("click",)))
def test_signals_are_those_of_plain_baskets(log: list[Signal]) -> None:
    baskets = plain_baskets(BASKETS, log)
    found = signals_of(BASKETS, log)
    own = Counter(s.item_id for s in found if s.event_type == BASKET)
    assert own == Counter(s.item_id for basket in baskets for s in basket)
    pairs = Counter((s.item_id, partner) for s in found for partner in s.partners)
    expected: Counter[tuple[str, str]] = Counter()
    for basket in baskets:
        for a, b in combinations([s.item_id for s in basket], 2):
            expected[a, b] += 1
            expected[b, a] += 1
    assert pairs == expected


def test_an_interaction_costs_no_more_in_a_large_basket() -> None:
    declared = Basket(BOUGHT, gap=HOUR, most=5)
    log = [Signal("purchase", T0 + n, f"i{n}") for n in range(100)]
    state = declared.new()
    sent = [declared.take(state, signal) for signal in log]
    assert max(map(len, sent)) == 1 + 5
    assert max(len(s.partners) for signals in sent for s in signals) == 5
    assert sent[-1][0].partners == ("i94", "i95", "i96", "i97", "i98")
    assert state.items == ["i95", "i96", "i97", "i98", "i99"]


@pytest.mark.parametrize(
    ("second", "together"),
    [
        (Signal("purchase", T0 + 30 * MINUTE, "i2"), True),
        (Signal("purchase", T0 + 30 * MINUTE + 1, "i2"), False),
        (Signal("add_to_cart", T0 + 5 * HOUR, "i2", session_id="s"), True),
        (Signal("purchase", T0 + DAY + 1, "i2", session_id="s"), False),
        (Signal("purchase", T0 + MINUTE, "i2", session_id="t"), False),
        (Signal("purchase", T0 - 1, "i2"), False),
        (Signal("click", T0 + 1, "i2", session_id="s"), False),
        (Signal("purchase", T0 + 1, "", session_id="s"), False),
    ],
)  # fmt: skip
def test_what_belongs_to_a_basket(second: Signal, together: bool) -> None:
    state = BASKETS.new()
    assert BASKETS.take(state, Signal("purchase", T0, "i1", session_id="s")) == [Signal(BASKET, T0, "i1")]
    found = BASKETS.take(state, second)
    at = second.timestamp
    expected = [Signal(BASKET, at, "i2", partners=("i1",)), Signal(PARTNER, at, "i1", partners=("i2",))]
    assert (found == expected) == together
    assert together or not any(s.partners for s in found)


def test_what_is_bought_after_it_was_put_into_the_cart_counts_once() -> None:
    log = [Signal("add_to_cart", T0, "i1"), Signal("add_to_cart", T0 + 1, "i2"), Signal("purchase", T0 + 2, "i1")]
    assert len(signals_of(BASKETS, log)) == 3


def test_a_broken_cell_is_a_state_error() -> None:
    with pytest.raises(StateError, match="basket"):
        BASKETS.join(BASKETS.new().head, {"basket": b"\xc1"})


# -- co-occurrence ---------------------------------------------------------------------------------


@st.composite
def of_one_item(draw: st.DrawFn) -> list[Signal]:
    """Signals of i0, in any order."""
    rng, clock, found = random.Random(draw(st.integers(0, 2**32))), T0, []
    for _ in range(draw(st.integers(0, 40))):
        clock += rng.choice([0, MINUTE, HOUR, DAY, 60 * DAY])
        others = rng.sample(ITEMS[1:], rng.randrange(4))
        if rng.random() < 0.5:
            found.append(Signal(BASKET, clock, "i0", partners=tuple(others)))
        else:
            found.append(Signal(PARTNER, clock, "i0", partners=tuple(others[:1])))
    rng.shuffle(found)
    return found


def plain(declared: Cooccurrence, signals: list[Signal], at: int) -> tuple[float, dict[str, float]]:
    """Decayed baskets of the item, and with each partner, as of `at`."""

    def left(s: Signal) -> float:
        return math.exp(-math.log(2) * (at - s.timestamp) / declared.half_life)

    pairs: Counter[str] = Counter()
    for s in signals:
        for partner in s.partners:
            pairs[partner] += left(s)  # type: ignore[assignment]
    return math.fsum(left(s) for s in signals if s.event_type == BASKET), dict(pairs)


@pytest.mark.parametrize("half_life", [HOUR, 30 * DAY, 3650 * DAY])
@given(signals=of_one_item())
def test_a_row_is_that_of_plain_decayed_counts(half_life: int, signals: list[Signal]) -> None:
    declared, at = Cooccurrence(half_life=half_life), latest(signals)
    baskets, partners, shares = declared.values(run(declared, signals), at)
    own, pairs = plain(declared, signals, at)
    if not own:  # none, or all decayed to nothing by then
        assert baskets == UNKNOWN or 2.0 ** (baskets - (at - POPULARITY_ORIGIN) / half_life) < 1e-9
        return
    assert 2.0 ** (baskets - (at - POPULARITY_ORIGIN) / half_life) == pytest.approx(own)
    assert all(a >= b for a, b in pairwise(shares))
    assert len(set(partners)) == len(partners)
    found = dict(zip(partners, shares, strict=True))
    for name in pairs.keys() | found.keys():
        assert found.get(name, 0.0) == pytest.approx(min(1.0, pairs.get(name, 0.0) / own), abs=1e-6)


@given(of_one_item(), st.integers(0, 400 * DAY))
def test_a_row_holds_as_time_passes(signals: list[Signal], after: int) -> None:
    state, at = run(TOGETHER_WITH, signals), latest(signals)
    assert TOGETHER_WITH.due(state, at) is None
    assert TOGETHER_WITH.values(state, at + after) == TOGETHER_WITH.values(state, at)


def test_other_signals_change_nothing() -> None:
    state = TOGETHER_WITH.new()
    TOGETHER_WITH.update(state, Signal("purchase", T0, "i0"), Anywhere())
    assert state == TOGETHER_WITH.new()
    assert TOGETHER_WITH.values(state, T0) == (UNKNOWN, [], [])


def test_the_state_is_bounded_and_keeps_the_most_frequent() -> None:
    declared = Cooccurrence(half_life=30 * DAY, top=10, keep=40)
    rng, state, true = random.Random(5), declared.new(), Counter[str]()
    for n in range(4000):
        partner = f"often{rng.randrange(10)}" if rng.random() < 0.5 else f"rare{rng.randrange(5000)}"
        true[partner] += 1
        declared.update(state, Signal(BASKET, T0 + n, "i0", partners=(partner,)), Anywhere())
        assert len(state.partners) <= 50
    _, partners, shares = declared.values(state, T0 + 4000)
    assert set(partners) == {f"often{n}" for n in range(10)}
    for partner, share in zip(partners, shares, strict=True):
        assert share * 4000 == pytest.approx(true[partner], rel=0.01)
    assert all(count <= true[partner] * (1 + 1e-4) for partner, count in state.partners.items())


# -- both, through the operators of the job --------------------------------------------------------


def replayed(events: list[Any], **declared: Any) -> tuple[Replay, dict[str, dict[str, float]]]:
    """The replay, and item → partner → share of the last rows."""
    rows: dict[str, dict[str, float]] = {}

    def emit(row: Any, at: int) -> None:
        if row.view == views.item_cooccurrence.name:
            rows[row.key[0]] = dict(zip(row.values[1], row.values[2], strict=True))

    world = KnownItems()
    replay = Replay(builders.user_operator(world, **declared), builders.item_operator(world, **declared), emit)
    for each in events:
        replay.feed(Record(each))
    return replay, rows


def bought(user: str, *items: str, at: int = T0) -> list[Interaction]:
    return [Interaction(f"{user}-{at}-{i}", "purchase", user, at, i, properties={"region": "DE"}) for i in items]


def test_a_basket_reaches_the_rows_of_its_items() -> None:
    log = bought("u1", "a", "b", "c") + bought("u2", "a", "b") + bought("u1", "d", at=T0 + HOUR)
    _, rows = replayed(log)
    assert rows == {"a": {"b": 1.0, "c": 0.5}, "b": {"a": 1.0, "c": 0.5}, "c": {"a": 1.0, "b": 1.0}, "d": {}}


def test_what_is_refused_makes_no_basket() -> None:
    twice = bought("u1", "a", "b")
    _, rows = replayed(twice + twice)
    assert rows == {"a": {"b": 1.0}, "b": {"a": 1.0}}


def test_a_person_without_consent_makes_no_basket_and_leaves_none() -> None:
    replay, rows = replayed([*bought("u1", "a"), User("u1", consent=False), *bought("u1", "b", at=T0 + 1)])
    assert rows == {"a": {}}
    state = replay.users["u1", ""]
    assert BASKETS.new() in state.parts
    replay.feed(Record(User("u1", consent=True)))
    for each in bought("u1", "c", at=T0 + 2):
        replay.feed(Record(each))
    assert rows == {"a": {}, "c": {}}


def test_signals_of_baskets_are_no_interactions_of_an_item() -> None:
    """Neither those of the main path nor those that declared features count."""
    counted = Count("n", entity=item_entity, window=7 * DAY)
    repository = Repository({item_entity: (counted,)})
    found: dict[str, list[Any]] = {}
    world = KnownItems()
    replay = Replay(
        builders.user_operator(world, declared=repository), builders.item_operator(world, repository),
        lambda row, at: found.setdefault(row.view, []).append(row.values),
    )  # fmt: skip
    log = [*bought("u1", "a", "b"), Impression("r1", "u1", T0, ["a"])]
    for each in log:
        replay.feed(Record(each))
    assert len(found[item_entity.view]) == len(found["item_activity"]) == 3
    assert [values[1:] for values in found[views.item_cooccurrence.name]] == [([], []), (["a"], [1.0]), (["b"], [1.0])]
    assert {part for key, part in replay.items if key == "a"} >= {"", "DE", TOGETHER}


def test_without_a_view_the_signals_of_baskets_change_nothing() -> None:
    *_, items = builders.declared_alone(KnownItems(), EMPTY)
    for event_type in OF_BASKETS:
        assert items.parts("a", Record(Signal(event_type, T0, "a", partners=("b",)))) == ()
