"""Measures the quality of the feed on MovieLens-100K: `python -m training.quality`.

The first 90 % of the ratings by time are the past, the last 10 % the test. Relevant to a person are all films
that they rate in the test (or, in a second pair of columns, those that they rate 4 or 5). Every person of the
test counts, also those without a past; films that the person met before are left out; all others are
candidates. Recall@20 is |relevant in the list| / |relevant|; NDCG@20 has gains of 0 and 1.

Two tables: "at the split" asks for each person's list once, as of the first moment of the test; "before each
event" asks again before each rating of the test, everything before it applied (a streaming engine's task),
where the film that is rated next is what is relevant. Baselines are fitted on the past alone in both; one
that is "folded in" solves the person's factors anew from all that they have met by then. "Decayed
popularity" is the feed's own list for strangers: what the feed gains over it is personalization.

The feed is `recommend/pipeline.py` itself over the rows of a replay, all stages. The bundle is trained on the past.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from implicit.als import AlternatingLeastSquares
from rich.console import Console
from rich.table import Table
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from feature_repo import registry
from feature_repo.repository import EMPTY, Repository
from schemas import bundle
from schemas.events import Interaction
from training import factors
from training.accepted import Log
from training.datasets import Dataset, movielens
from training.feed import ReplayedFeed
from training.train import train

K = 20
LIKED = 4.0
ALS = {"factors": 16, "regularization": 10.0, "alpha": 1.0, "iterations": 15}
"""the best of 72 settings of dimension, regularization, confidence and weights on ratings 70-80 % and 80-90 %"""
DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))

Recommend = Callable[[str], Sequence[str]]
Figures = dict[str, float]


@dataclass(frozen=True)
class Split:
    """The past, and the ratings of each person in the test."""

    past: Sequence[Interaction]
    test: Sequence[Interaction]

    @classmethod
    def at(cls, interactions: Sequence[Interaction], start: float, end: float = 1.0) -> Split:
        """Cuts a log in order of time at two shares of it."""
        first, last = (round(len(interactions) * share) for share in (start, end))
        return cls(interactions[:first], interactions[first:last])

    def relevant(self, at_least: float = 0.0) -> dict[str, set[str]]:
        """User id → item ids rated `at_least` in the test; people without any are left out."""
        found: dict[str, set[str]] = defaultdict(set)
        for event in self.test:
            if event.item_id and float(event.properties["rating"]) >= at_least:
                found[event.user_id].add(event.item_id)
        return dict(found)


def metrics(lists: Mapping[str, Sequence[str]], relevant: Mapping[str, set[str]]) -> tuple[float, float]:
    """(Recall@20, NDCG@20), means over the people of `relevant`."""
    recalls, ndcgs = [], []
    for user, wanted in relevant.items():
        hits = np.array([item in wanted for item in lists[user][:K]], float)
        recalls.append(hits.sum() / len(wanted))
        ndcgs.append((hits * DISCOUNTS[: len(hits)]).sum() / DISCOUNTS[: min(K, len(wanted))].sum())
    return float(np.mean(recalls)), float(np.mean(ndcgs))


class Baselines:
    """Popularity (number of ratings in the past) and the bare factorization (implicit ALS with default ranking)."""

    def __init__(self, past: Sequence[Interaction], seed: int = 0) -> None:
        self.matrix, self.items = factors.met(past)
        self.matrix.data[:] = 1.0
        self.users = {user: row for row, user in enumerate(dict.fromkeys(e.user_id for e in past))}
        counts: npt.NDArray[Any] = np.asarray(self.matrix.sum(axis=0)).ravel()
        self.ranked = [self.items[i] for i in np.argsort(-counts, kind="stable")]
        self.columns = {item: column for column, item in enumerate(self.items)}
        self.met: dict[str, set[str]] = defaultdict(set)
        for event in past:
            self.met[event.user_id].add(event.item_id or "")
        with threadpool_limits(1, "blas"):
            self.model = AlternatingLeastSquares(random_state=seed, **ALS)
            self.model.fit(self.matrix, show_progress=False)

    def popularity(self, user: str) -> list[str]:
        """The most rated films that the person has not met."""
        return self.unmet(user, self.ranked)

    def unmet(self, user: str, ranked: Sequence[str]) -> list[str]:
        """The best of a list that the person has not met."""
        met = self.met.get(user, set())
        return [item for item in ranked[: K + len(met)] if item not in met][:K]

    def factorization(self, user: str) -> list[str]:
        """The items that `implicit` recommends; popular ones for people without a past."""
        row = self.users.get(user)
        return self.popularity(user) if row is None else self._recommended(user, row, self.matrix[row])

    def folded_in(self, user: str) -> list[str]:
        """The same with the person's factors solved anew from all that they have met by now (`recalculate_user`)."""
        columns = sorted(c for item in self.met.get(user, ()) if (c := self.columns.get(item)) is not None)
        if not columns:
            return self.popularity(user)
        ones = np.ones(len(columns), np.float32)
        row = sparse.csr_matrix((ones, columns, [0, len(columns)]), (1, len(self.items)))
        return self._recommended(user, 0, row, recalculate_user=True)

    def _recommended(self, user: str, row: int, likes: Any, **options: bool) -> list[str]:
        met = self.met[user]
        found, _ = self.model.recommend(row, likes, N=min(K + len(met), len(self.items)), **options)
        return [item for i in found if (item := self.items[i]) not in met][:K]


