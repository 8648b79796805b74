"""The filters that are in force on every surface: those of rules, of the request, of the person and of rotation."""

from __future__ import annotations

from recommend.filters.excluded import Excluded
from recommend.filters.hidden import NotHidden
from recommend.filters.matching import Matching
from recommend.filters.refused import NotRefused
from recommend.filters.rested import Rested
from recommend.query import Query
from recommend.rules.stages import ALLOWED
from recommend.stage import Filter
from recommend.surface import Surface

ON_EVERY_SURFACE: tuple[Filter, ...] = (ALLOWED, Matching(), Excluded(), NotHidden(), NotRefused(), Rested())


def filters_of(surface: Surface, query: Query) -> tuple[Filter, ...]:
    """The surface's filters, and before them those of rules, the request, the person and rotation that apply."""
    own = tuple(each for each in ON_EVERY_SURFACE if each.applies(query))
    return (*own, *surface.filters) if own else surface.filters
