"""Measures bought-together on Complete Journey: `python -m training.baskets`.

One product, drawn at random, is hidden from each basket of two and more in the last 10 % of the days. HitRate@10 is the
share of these baskets in whose list of ten the hidden product is; what is left of the basket is the cart. Intervals are
of 95 %, by a bootstrap over baskets; that of a ratio is paired.

"Frozen": nothing of the test days is counted in any row of the table's first part, and all methods are fitted on the
same baskets before them. "Live": each basket of the test, hidden product included, is applied once its own list has
been asked for, as the stream does. A household's own purchases (the last 50, as serving has them) are those before the
basket, in either part; "anonymous" is without them.

Ours is the `cart` surface, all stages, over rows of the aggregation that the job runs (Cooccurrence).
Baselines: popularity; plain co-occurrence counts; `implicit`'s item-to-item models on baskets × products, each with the
better of two numbers of neighbours *on the test itself*, which favours them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from feature_repo import views
from operators.contract import Row, Signal
from operators.cooccurrence import BASKET as JOINS
from operators.cooccurrence import Basket, Cooccurrence
from operators.time import DAY
from recommend.catalogue import Catalogue
from recommend.filters import Available, NotInCart
from recommend.pipeline import Pipeline
from recommend.query import STRANGER
from recommend.surface import Surface
from recommend.surfaces import cart
from schemas.events import Item
from training import complete_journey
from training.basket_baselines import Hits, ItemToItem, K, Question
from training.complete_journey import Purchase
from training.replay import KnownItems

SHARE = 0.1
"""of the days, the last ones"""
RECENT = 50
RESAMPLED = 1000

BASKET = next(a for a in views.user.aggregations if isinstance(a, Basket))
TOGETHER = next(a for a in views.item_cooccurrence.aggregations if isinstance(a, Cooccurrence))
UNFILTERED = ", near-duplicates not removed"
"""what the baselines do: of products without names, two flavours have the same content"""


class HeldOutDays(NamedTuple):
    """Baskets before the test, and those of it in order of time."""

    past: Sequence[Purchase]
    test: Sequence[Purchase]

    @classmethod
    def last(cls, baskets: Sequence[Purchase], share: float = SHARE) -> HeldOutDays:
        """The last `share` of the days is the test."""
        first, last = baskets[0].at // DAY, baskets[-1].at // DAY
        start = (last + 1 - round((last + 1 - first) * share)) * DAY
        cut = next(n for n, basket in enumerate(baskets) if basket.at >= start)
        return cls(baskets[:cut], baskets[cut:])


def questions(test: Iterable[Purchase], seed: int = 0) -> list[Question]:
    """One for each basket of two products and more."""
    rng = np.random.default_rng(seed)
    found = []
    for basket in test:
        if len(basket.products) > 1:
            hidden = basket.products[rng.integers(len(basket.products))]
            found.append(Question(basket, [p for p in basket.products if p != hidden], hidden))
    return found


# -- ours ------------------------------------------------------------------------------------------


class Stream:
    """The operators over baskets, and the columns of a server that follows them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._world = KnownItems()
        self._items: dict[str, Any] = defaultdict(TOGETHER.new)
        self._changed: set[str] = set()
        self._recent: dict[str, deque[tuple[str, int]]] = defaultdict(lambda: deque(maxlen=RECENT))

    @classmethod
    def over(cls, items: Iterable[Item], past: Iterable[Purchase]) -> Stream:
        """A new one with a catalogue of `items`, that has taken the baskets of the past."""
        catalogue = Catalogue()
        for item in items:
            catalogue.put_item(item)
        found = cls(catalogue)
        for basket in past:
            found.take(basket)
        return found

    def take(self, basket: Purchase, counts: bool = True) -> None:
        """Applies a basket; without `counts` only to what is known of its household."""
        products, recent = basket.products, self._recent[basket.household]
        recent.extendleft((product, basket.at) for product in products)
        if not counts:
            return
        for n, product in enumerate(products):
            # The signals of the whole basket at once: the sums are those of one after the other.
            others = *products[max(0, n - BASKET.most) : n], *products[n + 1 : n + 1 + BASKET.most]
            TOGETHER.update(self._items[product], Signal(JOINS, basket.at, product, partners=others), self._world)
        self._changed.update(products)

    def flush(self) -> None:
        """Puts the rows of the items that have changed into the columns."""
        for item in self._changed:
            values = TOGETHER.values(self._items[item], 0)
            self.catalogue.columns.put_features(Row(views.item_cooccurrence.name, (item,), values))
        self._changed.clear()

    def person(self, household: str) -> Mapping[str, Any]:
        """The fields of `user_activity` that the surface reads."""
        recent = self._recent[household]
        return {
            **STRANGER,
            "recent_items": [product for product, _ in recent],
            "recent_times": [at for _, at in recent],
            "recent_types": ["purchase"] * len(recent),
        }


