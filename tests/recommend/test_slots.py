"""Exploration slots through the whole pipeline: where they are, what fills them, and with which propensity."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from feature_repo import views
from feature_repo.columns import Rows
from operators.bandit_counts import UNKNOWN, policy_name
from operators.contract import Row
from operators.decay import POPULARITY_ORIGIN
from recommend.exploration import Floats
from recommend.filters import Available
from recommend.pipeline import Answer, Pipeline
from recommend.policies import (
    EpsilonGreedy,
    KnownArms,
    LinearThompson,
    LinUcb,
    SlotPolicy,
    Thompson,
    Ucb1,
    Uniform,
)
from recommend.query import Listed, Query
from recommend.rankers import InOrder
from recommend.rerankers import NewSlots
from recommend.retrievers.given import Given
from recommend.rules.rule_set import RuleSet, compile_all
from recommend.slot_context import COLUMNS, CONTEXT_ID
from recommend.slots import ExplorationSlots, logged, seed_of
from recommend.stage import Ranker, Retriever, Scores
from recommend.surface import Surface
from recommend.wording import TEXTS
from schemas import rules
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, pipeline
from training.slots import POLICIES, measure, run, table

OF, N = 40, 10
ITEMS = [Item(f"i{k}", f"Title {k}", [f"c{k % 4}"], f"b{k % 5}", created_at=NOW - 10**9 * k) for k in range(OF)]
SEEDS = 1500
SLOTS = ExplorationSlots(policy=Uniform(), share=0.2, pool=6)


def surface(slots: ExplorationSlots | None = SLOTS) -> Surface:
    return Surface(name="tried", retrievers=(Given(),), filters=(Available(),), ranker=InOrder(), exploration=slots)


def counted(made: Pipeline, **counts: tuple[float, float]) -> None:
    """Sets how often items were shown in slots, and taken."""
    since = (NOW - POPULARITY_ORIGIN) / views.EXPLORED.half_life
    for item, pair in counts.items():
        logs = [math.log2(count) + since if count else UNKNOWN for count in pair]
        made.columns.put_features(Row(views.item_exploration.name, (item,), (*logs, UNKNOWN, [], [], [], [])))


@pytest.fixture
def made() -> Pipeline:
    found = pipeline(catalogue(ITEMS))
    counted(found, i10=(20, 9), i11=(40, 2), i13=(10, 0), i14=(5, 3), i16=(0.5, 0.25))
    return found


def ask(made: Pipeline, seed: int | None = 1, slots: ExplorationSlots | None = SLOTS, **others: Any) -> Answer:
    given = {"at": NOW, "n": N, "given": np.arange(OF), "user": person(), "explain": "none", "seed": seed} | others
    return made.recommend(surface(slots), made.query(**given))


def numbers(answer: Answer) -> list[int]:
    return answer.candidates.rows.tolist()


# -- where the slots are, and what fills them --------------------------------------------------------


def test_slots_are_in_the_middle_of_their_stretches_and_the_last_items_make_room(made: Pipeline) -> None:
    answer = ask(made)
    found, drawn = numbers(answer), answer.query.drawn
    assert drawn is not None
    assert drawn.positions == [2, 7]
    assert [row for place, row in enumerate(found) if place not in drawn.positions] == list(range(8))
    assert found[2] in range(8, 30)
    assert found[7] in range(8, 30)
    assert len(set(found)) == N


def test_each_slot_has_arms_of_its_own(made: Pipeline) -> None:
    at = {place: {numbers(ask(made, seed))[place] for seed in range(200)} for place in (2, 7)}
    assert at == {2: set(range(10, 22, 2)), 7: set(range(11, 22, 2))}


def test_the_same_seed_draws_the_same(made: Pipeline) -> None:
    assert numbers(ask(made, 5)) == numbers(ask(made, 5))
    assert len({tuple(numbers(ask(made, seed))) for seed in range(20)}) > 5
    assert seed_of("r1") == seed_of("r1") != seed_of("r2")


@pytest.mark.parametrize(
    "others",
    [
        {"seed": None}, {"diversity": 0.0}, {"n": 2}, {"given": np.arange(N)}, {"slots": None},
        {"slots": replace(SLOTS, share=0)},
    ],
)  # fmt: skip
def test_nothing_is_drawn(made: Pipeline, others: dict[str, Any]) -> None:
    answer = ask(made, **others)
    assert numbers(answer) == list(range(len(answer.candidates)))
    assert logged(answer.query, N) == {}


def test_items_that_are_known_well_are_no_arms(made: Pipeline) -> None:
    made.columns.events_7d[10:25] = 20
    assert {numbers(ask(made, seed))[2] for seed in range(100)} == set(range(25, 37, 2))
    assert {numbers(ask(made, seed, replace(SLOTS, few=None)))[2] for seed in range(100)} == set(range(10, 22, 2))


def test_reasons_and_the_trace_say_what_was_explored(made: Pipeline) -> None:
    with_reasons = ask(made, explain="full", language="de")
    drawn = with_reasons.query.drawn
    assert drawn is not None
    codes = [None if reason is None else reason.code for reason in with_reasons.reasons]
    assert [place for place, code in enumerate(codes) if code == "exploration"] == drawn.positions
    assert with_reasons.reasons[2].text == TEXTS["de"]["exploration"]  # type: ignore[union-attr]
    (record,) = [stage for stage in with_reasons.trace if stage.stage == "exploration"]
    assert record.explored == {f"i{numbers(with_reasons)[place]}": round(1 / 6, 6) for place in drawn.positions}
    assert record.moved > 0
    assert set(ask(made).reasons) == {None}


@dataclass(frozen=True, kw_only=True)
class Broken(SlotPolicy):
    def unmixed(self, arms: KnownArms) -> Floats:
        return np.full(len(arms.counts), 0.5)


def test_a_policy_that_fails_leaves_the_answer_as_it_was(made: Pipeline) -> None:
    answer = ask(made, slots=replace(SLOTS, policy=Broken()))
    assert numbers(answer) == list(range(N))
    assert answer.degraded == ["rerank"]
    assert logged(answer.query, N) == {}


def test_pages_have_slots_of_their_own_and_repeat_nothing(made: Pipeline) -> None:
    first = ask(made, depth=30)
    later = ask(made, 2, depth=30, listed=Listed(first.rest.rows, first.rest.sources))
    assert not set(numbers(first)) & set(numbers(later))
    assert set(numbers(first)) | set(first.rest.rows.tolist()) == set(range(30))
    assert later.query.drawn is not None


def test_the_last_page_of_a_list_has_all_that_is_left_of_it(made: Pipeline) -> None:
    listed = Listed(np.arange(20, 20 + N), np.ones(N, np.uint32))
    for seed in range(20):
        answer = ask(made, seed, depth=30, listed=listed)
        assert numbers(answer) == list(range(20, 20 + N))
        assert answer.query.drawn is None


def test_arms_have_places_on_the_list_that_pages_are_cut_from(made: Pipeline) -> None:
    made.columns.events_7d[:30] = 20
    answer = ask(made, depth=15)
    assert {numbers(answer)[2], numbers(answer)[7]} <= set(range(30, 36))


@pytest.mark.parametrize("wrong", [{"share": 0.6}, {"share": -0.1}, {"pool": 0}])
def test_slots_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="share"):
        replace(SLOTS, **wrong)


@pytest.mark.parametrize(
    ("declare", "field"),
    [
        (lambda: Uniform(floor=1.5), "floor"),
        (lambda: EpsilonGreedy(epsilon=3), "epsilon"),
        (lambda: EpsilonGreedy(epsilon=math.nan), "epsilon"),
        (lambda: Ucb1(width=-1), "width"),
        (lambda: Thompson(prior=(0.5, 1)), "prior"),
        (lambda: Thompson(prior=(1, math.inf)), "prior"),
        (lambda: Thompson(prior=(1, 1, 1)), "prior"),  # type: ignore[arg-type]
        (lambda: LinUcb(width=math.inf), "width"),
        (lambda: LinearThompson(noise=0), "noise"),
        (lambda: LinearThompson(floor=-1), "floor"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_where_it_is_declared(
    declare: Callable[[], SlotPolicy], field: str
) -> None:
    with pytest.raises(ValueError, match=f"{field} is"):
        declare()


@dataclass(frozen=True, kw_only=True)
class NewOnes(Retriever):
    name: str = "new"
    quota: int = 10

    def find(self, query: Query) -> Rows:
        return np.arange(190, 200)


@dataclass(frozen=True, kw_only=True)
class ByRow(Ranker):
    name: str = "by_row"

    def score(self, query: Query, rows: Rows) -> Scores:
        return Scores(-rows.astype(np.float32)[:, None])


@pytest.mark.parametrize("n", [10, 11, 20, 30, 31, 32, 40, 100])
def test_new_items_keep_their_places(n: int) -> None:
    catalogue_of = [Item(f"i{k}", f"Title {k}", [f"c{k % 4}"], created_at=NOW - 10**9 * (200 - k)) for k in range(200)]
    made = pipeline(catalogue(catalogue_of))
    plain = Surface(
        name="tried", retrievers=(Given(), NewOnes()), filters=(Available(),), ranker=ByRow(), rerankers=(NewSlots(),),
    )  # fmt: skip
    answers = [
        made.recommend(
            replace(plain, exploration=slots), made.query(at=NOW, n=n, given=np.arange(190), user=person(), seed=3)
        )
        for slots in (None, ExplorationSlots(policy=Uniform(), few=None))
    ]  # fmt: skip
    drawn = answers[1].query.drawn
    assert drawn is not None
    before, after = (
        [place for place, row in enumerate(numbers(answer)) if row >= 190 and (not k or place not in drawn.positions)]
        for k, answer in enumerate(answers)
    )  # fmt: skip
    assert len(before) == int(0.05 * n + 0.5)
    assert after == before
    assert len(drawn.positions) == int(0.05 * n + 0.5)


# -- rules ------------------------------------------------------------------------------------------


def ruled(made: Pipeline, **documents: Any) -> RuleSet:
    found = compile_all({name: rules.parse(each) for name, each in documents.items()}, made.columns, made.filters)
    assert found.faults == {}
    return found


def test_what_rules_have_placed_stays_and_what_they_move_is_not_explored(made: Pipeline) -> None:
    in_force = ruled(
        made,
        pinned={"kind": "pin", "item_id": "i30", "position": 2},
        buried={"kind": "bury", "where": '"c0" in item.categories'},
    )
    plain = numbers(ask(made, None, rules=in_force))
    for seed in range(100):
        answer = ask(made, seed, rules=in_force)
        found, drawn = numbers(answer), answer.query.drawn
        assert drawn is not None
        assert found[2] == 30
        assert 2 not in drawn.positions
        explored = [found[place] for place in drawn.positions]
        assert all(row % 4 for row in explored), "c0 is buried"
        assert [row for row in found if row not in explored] == [row for row in plain if row in found]


def test_no_cap_is_exceeded(made: Pipeline) -> None:
    in_force = ruled(made, few={"kind": "cap", "by": "category", "most": 3})
    for seed in range(100):
        answer = ask(made, seed, rules=in_force)
        assert max(Counter(row % 4 for row in numbers(answer)).values()) <= 3
        assert answer.query.drawn is None or len(answer.query.drawn.positions) == 1


# -- propensities -------------------------------------------------------------------------------------

LEARNING: list[SlotPolicy] = [
    Uniform(), EpsilonGreedy(epsilon=0.3), Ucb1(), Thompson(), LinUcb(floor=0.3), LinearThompson(),
]  # fmt: skip


def within(share: float, p: float) -> bool:
    """Five standard deviations of a share of SEEDS draws: 240 of them are looked at."""
    return abs(share - p) <= 5 * math.sqrt(p * (1 - p) / SEEDS) + 1e-9


@pytest.mark.parametrize("policy", LEARNING, ids=lambda policy: type(policy).__name__)
def test_an_item_stands_at_its_place_as_often_as_its_propensity_says(made: Pipeline, policy: SlotPolicy) -> None:
    slots = replace(SLOTS, policy=policy)
    model = np.eye(len(COLUMNS)) * 20, np.array([2.0, 0, 1, 1, -1])
    key = policy_name("tried", CONTEXT_ID, len(COLUMNS))
    values = NOW, 20.0, model[0].ravel().tolist(), model[1].tolist()
    made.columns.put_features(Row(views.policy_model.name, (key,), values))
    counts: Counter[tuple[int, int]] = Counter()
    said: dict[tuple[int, int], float] = {}
    for seed in range(SEEDS):
        answer = ask(made, seed, slots)
        propensities = logged(answer.query, N)["propensities"]
        for place in zip(range(N), numbers(answer), strict=True):
            counts[place] += 1
            assert said.setdefault(place, propensities[place[0]]) == propensities[place[0]]
    assert {place for place, p in said.items() if p == 1} >= {(0, 0), (1, 1), (3, 2), (9, 7)}
    for place, p in said.items():
        assert within(counts[place] / SEEDS, p), (place, p)
    for slot in (2, 7):
        assert sum(p for (place, _), p in said.items() if place == slot) == pytest.approx(1, abs=0.05)


def test_a_linear_policy_logs_its_contexts_and_others_none(made: Pipeline) -> None:
    answer = ask(made, slots=replace(SLOTS, policy=LinUcb()), user=person(interests=["c1"]))
    fields = logged(answer.query, N)
    found = np.frombuffer(fields["contexts"], "<f4").reshape(2, len(COLUMNS))
    assert fields["context_id"] == CONTEXT_ID
    assert found[:, 0].tolist() == [1, 1]
    rows: Rows = answer.candidates.rows[fields["explored"]]
    assert found[:, 2].tolist() == [float(row % 4 == 1) for row in rows.tolist()]
    assert "contexts" not in logged(ask(made).query, N)


def test_thompson_prefers_what_was_taken_and_still_tries_the_rest(made: Pipeline) -> None:
    slots = replace(SLOTS, policy=Thompson())
    shares = Counter(numbers(ask(made, seed, slots))[2] for seed in range(1000))
    assert shares[10] > shares[16] > 0
    assert shares[10] > 300


# -- the simulation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POLICIES)
def test_the_logged_answers_of_a_policy_estimate_another_one(name: str) -> None:
    found = run(POLICIES[name], 1, 0, requests=500, batch=50)
    assert abs(found.estimate - found.truth) < 4 * found.error
    assert found.error < 0.4 * found.truth


def test_policies_earn_more_than_chance() -> None:
    found = measure(requests=300, repeats=3)
    assert list(found) == list(POLICIES)
    for name, figures in found.items():
        low, middle, high = figures["error"]
        assert abs(middle) < 0.5 * figures["truth"], name
        assert figures["within"] is (low <= 0 <= high)
        assert figures["clicks"] < figures["best"]
        if name != "uniform":
            assert figures["gain"][1] > 0, name
    assert table(found).row_count == len(found)
