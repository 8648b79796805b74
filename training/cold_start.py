"""Measures the home feed for new people on MovieLens-100K: `python -m training.cold_start`.

Eight cuts of the log by time, at 20 to 90 % of the ratings: the past is before the cut, and the new people are those
whose first rating is in the 10 % after it. At each cut everything (vectors, ranker, popularity, priors, onboarding
picks) is made of the past, in which the new people do not stand. Each is asked for one list of 20 for every line of the
table, by the home feed (`recommend/pipeline.py`, all stages), as of the cut. Their events are moved in time so that the
last of those that the line has is just before the cut, with the times between them as they were.

What is judged is the same for all lines of a person, and so is what can be shown: relevant are the films that the
person rates after their first 20 ratings. The first 20, and the films that any of the onboarding pickers offers the
person, are neither shown nor relevant on any line. People with fewer than FEWEST relevant films are left out. Recall@20
and NDCG@20 are as in training/quality.py.

N events             the person's first N ratings
stated interests     the genres of the first three films that the person rates 4 or 5 among their first 20 ratings
onboarding           PICKS offered films; those that the person has rated at any time are answered with that rating, and
                     the others are not seen. `popular picks` are the most popular films instead
demographics         age, gender, occupation; region is the first digit of the zip code
popular              the most rated films of the past; `popular now` is the decayed popularity that trending shows

Intervals are of a bootstrap over people; `d` columns are differences to `popular` person by person. `personal` is the
share of the list that a retriever of the person's own taste found, `similar` that of neighbours of single items,
`as popular` the share that is also on the popular list.
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

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from feature_repo import registry
from feature_repo.repository import EMPTY, Repository
from recommend.pipeline import Answer
from recommend.surface import Surface
from recommend.surfaces import home, onboarding
from schemas import bundle
from schemas.events import Interaction, User
from training import list_measures as measures
from training.accepted import Log
from training.datasets import Dataset, movielens
from training.datasets import region as region_of
from training.feed import ReplayedFeed
from training.quality import LIKED, K, Split, metrics
from training.train import train_log

CUTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LENGTH = 0.1
EVENTS = (0, 1, 3, 5, 10, 20)
FIRST = 20
"""ratings of each person that are never judged"""
PICKS = 5
STATED = 3
"""films whose genres are the stated interests"""
FEWEST = 5
RESAMPLES = 2000
POPULAR, NOW = "popular", "popular now"
"""names of the baselines"""
PERSONAL = ("nearest", "similar", "new")
FIGURES = ("ndcg@20", "recall@20", "ndcg@20 liked", "personal", "similar", "as popular", "answers")
POPULAR_PICKS = replace(onboarding, rerankers=())
"""the films that the onboarding surface chooses from, the most popular first"""


@dataclass(frozen=True)
class Newcomer:
    """One new person: profile, ratings in order of time, and the moment as of which they are asked."""

    profile: User
    ratings: Sequence[Interaction]
    at: int

    def first(self, n: int) -> list[Interaction]:
        """The first n ratings, the last of them just before the moment."""
        return self._moved(self.ratings[:n])

    def answers(self, offered: Sequence[str]) -> list[Interaction]:
        """The ratings of those of the offered items that the person has rated, in that order, one second apart."""
        of = {event.item_id: event for event in self.ratings}
        found = [of[item_id] for item_id in offered if item_id in of]
        return [
            msgspec.structs.replace(event, timestamp=self.at - (len(found) - k) * 1000) for k, event in enumerate(found)
        ]

    def liked(self) -> list[str]:
        """The first STATED films that the person rates LIKED or better, of the first ratings."""
        return [event.item_id or "" for event in self.ratings[:FIRST] if _stars(event) >= LIKED][:STATED]

    def _moved(self, events: Sequence[Interaction]) -> list[Interaction]:
        if not events:
            return []
        by = self.at - 1000 - events[-1].timestamp
        return [msgspec.structs.replace(event, timestamp=event.timestamp + by) for event in events]


def _stars(event: Interaction) -> float:
    return float(event.properties["rating"])


@dataclass(frozen=True)
class Start:
    """One line of the table: how the person's feed is asked for."""

    name: str
    events: int = 0
    picker: Surface | None = None
    """whose PICKS items are answered"""
    interests: bool = False
    attributes: tuple[str, ...] = ()
    region: bool = False


