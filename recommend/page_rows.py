"""The kinds of rows of a page. A kind is a surface (the algorithm) and a plan: for which requests there are rows of it,
with which titles, and what each asks for.

Rows with the stages of another surface use its parts of a bundle and are subject to the rules for it: `because_item`
those of `similar`, `trending` and `popular_in_region` those of `trending`, the others those of `home`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct

from recommend.explain import LOVED
from recommend.explain_favoured import FavourReasons
from recommend.favourites import ALIKE, FRIENDS
from recommend.filtering import FilterError, ItemFilters
from recommend.filters import Available, NotDisliked, NotItself, Unseen
from recommend.query import Query
from recommend.rankers import ByDue, ByFavour, ByPopularity, EventsNow, InOrder, Onnx
from recommend.retrievers import (
    BuyAgain,
    Favoured,
    LastBegun,
    Nearest,
    Neighbours,
    New,
    PopularEverywhere,
    PopularInRegion,
    Trending,
)
from recommend.retrievers.favoured import has_favourites
from recommend.surface import Surface
from recommend.surfaces import home, similar, trending
from recommend.wording import reason

ON_SALE = "item.on_sale == true"
"""the filter of items on sale: those whose catalogue entry has the attribute `on_sale`, true"""
LEAST = 3
ANCHORS, CATEGORIES = 2, 2
"""rows of these kinds at most"""
UNMET = (Available(), NotDisliked(), Unseen())
MET = (Available(), NotDisliked())


class Title(Struct, frozen=True):
    """What stands over a row: a code for programs, a text in the language of the request, and the category that it
    names, if any."""

    code: str
    text: str
    category: str | None = None


@dataclass(frozen=True)
class RowPlan:
    """One row: its title, the row of the item that it is about (-1 without), and what its query has beside the
    page's: fields of `Query` by name."""

    title: Title
    anchor: int = -1
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RowKind:
    """A kind of rows. `plan` gives those that suit a query; the filters compile what rows filter by."""

    surface: Surface
    plan: Callable[[Query, ItemFilters], Sequence[RowPlan]]
    is_ranked: bool = False
    """whether the person's ranker makes the order; the page runs it once for all such rows"""
    least: int = LEAST
    """items that a row needs, unless rows are shorter; the only row of a page needs one"""
    times: int | None = None
    """times the length of a row: candidates, from which it takes the place of items that rows above have. None: as many
    as the page has places"""
    by_own_score: bool = False
    """whether the value of an item is its score on the surface, 0 to 1, and not that of the person's ranker"""

    @property
    def name(self) -> str:
        """The algorithm, as answers and impressions have it."""
        return self.surface.name


def _always(code: str) -> Callable[[Query, ItemFilters], Sequence[RowPlan]]:
    return lambda query, filters: (RowPlan(_titled(query, code)),)


def _with_recents(code: str) -> Callable[[Query, ItemFilters], Sequence[RowPlan]]:
    return lambda query, filters: (RowPlan(_titled(query, code)),) if len(query.user["recent_items"]) else ()


def _of_others(whose: str) -> Callable[[Query, ItemFilters], Sequence[RowPlan]]:
    return lambda query, filters: (RowPlan(_titled(query, whose)),) if has_favourites(query, whose) else ()


def _titled(query: Query, code: str) -> Title:
    return Title(code, reason(query, "row", variant=code).text)


def _of_anchors(query: Query, filters: ItemFilters) -> Sequence[RowPlan]:
    """The last items that the person did something positive with, of those that the model has a vector of."""
    columns, space = query.columns, query.model.parts(similar.name).space if query.model else None
    if space is None:
        return ()
    found: list[RowPlan] = []
    for row, kind in zip(query.anchors.rows.tolist(), query.anchors.kinds, strict=True):
        if len(found) == ANCHORS:
            break
        if space.vector(columns.ids[row]) is not None and not _is_refused(query, row):
            item = columns.items[row]
            title = (item.title if item else "") or columns.ids[row]
            text = reason(query, "because_item", variant=kind, title=title).text
            found.append(RowPlan(Title("because_item", text), row, {"item": row}))
    return found


def _is_refused(query: Query, row: int) -> bool:
    """Whether the person's controls name the item, so that nothing is explained by it."""
    controls = query.controls
    return row in controls.hidden or row in controls.less_like or bool(controls.refused(np.array([row]))[0])


def _of_region(query: Query, filters: ItemFilters) -> Sequence[RowPlan]:
    if not query.region:
        return ()
    return (RowPlan(Title("popular_in_region", reason(query, "popular_in_region").text)),)


