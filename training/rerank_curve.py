"""Measures what re-rankers gain and cost on MovieLens-100K: `python -m training.rerank_curve`.

Five cuts of the log by time, at 50 to 90 % of the ratings: the past is before the cut, the test is the next 10 %. At
each cut a bundle is trained on the past, and each person of the test is given one list as of the first moment of the
test by the home feed (`recommend/pipeline.py`, all stages), once for each re-ranker and strength over the same
candidates.

Accuracy as in training/quality.py: relevant are all films that the person rates in the test. Intervals are of a
bootstrap over people, whose lists of all cuts are drawn together; `d ndcg@20` is the difference to the order of
relevance, list by list, so that its interval tells whether a re-ranker costs accuracy. Columns:

ild        intra-list distance of vectors, the space that retrieval searches and MMR and determinantal read
ild genre  intra-list distance of genres, which none of them reads but the calibrated
kl         KL from the person's genres (films rated 4 or 5 in the past) to the list's; people without a past have none
coverage   share of the catalogue that stands in any of a cut's lists, mean over the cuts
novelty    mean self-information of the films, in bits
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from feature_repo import registry
from feature_repo.repository import EMPTY, Repository
from recommend.rerankers import Calibrated, Determinantal, Diverse, Mmr, Serendipity
from recommend.surface import Surface
from recommend.surfaces import home
from schemas import bundle
from training import list_measures as measures
from training.accepted import Log
from training.datasets import Dataset, movielens
from training.feed import PLAIN, ReplayedFeed
from training.quality import LIKED, Split, metrics
from training.train import train

CUTS = (0.5, 0.6, 0.7, 0.8, 0.9)
LENGTH = 0.1
STRENGTHS = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0)
RERANKERS = (Mmr, Diverse, Determinantal, Calibrated, Serendipity)
RESAMPLES = 1000
RELEVANCE, DEFAULT = "relevance alone", "home"
COLUMNS = ("ndcg@20", "recall@20", "ild", "ild genre", "kl", "novelty")


def variants(strengths: Sequence[float] = STRENGTHS) -> dict[str, Surface]:
    """Name → the home feed with one re-ranker of one strength; before them relevance alone, and the feed as it is."""
    found = {RELEVANCE: PLAIN, DEFAULT: home}
    for kind in RERANKERS:
        for d in strengths:
            made = kind(diversity=d)
            found[f"{made.name} {d:g}"] = replace(home, rerankers=(made,))
    return found


@dataclass
class Shown:
    """The measures of all lists of one variant, by column, and who was shown what at each cut."""

    of: list[int] = field(default_factory=list)
    """the person, by number"""
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    shown: list[list[tuple[int, list[str]]]] = field(default_factory=list)
    """cut → (person, item ids)"""


def measure(
    dataset: Dataset,
    cuts: Sequence[float] = CUTS,
    strengths: Sequence[float] = STRENGTHS,
    declared: Repository = EMPTY,
    seed: int = 0,
) -> dict[str, Any]:
    """Variant → column → [figure, low, high]; `n` has the numbers of lists and people."""
    surfaces = variants(strengths)
    numbers: dict[str, int] = {}
    lists = {name: Shown() for name in surfaces}
    for cut in cuts:
        for each in lists.values():
            each.shown.append([])
        for user, found in answers(dataset, cut, list(surfaces.values()), declared, seed):
            person = numbers.setdefault(user, len(numbers))
            for into, (item_ids, values) in zip(lists.values(), found, strict=True):
                into.of.append(person)
                into.shown[-1].append((person, item_ids))
                for name, value in values.items():
                    into.values[name].append(value)
    n = {"lists": len(lists[RELEVANCE].of), "people": len(numbers), "cuts": len(cuts)}
    return {"n": n, "variants": summary(lists, len(numbers), [item.item_id for item in dataset.items])}


def answers(
    dataset: Dataset, cut: float, surfaces: Sequence[Surface], declared: Repository, seed: int
) -> Iterator[tuple[str, list[tuple[list[str], dict[str, float]]]]]:
    """Each person of the test of one cut, and for each surface the list's item ids and its measures."""
    split = Split.at(dataset.interactions, cut, cut + LENGTH)
    with tempfile.TemporaryDirectory() as folder:
        train(split.past, dataset.items, Path(folder), seed=seed, show_progress=sys.stderr.isatty(), declared=declared)
        made = bundle.current(Path(folder))
        assert made is not None
        regions = {e.user_id: str(e.properties.get("region", "")) for e in dataset.interactions}
        feed = ReplayedFeed(made, Log(split.past, dataset.items), regions, declared)
    genres = {item.item_id: item.categories for item in dataset.items}
    met_by = Counter(item for _, item in {(e.user_id, e.item_id or "") for e in split.past})
    people = len({e.user_id for e in split.past})
    liked: dict[str, list[str]] = defaultdict(list)
    for event in split.past:
        if float(event.properties["rating"]) >= LIKED:
            liked[event.user_id].append(event.item_id or "")
    for user, wanted in split.relevant().items():
        taste = measures.distribution([genres[item] for item in liked[user]])
        rows = []
        for items in feed.reranked(user, split.test[0].timestamp, surfaces):
            recall, ndcg = metrics({user: items}, {user: wanted})
            of_items = [genres[item] for item in items]
            rows.append(
                (
                    items,
                    {
                        "ndcg@20": ndcg,
                        "recall@20": recall,
                        "ild": measures.vector_distance(feed.vectors(items)),
                        "ild genre": measures.category_distance(of_items),
                        "kl": measures.miscalibration(taste, measures.distribution(of_items)),
                        "novelty": measures.self_information(met_by, people, items),
                    },
                )
            )
        yield user, rows