def at_split(split: Split, recommenders: Mapping[str, Recommend]) -> dict[str, Figures]:
    """One list a person at the first moment of the test."""
    every, liked = split.relevant(), split.relevant(LIKED)
    out = {}
    for name, recommend in recommenders.items():
        lists = {user: recommend(user) for user in every}
        out[name] = _figures(metrics(lists, every), metrics(lists, liked), len(every))
    return out


def before_each(split: Split, baselines: Baselines, feed: ReplayedFeed) -> dict[str, Figures]:
    """One list before each rating of the test; what has been rated by then is left out."""
    hits: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for event in split.test:
        item, user = event.item_id or "", event.user_id
        answers = {
            "popularity": baselines.popularity(user),
            "decayed popularity": baselines.unmet(user, feed.popular(event.timestamp)),
            "factorization": baselines.factorization(user),
            "factorization, folded in": baselines.folded_in(user),
            "freshet before re-ranking": feed.recommend(user, event.timestamp, reranked=False),
            "freshet feed": feed.recommend(user, event.timestamp),
        }
        for name, answer in answers.items():
            place = answer.index(item) if item in answer else None
            hits[name].append((0.0, 0.0) if place is None else (1.0, float(DISCOUNTS[place])))
        feed.apply(event)
        baselines.met[user].add(item)
    loved = np.array([float(e.properties["rating"]) >= LIKED for e in split.test])
    figures = {}
    for name, pairs in hits.items():
        array = np.array(pairs)
        figures[name] = _figures(array.mean(axis=0), array[loved].mean(axis=0), len(array))
    return figures


def _figures(every: Sequence[float], liked: Sequence[float], n: int) -> Figures:
    return {
        "recall@20": round(float(every[0]), 4),
        "ndcg@20": round(float(every[1]), 4),
        "recall@20 liked": round(float(liked[0]), 4),
        "ndcg@20 liked": round(float(liked[1]), 4),
        "n": n,
    }


def measure(
    dataset: Dataset, start: float = 0.9, end: float = 1.0, seed: int = 0, declared: Repository = EMPTY
) -> dict[str, Any]:
    """Both tables: table → recommender → figures; the feed's ranker reads the crosses of `declared`."""
    split = Split.at(dataset.interactions, start, end)
    with tempfile.TemporaryDirectory() as folder:
        bars = sys.stderr.isatty()
        train(split.past, dataset.items, Path(folder), seed=seed, show_progress=bars, declared=declared)
        found = bundle.current(Path(folder))
        assert found is not None
        feed = ReplayedFeed(found, Log(split.past, dataset.items), dict(_regions(dataset)), declared)
    baselines = Baselines(split.past, seed)
    moment = split.test[0].timestamp
    trending = feed.popular(moment)
    recommenders: dict[str, Recommend] = {
        "popularity": baselines.popularity,
        "decayed popularity": lambda user: baselines.unmet(user, trending),
        "factorization": baselines.factorization,
        "freshet before re-ranking": lambda user: feed.recommend(user, moment, reranked=False),
        "freshet feed": lambda user: feed.recommend(user, moment),
    }
    return {
        "at the split": at_split(split, recommenders),
        "before each event": before_each(split, baselines, feed),
    }


def _regions(dataset: Dataset) -> list[tuple[str, str]]:
    return [(e.user_id, str(e.properties.get("region", ""))) for e in dataset.interactions]


def tables(measured: Mapping[str, Mapping[str, Figures]]) -> list[Table]:
    """The figures as tables of text."""
    found = []
    for title, rows in measured.items():
        table = Table(title=f"MovieLens-100K, last 10 % by time, {title}")
        names = list(next(iter(rows.values())))
        table.add_column("recommender")
        for name in names:
            table.add_column(name, justify="right")
        for recommender, figures in rows.items():
            table.add_row(recommender, *(f"{figures[n]:,}" if n == "n" else f"{figures[n]:.4f}" for n in names))
        found.append(table)
    return found


def main() -> None:
    """Prints the tables and one JSON line."""
    measured = measure(movielens(), declared=registry.declared())
    console = Console(file=sys.stderr, width=max(110, Console().width))
    for table in tables(measured):
        console.print(table)
    print(json.dumps({"feed_quality": measured}))


if __name__ == "__main__":
    main()