def _of_categories(query: Query, filters: ItemFilters) -> Sequence[RowPlan]:
    """Categories of which the person asks for more, then those with the largest shares of their attention."""
    codes = {name.casefold(): name for name in list(query.columns.category_codes)}
    shares = sorted(query.liked.items(), key=lambda each: (-each[1], each[0]))
    wanted = [name.casefold() for name in (*query.controls.more_categories, *query.controls.interests)]
    wanted += [name for name, share in shares if share >= LOVED]
    refused = {name.casefold() for name in query.controls.refused_categories}
    names = [codes[name] for name in dict.fromkeys(wanted) if name in codes and name not in refused]
    return [
        RowPlan(
            Title("category", reason(query, "row", variant="category", name=name).text, name), about={"category": name}
        )
        for name in names[:CATEGORIES]
    ]


def _on_sale(query: Query, filters: ItemFilters) -> Sequence[RowPlan]:
    """None where no item has the attribute."""
    text = ON_SALE if query.filter is None else f"({query.filter.text}) && {ON_SALE}"
    try:
        return (RowPlan(_titled(query, "on_sale"), about={"filter": filters.compile(text)}),)
    except FilterError:
        return ()


def _like(surface: Surface) -> dict[str, Any]:
    """The fields of a row that has the parts of a bundle and the rules of a surface. Rules add no items to it: one that
    was pinned would not be what the title of the row says."""
    return {"parts_of": surface.name, "rules_of": surface.name, "adds": False}


CONTINUE = Surface(
    name="continue", retrievers=(LastBegun(),), filters=MET, ranker=InOrder(), **_like(home)
)  # fmt: skip
AGAIN = Surface(
    name="again", personal=True, retrievers=(BuyAgain(),), filters=MET, ranker=ByDue(), **_like(home)
)  # fmt: skip
"""GET /v1/users/{id}/again"""
BECAUSE = Surface(
    name="because_item", retrievers=(Neighbours(quota=30),), filters=(*UNMET, NotItself()), ranked=similar.ranked,
    ranker=similar.ranker, objective=similar.objective, **_like(similar)
)  # fmt: skip
NEW = Surface(
    name="new", retrievers=(New(quota=60),), filters=UNMET, ranked=100, ranker=Onnx(fallback=ByPopularity()),
    **_like(home)
)  # fmt: skip
IN_REGION = Surface(
    name="popular_in_region", retrievers=(PopularInRegion(),), filters=UNMET, ranker=EventsNow(),
    **_like(trending)
)  # fmt: skip
TRENDING = Surface(
    name="trending", retrievers=(PopularEverywhere(),), filters=UNMET, ranker=InOrder(), **_like(trending)
)  # fmt: skip
"""everywhere, also for people of a region, who have IN_REGION besides"""
CATEGORY = Surface(
    name="category", retrievers=(Trending(quota=50),), filters=UNMET, ranked=100,
    ranker=Onnx(fallback=ByPopularity()), **_like(home)
)  # fmt: skip
SALE = Surface(
    name="on_sale", retrievers=(Nearest(quota=50), PopularEverywhere(quota=50)), filters=UNMET, ranked=100,
    ranker=Onnx(fallback=ByPopularity()), **_like(home)
)  # fmt: skip

OF_FRIENDS, OF_ALIKE = (
    Surface(
        name=whose, retrievers=(Favoured(whose=whose),), filters=UNMET, ranker=ByFavour(whose=whose),
        explainer=FavourReasons(whose=whose), **_like(home)
    )
    for whose in (FRIENDS, ALIKE)
)  # fmt: skip

FOR_YOU = RowKind(surface=home, plan=_always("for_you"), is_ranked=True)
KINDS = (
    FOR_YOU,
    RowKind(surface=CONTINUE, plan=_with_recents("continue"), least=1),
    RowKind(surface=AGAIN, plan=_with_recents("again"), least=1, by_own_score=True),
    RowKind(surface=BECAUSE, plan=_of_anchors, times=4),
    RowKind(surface=OF_FRIENDS, plan=_of_others(FRIENDS), least=1),
    RowKind(surface=OF_ALIKE, plan=_of_others(ALIKE)),
    RowKind(surface=NEW, plan=_always("new"), is_ranked=True),
    RowKind(surface=CATEGORY, plan=_of_categories, is_ranked=True),
    RowKind(surface=IN_REGION, plan=_of_region),
    RowKind(surface=TRENDING, plan=_always("trending")),
    RowKind(surface=SALE, plan=_on_sale, is_ranked=True),
)
"""of equal value the first one goes first"""