LINES = (
    *(Start(f"{n} events", n) for n in EVENTS),
    Start("stated interests", interests=True),
    Start(f"{PICKS} popular picks", picker=POPULAR_PICKS),
    Start(f"{PICKS} onboarding picks", picker=onboarding),
    Start("region", region=True),
    Start("age", attributes=("age",)),
    Start("gender", attributes=("gender",)),
    Start("occupation", attributes=("occupation",)),
    Start("age, gender, occupation", attributes=("age", "gender", "occupation")),
    Start("all demographics", attributes=("age", "gender", "occupation"), region=True),
)


@dataclass
class Judged:
    """Figures of one line: of which person (by number), and by column."""

    of: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Cut:
    """The feed of one cut, and its new people."""

    def __init__(self, dataset: Dataset, start: float, declared: Repository = EMPTY, seed: int = 0) -> None:
        split = Split.at(dataset.interactions, start, start + LENGTH)
        self.at = split.test[0].timestamp
        self._genres = {item.item_id: item.categories for item in dataset.items}
        known = {event.user_id for event in split.past}
        of: dict[str, list[Interaction]] = defaultdict(list)
        for event in dataset.interactions:
            of[event.user_id].append(event)
        profiles = {user.user_id: user for user in dataset.users}
        begun = dict.fromkeys(event.user_id for event in split.test if event.user_id not in known)
        self.people = [Newcomer(profiles.get(user, User(user)), of[user], self.at) for user in begun]
        log = Log.of(split.past, dataset.items, users=[user for user in dataset.users if user.user_id in known])
        with tempfile.TemporaryDirectory() as folder:
            train_log(log, Path(folder), seed=seed, show_progress=sys.stderr.isatty(), declared=declared)
            found = bundle.current(Path(folder))
            assert found is not None
            self.feed = ReplayedFeed(found, log, {}, declared)
        rated = Counter(event.item_id or "" for event in split.past)
        self.popular = [item for item, _ in rated.most_common()]
        self.popular_now = self.feed.popular(self.at)

    def offered(self, picker: Surface, n: int = PICKS) -> list[str]:
        """The items that a picker offers anybody."""
        return self.feed.newcomer(picker, (), self.at, n=n).item_ids

    def asked(self, line: Start, person: Newcomer, excluded: Sequence[str], surface: Surface = home) -> Answer:
        """The person's feed by a line of the table."""
        events = person.first(line.events)
        if line.picker:
            events = person.answers(self.offered(line.picker))
        attributes = {k: v for k, v in person.profile.attributes.items() if k in line.attributes}
        interests: list[str] = []
        if line.interests:
            interests = [*dict.fromkeys(genre for item in person.liked() for genre in self._genres[item])]
        profile = User(person.profile.user_id, attributes, interests)
        region = region_of(str(person.profile.attributes.get("zip_code", ""))) if line.region else ""
        return self.feed.newcomer(surface, events, self.at, profile=profile, region=region, excluded=excluded, n=K)


def measure(
    dataset: Dataset, cuts: Sequence[float] = CUTS, declared: Repository = EMPTY, seed: int = 0
) -> dict[str, Any]:
    """Line → column → [figure, low, high]; `n` has the numbers of people and relevant films."""
    judged = {name: Judged() for name in (POPULAR, NOW, *(line.name for line in LINES))}
    people = relevant = 0
    for start in cuts:
        for wanted, lists in answers(Cut(dataset, start, declared, seed)):
            for name, values in lists.items():
                judged[name].of.append(people)
                for column, value in values.items():
                    judged[name].values[column].append(value)
            people, relevant = people + 1, relevant + wanted
    return {
        "n": {"people": people, "relevant": relevant, "cuts": len(cuts)},
        "lines": summary(judged, people),
    }


