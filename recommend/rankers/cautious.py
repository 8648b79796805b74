"""Another ranker's scores with a prior of what anybody likes, which counts for less the more is known of a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from feature_repo.candidates import Candidates
from feature_repo.columns import Rows
from feature_repo.inputs import popularity
from feature_repo.views import LAST_EVENTS
from recommend.item_space import ItemSpace
from recommend.model import Parts
from recommend.priors import EVEN, LASTING, POPULARITY, PRIORS, Table, difference_of
from recommend.query import Query
from recommend.rankers.onnx import Onnx
from recommend.stage import Ranker, Scores

HEAD = "prior"
STRENGTH, HALF = 8.0, 5.0
LEAST = 0.05
"""Weight below which the prior is left out. With HALF that is so from 37 events on; with any, from LAST_EVENTS on,
which a row has at most."""
SAID = 10
"""events that stated interests count for"""
STATED = 1.0
"""what being of stated interests alone counts for, in doublings of popularity: who says what they like sees it"""
LIFT = 10.0
"""what a cosine of 1 to the difference in taste of people alike counts for, in doublings of popularity"""


@dataclass(frozen=True, kw_only=True)
class Cautious(Ranker):
    """The scores of the ranker `of`, and the head HEAD: the prior of each candidate times `strength`, halved by every
    `half` recent events of the person, 0 below LEAST and from LAST_EVENTS events on. Without priors in the bundle,
    those of `of` alone.

    The prior is log2 of popularity relative to the most popular item, a mean of the decayed one and of how many people
    have ever met the item, by the share that training found (training/lasting.py); `lift` times the cosine of the item
    and the taste that people with a profile like the person's have more than others; and `stated` times the share of
    the item's categories that the person has stated as interests. An item that came after training counts as popular as
    the median of the other candidates, or more if it is by now; as the most popular where all of its categories are
    stated interests.
    """

    name: str = "model"
    of: Ranker = field(default_factory=Onnx)
    strength: float = STRENGTH
    half: float = HALF
    lift: float = LIFT
    stated: float = STATED

    def score(self, query: Query, rows: Rows) -> Scores:
        return self._with_prior(query, rows, self.of.score(query, rows))

    def score_each(self, queries: Sequence[Query], rows: Rows) -> Sequence[Scores]:
        found = self.of.score_each(queries, rows)
        return [self._with_prior(query, rows, each) for query, each in zip(queries, found, strict=True)]

    def _with_prior(self, query: Query, rows: Rows, found: Scores) -> Scores:
        table, space = query.parts.tables.get(PRIORS), query.parts.space
        if table is None or space is None:
            return found
        weight = self._weight(query)
        values = np.zeros((len(rows), len(found.heads) + 1), np.float32)
        values[:, :-1] = found.values
        if weight:
            values[:, -1] = weight * self._prior(query, rows, table, space)
        weights = dict.fromkeys(found.heads, 1.0) if found.weights is None else found.weights
        return found._replace(values=values, heads=(*found.heads, HEAD), weights={**weights, HEAD: 1.0})

    def _weight(self, query: Query) -> float:
        known = len(query.user["recent_items"])
        if known >= LAST_EVENTS:
            return 0.0
        if len(query.user["interests"]):
            known += SAID
        weight = self.strength * 2.0 ** (-known / self.half)
        return weight if weight >= LEAST else 0.0

    def _prior(self, query: Query, rows: Rows, table: Table, space: ItemSpace) -> npt.NDArray[np.float64]:
        candidates = Candidates(query.ranking, rows)
        found, labels = popularity(candidates), space.labels_of(rows)
        known = (labels >= 0) & (labels < len(table[POPULARITY]))
        lasting = float(table[LASTING][0]) if LASTING in table else EVEN
        stated = list(query.user["interests"])
        share = candidates.category_share(stated) if stated else np.zeros(len(rows))
        if known.any():
            found[known] = of_all = (1 - lasting) * found[known] + lasting * table[POPULARITY][labels[known]]
            if not known.all():  # nothing is known yet of an item that came after training: that is no fault of it
                middle = np.median(of_all)
                found[~known] = np.maximum(found[~known], middle + (of_all.max() - middle) * share[~known])
        if (towards := difference_of(query)) is not None:
            found += self.lift * (query.vectors(rows) @ towards)
        return found + self.stated * share

    def heads(self, parts: Parts) -> tuple[str, ...]:
        own = self.of.heads(parts)
        return (*own, HEAD) if own and PRIORS in parts.tables and parts.space else own

    def wanted_pairs(self, query: Query, rows: Rows) -> dict[str, list[str]]:
        return self.of.wanted_pairs(query, rows)