def asked(
    stream: Stream,
    surfaces: Mapping[str, tuple[Surface, bool]],
    baskets: Sequence[Purchase],
    test: Sequence[Question],
    live: bool,
) -> dict[str, Hits]:
    """Name → whether each hidden product was in the surface's list. The flag of a surface is whether it is asked for
    the household; `baskets` are all those of the test days, in order of time."""
    columns, of = stream.catalogue.columns, {question.basket.id: question for question in test}
    pipeline = Pipeline(columns, None)
    hits: dict[str, list[bool]] = defaultdict(list)
    for basket in baskets:
        question = of.get(basket.id)
        if question is not None:
            stream.flush()
            rows, person = columns.rows(question.cart), stream.person(basket.household)
            for name, (surface, known) in surfaces.items():
                user = person if known else STRANGER
                query = pipeline.query(at=basket.at, n=K, cart=rows, explain="none", user=user)
                hits[name].append(question.hidden in pipeline.recommend(surface, query).item_ids)
        stream.take(basket, counts=live)
    return {name: np.array(found) for name, found in hits.items()}


# -- the table -------------------------------------------------------------------------------------


def interval(values: npt.NDArray[Any], over: npt.NDArray[Any] | None = None, seed: int = 0) -> tuple[float, ...]:
    """(mean, low, high) of `values` (n,), or of the ratio of their mean to that of `over`; 95 %, by bootstrap."""
    rng = np.random.default_rng(seed)
    below = np.ones(len(values)) if over is None else over

    def of(chosen: Any) -> float:
        return float(values[chosen].mean() / max(below[chosen].mean(), 1e-12))

    drawn = [of(rng.integers(len(values), size=len(values))) for _ in range(RESAMPLED)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return of(slice(None)), float(low), float(high)


def measure(
    baskets: Sequence[Purchase],
    items: Sequence[Item],
    most: int | None = None,
    live: bool = False,
    seed: int = 0,
) -> dict[str, Hits]:
    """Name → hits, of the baselines and of ours; `most` baskets of the test at most, drawn at random. With `live`, ours
    once more with the baskets of the test applied."""
    past, held_out = HeldOutDays.last(baskets)
    test = questions(held_out, seed)
    if most is not None and most < len(test):
        chosen = np.random.default_rng(seed).choice(len(test), most, replace=False)
        test = [test[place] for place in np.sort(chosen)]
    found: dict[str, Hits] = dict(ItemToItem(past, test).all())
    unfiltered = replace(cart, filters=(Available(), NotInCart()))
    surfaces = {
        "cart, anonymous": (cart, False),
        "cart, of the household": (cart, True),
        f"cart, anonymous{UNFILTERED}": (unfiltered, False),
        f"cart, of the household{UNFILTERED}": (unfiltered, True),
    }
    stream = Stream.over(items, past)
    found |= asked(stream, surfaces, held_out, test, live=False)
    if live:
        known = asked(Stream.over(items, past), surfaces, held_out, test, live=True)
        found |= {f"{name}, live": hits for name, hits in known.items()}
    return found


def table(found: Mapping[str, Hits], title: str) -> tuple[Table, dict[str, list[float]]]:
    """The table, and its figures: mean, interval, ratio to the best baseline, its interval."""
    baselines = [name for name in found if "cart" not in name]
    best = max(baselines, key=lambda name: found[name].mean())
    made = Table("", "HitRate@10", "95 %", f"to {best}", "95 %", title=title)
    figures = {}
    for name, hits in found.items():
        own = interval(hits)
        ratio = interval(hits, found[best])
        figures[name] = [round(value, 4) for value in (*own, *ratio)]
        made.add_row(
            name, f"{own[0]:.4f}", f"{own[1]:.4f} – {own[2]:.4f}", f"{ratio[0]:.2f}", f"{ratio[1]:.2f} – {ratio[2]:.2f}"
        )
    return made, figures


def main() -> None:
    """Prints the table and one JSON line."""
    parser = argparse.ArgumentParser(description="HitRate@10 of what is bought together, on Complete Journey")
    parser.add_argument("--most", type=int, help="baskets of the test at most, drawn at random")
    parser.add_argument("--live", action="store_true", help="ours with the baskets of the test applied, too")
    given = parser.parse_args()
    found = measure(complete_journey.baskets(), complete_journey.products(), given.most, given.live)
    n = len(next(iter(found.values())))
    made, figures = table(found, f"Complete Journey, one product hidden from each of {n:,} baskets")
    Console(file=sys.stderr, width=max(130, Console().width)).print(made)
    print(json.dumps({"baskets": n, "hit_rate_at_10": figures}))


if __name__ == "__main__":
    main()