def answers(cut: Cut) -> Iterator[tuple[int, dict[str, dict[str, float]]]]:
    """For each new person of a cut the number of relevant films, and line → column → value."""

    offered = [item for line in LINES if line.picker for item in cut.offered(line.picker)]
    for person in cut.people:
        excluded = {*offered, *(event.item_id or "" for event in person.ratings[:FIRST])}
        rest = [event for event in person.ratings if event.item_id not in excluded]
        wanted = {event.item_id or "" for event in rest}
        if len(wanted) < FEWEST:
            continue
        liked = {event.item_id or "" for event in rest if _stars(event) >= LIKED}
        popular = [item for item in cut.popular if item not in excluded][:K]
        now = [item for item in cut.popular_now if item not in excluded][:K]
        found = {POPULAR: _figures(popular, wanted, liked, popular), NOW: _figures(now, wanted, liked, popular)}
        for line in LINES:
            answer = cut.asked(line, person, sorted(excluded))
            figures = _figures(answer.item_ids, wanted, liked, popular)
            shown = answer.candidates
            figures["personal"] = float(shown.found_by(*PERSONAL).mean())
            figures["similar"] = float(shown.found_by("similar").mean())
            if line.picker:
                figures["answers"] = float(len(person.answers(cut.offered(line.picker))))
            found[line.name] = figures
        yield len(wanted), found


def _figures(items: Sequence[str], wanted: set[str], liked: set[str], popular: Sequence[str]) -> dict[str, float]:
    recall, ndcg = metrics({"": items}, {"": wanted})
    _, of_liked = metrics({"": items}, {"": liked}) if liked else (0.0, float("nan"))
    as_popular = len({*items} & {*popular}) / max(len(items), 1)
    return {"ndcg@20": ndcg, "recall@20": recall, "ndcg@20 liked": of_liked, "as popular": as_popular}


def summary(judged: dict[str, Judged], people: int) -> dict[str, dict[str, list[float]]]:
    """Line → column → [figure, low, high]; `d` columns are differences to popular."""
    drawn = measures.resamples(people, RESAMPLES)
    found = {}
    for name, each in judged.items():
        of = np.array(each.of)
        figures = {}
        for column in FIGURES:
            if values := each.values.get(column):
                figures[column] = measures.mean_interval(np.array(values), of, drawn).rounded()
        for column in ("ndcg@20", "recall@20"):
            difference = np.array(each.values[column]) - np.array(judged[POPULAR].values[column])
            figures[f"d {column}"] = measures.mean_interval(difference, of, drawn).rounded()
        now = np.array(each.values["ndcg@20"]) - np.array(judged[NOW].values["ndcg@20"])
        figures["d now"] = measures.mean_interval(now, of, drawn).rounded()
        found[name] = figures
    picked, popular = (judged[line.name].values["ndcg@20"] for line in reversed([x for x in LINES if x.picker]))
    found[f"{PICKS} onboarding picks"]["d popular picks"] = measures.mean_interval(
        np.array(picked) - np.array(popular), np.arange(people), drawn
    ).rounded()
    return found


def table(measured: dict[str, Any]) -> Table:
    """The figures as a table of text."""
    n = measured["n"]
    title = (
        f"MovieLens-100K, {n['cuts']} cuts, {n['people']} new people, {n['relevant']} relevant films; 95 % intervals"
    )
    made = Table(title=title, title_justify="left")
    made.add_column("line")
    names = list(dict.fromkeys(name for figures in measured["lines"].values() for name in figures))
    for name in names:
        made.add_column(name, justify="right")
    for line, figures in measured["lines"].items():
        made.add_row(line, *(_cell(name, figures.get(name)) for name in names))
    return made


def _cell(name: str, figure: list[float] | None) -> str:
    if figure is None:
        return ""
    value, low, high = figure
    return f"{value:+.4f} [{low:+.4f}, {high:+.4f}]" if name.startswith("d ") else f"{value:.3f}"


def main() -> None:
    """Prints the table and one JSON line."""
    measured = measure(movielens(), declared=registry.declared())
    console = Console(file=sys.stderr, width=max(200, Console().width))
    console.print(table(measured))
    print(json.dumps({"cold_start": measured}))


if __name__ == "__main__":
    main()