def summary(lists: dict[str, Shown], people: int, items: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Variant → column → [figure, low, high]."""
    drawn = measures.resamples(people, RESAMPLES)
    columns = {item: k for k, item in enumerate(items)}
    of = np.array(lists[RELEVANCE].of)
    plain = np.array(lists[RELEVANCE].values["ndcg@20"])
    found = {}
    for name, each in lists.items():
        figures = {}
        for column in COLUMNS:
            figures[column] = measures.mean_interval(np.array(each.values[column]), of, drawn).rounded()
        difference = np.array(each.values["ndcg@20"]) - plain
        figures["d ndcg@20"] = measures.mean_interval(difference, of, drawn).rounded()
        covered = []
        for cut in each.shown:
            shown = np.zeros((people, len(items)), bool)
            for person, item_ids in cut:
                shown[person, [columns[item] for item in item_ids]] = True
            covered.append(measures.coverage_interval(shown, drawn, len(items)))
        figures["coverage"] = [round(float(bound), 4) for bound in np.mean(covered, axis=0)]
        found[name] = figures
    return found


def table(measured: dict[str, Any]) -> Table:
    """The figures as a table of text, each with half the width of its interval."""
    n = measured["n"]
    title = f"MovieLens-100K, {n['cuts']} cuts, {n['lists']} lists of 20 for {n['people']} people; ± half of 95 %"
    made = Table(title=title, title_justify="left")
    made.add_column("re-ranker")
    names = list(next(iter(measured["variants"].values())))
    for name in names:
        made.add_column(name, justify="right")
    for variant, figures in measured["variants"].items():
        cells = []
        for name in names:
            value, low, high = figures[name]
            cells.append(
                f"{value:+.4f} ±{(high - low) / 2:.4f}" if name[:2] == "d " else f"{value:.3f} ±{(high - low) / 2:.3f}"
            )
        made.add_row(variant, *cells)
    return made


def main() -> None:
    """Prints the table and one JSON line."""
    measured = measure(movielens(), declared=registry.declared())
    console = Console(file=sys.stderr, width=max(150, Console().width))
    console.print(table(measured))
    print(json.dumps({"rerank_curve": measured}))


if __name__ == "__main__":
    main()
