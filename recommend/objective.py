"""What a request is ranked by: the weights of the ranker's heads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from recommend.query import Query
from recommend.rankers.cautious import HEAD as PRIOR
from recommend.stage import Scores, StageError
from recommend.surface import Surface


def weights_of(surface: Surface, query: Query) -> tuple[Mapping[str, float] | None, str]:
    """(Head → weight, None for the ranker's own; what of the surface's objective is left out, in words, "" for none).

    The query's objective is checked where the request is read and stands as it is. Of the surface's, heads that the
    ranker does not have are left out: a surface is declared once, and bundles with several heads and with one serve it.
    """
    if query.objective is not None or not surface.objective:
        return query.objective, ""
    heads = surface.ranker.heads(query.parts)
    if not heads:
        return None, ""  # there is no model, and the ranker fails for that reason
    known = {head: weight for head, weight in surface.objective.items() if head in heads}
    if known and PRIOR in heads:
        known.setdefault(PRIOR, 1.0)  # no surface is declared with it: what it is worth is in it
    missing = ", ".join(head for head in surface.objective if head not in heads)
    if not missing:
        return known, ""
    if known:
        return known, f"the objective without {missing}, which the ranker does not score"
    return None, f"the ranker's own objective: it does not score {missing}"


def weighed(scores: Scores, weights: Mapping[str, float] | None) -> npt.NDArray[np.float32]:
    """The weighted sum (n,) of the heads. Raises StageError where a weight is of no head."""
    if weights and (unknown := sorted(weights.keys() - set(scores.heads))):
        raise StageError(f"the objective weighs {', '.join(unknown)}; the heads are {', '.join(scores.heads)}")
    of_heads = [weights.get(head, 0.0) if weights else 1.0 for head in scores.heads]
    if of_heads == [1.0]:
        return scores.values[:, 0]
    return scores.values @ np.array(of_heads, np.float32)
