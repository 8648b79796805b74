"""How alike two items are, by what people do with them and by what they are.

    behaviour(a, b) = max(cosine(a, b), confidence(a → b))
    content(a, b)   = cosine(a, b)                       where either vector is of content alone
                      |A ∩ B| / sqrt(|A| · |B|)          else: A and B are the categories and the brand of each
    confidence(a → b) = share of a's baskets that b is in · baskets(a) / (baskets(a) + FEW)

The cosine is that of the two vectors in the model's space. The vector of an item with many events is of behaviour, that
of one with none is of its content, and training blends the two between them. So content stands in for behaviour, in
both numbers, where an item has none, and the less the more it has. The overlap is Ochiai's coefficient; where the
catalogue has neither category nor brand of one of the two, the cosine stands in for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.columns import MAX_CATEGORIES, Mask, Rows
from operators.decay import POPULARITY_ORIGIN
from recommend.query import Query
from recommend.together import FEW, HALF_LIFE

Values = npt.NDArray[np.float32]
ONES = np.ones(MAX_CATEGORIES, np.float32)


class Likeness(NamedTuple):
    """Of the query's item and n others."""

    behaviour: Values
    """(n,), -1 to 1"""
    content: Values
    """(n,), -1 to 1"""
    confidence: Values | None
    """(n,), 0 to 1: by baskets alone; None where the item was in none with another"""
    learned: Mask
    """(n,): whether behaviour is part of both vectors"""


def similarity(query: Query, rows: Rows) -> Likeness:
    """How alike the query's item, which has a vector, and the rows (n,) are."""
    space, both = query.parts.space, np.concatenate([(query.item,), rows])
    vectors = query.vectors(both)
    learned = np.zeros(len(both), bool) if space is None else space.learned(both)
    cosine = vectors[1:] @ vectors[0]
    confidence = _confidence(query, rows)
    behaviour = cosine if confidence is None else np.maximum(cosine, confidence)
    content = cosine
    if learned[0]:
        overlap = _overlap(query, rows)
        content = np.where(learned[1:] & (overlap >= 0), overlap, cosine)
    return Likeness(behaviour, content, confidence, learned[1:] & learned[0])


def _overlap(query: Query, rows: Rows) -> Values:
    """The overlap of categories and brand (n,), -1 where the catalogue has neither of one of the two."""
    columns, item = query.columns, query.item
    of_item, brand = columns.categories[item], int(columns.brand[item])
    of_item = of_item[of_item > 0]
    own = len(of_item) + (brand > 0)
    codes, brands = columns.categories.take(rows, axis=0), columns.brand.take(rows)
    in_item = np.zeros(len(columns.category_codes) + 2, np.float32)
    in_item[of_item] = 1
    common, sizes = in_item.take(codes, mode="clip") @ ONES, (codes > 0) @ ONES
    has_brand = brands > 0
    sizes += has_brand
    if brand:
        common += brands == brand
    known = sizes * np.float32(own)
    return np.where(known > 0, common / np.sqrt(np.maximum(known, 1)), np.float32(-1))


def _confidence(query: Query, rows: Rows) -> Values | None:
    """(n,), 0 to 1; None where the item was in no basket with another."""
    found = query.columns.partners.of([query.item])
    if not len(found.partners):
        return None
    baskets = 2.0 ** (query.columns.baskets[query.item] - (query.at - POPULARITY_ORIGIN) / HALF_LIFE)
    order = found.partners.argsort()
    partners = found.partners.take(order)
    place = partners.searchsorted(rows)
    shares = found.shares.take(order).take(place, mode="clip")
    shares *= partners.take(place, mode="clip") == rows
    return np.asarray(shares * np.float32(baskets / (baskets + FEW)))
