"""Simulates exploration slots through the whole pipeline: `python -m training.slots`.

A catalogue of items that nobody knows yet, behind a list that everybody gets; people like one category each, and an
item is clicked with a rate of its own, and more often by those who like its category. Every request is answered by the
pipeline, with a seed of its own; what came of the slots is counted by the aggregations that the job runs, whose rows
are put into the columns after each batch, as a server gets them.

`clicks` is what the slots earned, `best` what they would have with the best arm of each slot. From the logged answers
the value of the uniform policy is estimated by inverse propensity weighting (Horvitz and Thompson, JASA 1952).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy import stats

from feature_repo import views
from operators.bandit_counts import policy_of, signals_of
from operators.time import DAY
from recommend.catalogue import Catalogue
from recommend.filters import Available
from recommend.pipeline import Pipeline
from recommend.policies import EpsilonGreedy, LinearThompson, LinUcb, SlotPolicy, Thompson, Ucb1, Uniform
from recommend.query import STRANGER
from recommend.rankers import InOrder
from recommend.retrievers.given import Given
from recommend.slots import ExplorationSlots, logged, seed_of
from recommend.surface import Surface
from schemas.events import Impression, Item
from training.replay import KnownItems

START = 1_767_225_600_000
CATEGORIES = ("a", "b", "c", "d")
N, ARMS, SHARE = 10, 20, 0.2
"""items of a list, arms of all slots, share of the places"""
LIKED = 0.3
"""what an item's rate gains where its category is liked"""
REQUESTS, BATCH, REPEATS = 4000, 100, 10
POLICIES: Mapping[str, SlotPolicy] = {
    "uniform": Uniform(),
    "epsilon_greedy": EpsilonGreedy(),
    "ucb1": Ucb1(),
    "thompson": Thompson(prior=(1.0, 5.0)),
    "lin_ucb": LinUcb(width=0.3),
    "linear_thompson": LinearThompson(),
}
Floats = npt.NDArray[np.float64]


class ClickWorld(NamedTuple):
    """What the simulation draws from."""

    pipeline: Pipeline
    rates: Floats
    """(categories, items): the probability that a person who likes the category clicks the item"""

    @classmethod
    def new(cls, generator: np.random.Generator) -> ClickWorld:
        """A catalogue of N items that everybody gets and ARMS more, with rates drawn anew."""
        catalogue, n = Catalogue(), N + ARMS
        for k in range(n):
            catalogue.put_item(Item(f"i{k}", categories=[CATEGORIES[k % len(CATEGORIES)]], created_at=START - 99 * DAY))
        own = generator.beta(1, 9, n)
        liked = np.array([[k % len(CATEGORIES) == c for k in range(n)] for c in range(len(CATEGORIES))])
        return cls(Pipeline(catalogue.columns, None), np.minimum(own + LIKED * liked, 1.0))


class SlotRun(NamedTuple):
    """One policy over all requests: clicks that the slots earned, those that the best arms would have, and of the
    uniform policy the truth, the estimate and its standard error, in clicks a slot."""

    clicks: float
    best: float
    truth: float
    estimate: float
    error: float


def surface_of(policy: SlotPolicy) -> Surface:
    """A list of given items, with slots for the policy."""
    slots = ExplorationSlots(policy=policy, share=SHARE, pool=ARMS)
    return Surface(name="simulated", retrievers=(Given(),), filters=(Available(),), ranker=InOrder(), exploration=slots)


