"""The measures and the baselines of the quality table."""

from __future__ import annotations

import pytest

from training.accepted import Log
from training.datasets import Dataset
from training.quality import DISCOUNTS, Baselines, Split, measure, metrics, tables


def test_metrics_by_hand() -> None:
    lists = {"a": ["x", "y", "z"], "b": ["q"]}
    recall, ndcg = metrics(lists, {"a": {"y", "w"}, "b": {"q"}})
    assert recall == pytest.approx((0.5 + 1) / 2)
    assert ndcg == pytest.approx((DISCOUNTS[1] / (DISCOUNTS[0] + DISCOUNTS[1]) + 1) / 2)


def test_a_split_is_by_time_and_keeps_everyone(log: Log) -> None:
    split = Split.at(log.interactions, 0.9)
    assert (len(split.past), len(split.test)) == (900, 100)
    assert sum(map(len, split.relevant().values())) <= 100
    assert sum(map(len, split.relevant(4.0).values())) < sum(map(len, split.relevant().values()))


def test_baselines_leave_out_what_was_met(log: Log) -> None:
    baselines = Baselines(log.interactions)
    met = {e.item_id for e in log.interactions if e.user_id == "u3"}
    for recommend in (baselines.popularity, baselines.factorization, baselines.folded_in):
        answer = recommend("u3")
        assert len(answer) == 20
        assert not met & set(answer)
    assert baselines.factorization("stranger") == baselines.popularity("stranger")
    assert baselines.folded_in("stranger") == baselines.popularity("stranger")
    baselines.met["stranger"].add("i0")
    assert baselines.factorization("stranger") == baselines.popularity("stranger")
    assert baselines.folded_in("stranger") != baselines.popularity("stranger")


def test_both_tables(log: Log) -> None:
    measured = measure(Dataset([*log.items], [], [*log.interactions]))
    assert list(measured) == ["at the split", "before each event"]
    for rows in measured.values():
        assert list(rows)[:3] == ["popularity", "decayed popularity", "factorization"]
        assert list(rows)[-1] == "freshet feed"
        assert all(0 <= figures["ndcg@20"] <= 1 for figures in rows.values())
    assert len(tables(measured)) == 2
