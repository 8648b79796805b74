"""What is known of items and people before anything is known of a person: the table "priors" of a bundle.

`popularity` (items,) has, by label of the space of the surface that uses the table, log2 of how many people have ever
met the item, relative to the item that most have met. `tokens` (k,) are texts `name=value` of attributes of profiles,
and `vectors` (k, dim) how the taste of people who have them differs from everybody's, in that space. `lasting` (1,) is
the share of that popularity, beside the decayed one, in what anybody likes: EVEN where the table lacks it.
training/priors.py fits them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recommend.model import Model
from recommend.query import Query
from recommend.surface import Surface

PRIORS = "priors"
"""the table's name"""
POPULARITY, TOKENS, VECTORS, LASTING = "popularity", "tokens", "vectors", "lasting"
EVEN = 0.5
AGES = (18, 25, 35, 45, 55, 65)
"""first years of the classes of `age`"""
LONGEST = 100
"""characters of a value; longer ones, such as a text about oneself, are nobody else's"""

Table = Mapping[str, npt.NDArray[Any]]


def tokens_of(attributes: Mapping[str, Any]) -> list[str]:
    """The tokens of a profile's attributes: texts and truth values as they are, `age` by its class. Other numbers and
    lists have none."""
    found = []
    for name, value in sorted(attributes.items()):
        if isinstance(value, bool) or (isinstance(value, str) and 0 < len(value) <= LONGEST):
            found.append(f"{name}={value}".casefold())
        elif name == "age" and isinstance(value, int | float) and math.isfinite(value):
            found.append(f"{name}={sum(value >= first for first in AGES)}")
    return found


def difference(table: Table, attributes: Mapping[str, Any]) -> npt.NDArray[np.float32] | None:
    """How the taste of people with these attributes differs from everybody's (dim,); None where no attribute says
    anything."""
    tokens = tokens_of(attributes)
    if not tokens:
        return None
    found = np.isin(table[TOKENS], tokens)
    return np.asarray(table[VECTORS][found].sum(axis=0), np.float32) if found.any() else None


def reads_profiles(model: Model | None, surface: Surface) -> bool:
    """Whether the parts of the surface have priors, which read the attributes of the person's profile."""
    return model is not None and PRIORS in model.parts(surface.parts_name).tables


def difference_of(query: Query) -> npt.NDArray[np.float32] | None:
    """The difference of the query's person (dim,); None where the bundle has no priors or the profile says nothing."""
    table, attributes = query.parts.tables.get(PRIORS), query.request_values.user["attributes"]
    return None if table is None or not attributes else difference(table, attributes)