class Learned:
    """The aggregations of the job over what was shown and taken, and the columns of a server that follows them."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._columns = pipeline.columns
        self._world = KnownItems()
        self._states: dict[str, Any] = {}

    def take(self, shown: Impression, clicked: set[int]) -> None:
        """Applies an impression and the clicks at these positions."""
        for position in shown.explored or ():
            for taken in (False, True) if position in clicked else (False,):
                for signal in signals_of(shown, position, taken):
                    of = views.LINEAR if signal.context else views.EXPLORED
                    state = self._states.setdefault(signal.item_id, of.new())
                    of.update(state, signal, self._world)

    def flush(self, at: int) -> None:
        """Puts all rows."""
        columns, no_pictures = self._columns, views.PICTURES.values(views.PICTURES.new(), at)
        for key, state in self._states.items():
            policy = policy_of(key)
            if policy is not None:
                columns.arms.put_model(policy, views.LINEAR.values(state, at))
            else:
                columns.arms.put_item(columns.row_of[key], (*views.EXPLORED.values(state, at), *no_pictures))


def run(policy: SlotPolicy, seed: int, repeat: int, requests: int = REQUESTS, batch: int = BATCH) -> SlotRun:
    """Simulates one policy; worlds and visitors of a repeat are the same for all."""
    world = ClickWorld.new(np.random.default_rng((seed, repeat)))
    visits, clicks = np.random.default_rng((seed, repeat, 1)), np.random.default_rng((seed, repeat, 2))
    surface, learned, columns = surface_of(policy), Learned(world.pipeline), world.pipeline.columns
    everything = np.arange(columns.n)
    earned = best = truth = 0.0
    weighted: list[float] = []
    for n in range(requests):
        at, request_id = START + n * 1000, f"{seed}-{repeat}-{n}"
        segment = int(visits.integers(len(CATEGORIES)))
        person = {**STRANGER, "category_affinity": [CATEGORIES[segment]], "category_affinity_scores": [1.0]}
        query = world.pipeline.query(
            at=at, n=N, given=everything, user=person, seed=seed_of(request_id), explain="none"
        )
        answer = world.pipeline.recommend(surface, query)
        shown = Impression(request_id, f"u{n}", at, answer.item_ids, surface.name, **logged(query, N))
        assert shown.explored is not None
        assert shown.propensities is not None
        taken = set()
        for slot, position in enumerate(shown.explored):
            arms = np.arange(N, N + ARMS)[slot :: len(shown.explored)]
            rates = world.rates[segment, arms]
            clicked = clicks.random() < world.rates[segment, columns.row_of[shown.items[position]]]
            earned, best, truth = earned + clicked, best + rates.max(), truth + rates.mean()
            weighted.append(clicked / len(arms) / shown.propensities[position])
            if clicked:
                taken.add(position)
        learned.take(shown, taken)
        if n % batch == batch - 1:
            learned.flush(at)
    slots = len(weighted)
    error = float(np.std(weighted) / np.sqrt(slots))
    return SlotRun(earned, best, truth / slots, float(np.mean(weighted)), error)


def measure(requests: int = REQUESTS, repeats: int = REPEATS, seed: int = 1) -> dict[str, dict[str, Any]]:
    """Policy → clicks of its slots and of the best arms; the difference of its clicks to the uniform policy's and that
    of the estimate to the truth, with their 95 % intervals over repeats, by Student's t."""
    runs = {name: [run(policy, seed, r, requests) for r in range(repeats)] for name, policy in POLICIES.items()}
    base = np.array([each.clicks for each in runs["uniform"]])
    found: dict[str, dict[str, Any]] = {}
    for name, each in runs.items():
        earned = np.array([one.clicks for one in each])
        low, middle, high = _interval(np.array([one.estimate - one.truth for one in each]))
        found[name] = {
            "clicks": round(float(earned.mean()), 1),
            "best": round(float(np.mean([one.best for one in each])), 1),
            "gain": [round(bound, 1) for bound in _interval(earned - base)],
            "truth": round(float(np.mean([one.truth for one in each])), 5),
            "error": [round(bound, 5) for bound in (low, middle, high)],
            "within": bool(low <= 0 <= high),
        }
    return found


def _interval(values: Floats) -> tuple[float, float, float]:
    """The mean of values (n,) between the bounds of its 95 % interval."""
    error = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return mean - error, mean, mean + error


def table(measured: Mapping[str, Mapping[str, Any]]) -> Table:
    """The figures as a table of text."""
    made = Table(title="Exploration slots, simulated")
    made.add_column("policy")
    for name in ("clicks", "best", "more than uniform", "uniform, truth", "estimate less truth"):
        made.add_column(name, justify="right")
    for name, figures in measured.items():
        low, middle, high = figures["gain"]
        error = figures["error"]
        made.add_row(
            name, f"{figures['clicks']:.0f}", f"{figures['best']:.0f}", f"{middle:+.0f} ({low:+.0f} … {high:+.0f})",
            f"{figures['truth']:.4f}", f"{error[1]:+.5f} ({error[0]:+.5f} … {error[2]:+.5f})",
        )  # fmt: skip
    return made


def main() -> None:
    """Prints the table and one JSON line."""
    measured = measure()
    Console(file=sys.stderr, width=max(140, Console().width)).print(table(measured))
    print(json.dumps({"exploration_slots": measured}))


if __name__ == "__main__":
    main()
