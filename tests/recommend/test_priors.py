"""What profiles say before there are events, and how much the prior counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from feature_repo.columns import Rows
from feature_repo.views import LAST_EVENTS
from operators.aggregator import ATTRIBUTES
from recommend.candidate_set import merge
from recommend.explain import Reasons
from recommend.model import Tables
from recommend.pipeline import Pipeline
from recommend.priors import POPULARITY, PRIORS, TOKENS, VECTORS, difference, difference_of, tokens_of
from recommend.query import Query
from recommend.rankers import Cautious
from recommend.rankers.cautious import HALF, HEAD, SAID, STATED, STRENGTH
from recommend.stage import Ranker, Scores
from recommend.surfaces import home
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person

ITEMS = [Item(f"i{k}", categories=["a"]) for k in range(4)]
VECTORS_OF = {f"i{k}": np.eye(4)[k].tolist() for k in range(4)}
TABLE = {
    POPULARITY: np.array([0, -1, -2, -3], np.float32),
    TOKENS: np.array(["age=1", "gender=f"]),
    VECTORS: np.array([[0, 0, 0, 0.5], [0, 0, 0.5, 0.1]], np.float32),
}


class Flat(Ranker):
    """A ranker to which all candidates are alike."""

    def score(self, query: Query, rows: Rows) -> Scores:
        return Scores(np.zeros((len(rows), 1), np.float32), ("flat",))


def query_of(tables: Tables, **user: Any) -> Query:
    of = catalogue(ITEMS, VECTORS_OF)
    assert of.model is not None
    parts = {home.name: replace(of.model.parts(home.name), tables=tables)}
    return Pipeline(of.columns, replace(of.model, surfaces=parts)).query(at=NOW, user=person(**user))


def prior_of(query: Query) -> npt.NDArray[np.float32]:
    found = Cautious(of=Flat(name="flat")).score(query, np.arange(4))
    assert found.heads == ("flat", HEAD)
    return found.values[:, 1]


def test_tokens_of_a_profile() -> None:
    said = {"age": 34, "gender": "F", "member": True, "cars": 3, "tags": ["x"], "about": "y" * 101, "name": ""}
    assert tokens_of(said) == ["age=2", "gender=f", "member=true"]
    assert [tokens_of({"age": age}) for age in (17, 18, 65)] == [["age=0"], ["age=1"], ["age=6"]]
    assert tokens_of({"age": float("nan")}) == []


def test_the_difference_is_the_sum_over_tokens() -> None:
    found = difference(TABLE, {"age": 20, "gender": "F", "country": "DE"})
    assert found is not None
    assert found.tolist() == pytest.approx([0, 0, 0.5, 0.6])
    assert difference(TABLE, {"country": "DE"}) is None


def test_without_priors_in_the_bundle_the_scores_are_the_rankers() -> None:
    query = query_of({})
    found = Cautious(of=Flat(name="flat")).score(query, np.arange(4))
    assert found.heads == ("flat",)
    assert difference_of(query) is None
    assert Cautious().heads(query.parts) == Cautious().of.heads(query.parts)


def test_the_prior_falls_with_events() -> None:
    new = prior_of(query_of({PRIORS: TABLE}))
    assert np.diff(new).tolist() == pytest.approx([-STRENGTH / 2] * 3)
    events = [("view", f"i{k % 4}") for k in range(LAST_EVENTS)]
    known = prior_of(query_of({PRIORS: TABLE}, recent=events[:3]))
    assert known == pytest.approx(new * 2 ** (-3 / HALF))
    assert prior_of(query_of({PRIORS: TABLE}, recent=events)).tolist() == [0] * 4, "of whom enough is known"
    endless = Cautious(of=Flat(name="flat"), half=1e6).score(query_of({PRIORS: TABLE}, recent=events), np.arange(4))
    assert not endless.values[:, -1].any(), "a row has no more events than these"
    said = prior_of(query_of({PRIORS: TABLE}, interests=["a"]))
    assert said == pytest.approx((new + STRENGTH * STATED) * 2 ** (-SAID / HALF)), "all items are of that category"
    said = prior_of(query_of({PRIORS: TABLE}, interests=["none of them has"]))
    assert said == pytest.approx(new * 2 ** (-SAID / HALF))


def test_an_item_that_came_after_training_is_neither_good_nor_bad() -> None:
    """As popular as the median of the others, where events do not say more."""
    short = {**TABLE, POPULARITY: TABLE[POPULARITY][:3]}
    query = query_of({PRIORS: short})
    query.columns.popularity[:4] = 50, 50, 50, -1e9
    query.columns.leaders[""] = 50.0
    prior = prior_of(query)
    assert prior[3] == pytest.approx(np.median(prior[:3]))
    assert np.diff(prior[:3]).tolist() == pytest.approx([-STRENGTH / 2] * 2)
    wanted = query_of({PRIORS: short}, interests=["a"])
    wanted.columns.popularity[:4] = 50, 50, 50, -1e9
    wanted.columns.leaders[""] = 50.0
    prior = prior_of(wanted)
    assert prior[3] == pytest.approx(prior[:3].max()), "it is of what the person has asked for"


def test_a_profile_moves_the_prior_and_only_where_it_may_be_read() -> None:
    attributes = msgspec.msgpack.encode({"age": 20})
    query = query_of({PRIORS: TABLE}, **{ATTRIBUTES: attributes})
    moved = prior_of(query) - prior_of(query_of({PRIORS: TABLE}))
    assert moved[:3].tolist() == pytest.approx([0, 0, 0])
    assert moved[3] > 0


def test_the_home_feed_is_ranked_so() -> None:
    assert isinstance(home.ranker, Cautious)
    assert home.ranker.fallback is not None


def test_the_reason_says_so_only_where_people_alike_like_it_more_than_others() -> None:
    attributes = msgspec.msgpack.encode({"age": 20})

    def codes(**user: Any) -> list[str]:
        query = query_of({PRIORS: TABLE}, **user)
        found = merge([np.arange(4)], ("popular",))
        return [each.code for each in Reasons().explain(query, found) if each]

    assert codes(**{ATTRIBUTES: attributes}) == ["popular"] * 3 + ["popular_with_people_like_you"]
    assert codes() == ["popular"] * 4
    assert "popular_with_people_like_you" not in codes(recent=[("like", "i0")], **{ATTRIBUTES: attributes})
