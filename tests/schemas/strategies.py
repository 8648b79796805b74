"""Every event that the contract allows, as hypothesis strategies."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from schemas.events import (
    EARLIEST_MS,
    EVENT_TYPES,
    MOST_WATCHED_S,
    NUMERIC_PROPERTIES,
    TEXT_PROPERTIES,
    Event,
    Impression,
    Interaction,
    Item,
    User,
)
from schemas.topics import IMPRESSIONS, INTERACTIONS, ITEMS, USERS

names = st.text(min_size=1, max_size=12)
optional = st.none() | names
texts = st.text(max_size=40)
times = st.integers(EARLIEST_MS, 2**53)
dates = st.none() | st.integers(-(2**53), 2**53)
finite = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers(-(2**63), 2**63 - 1) | finite
scalars = st.booleans() | numbers | texts
own_names = names.filter(lambda name: name not in NUMERIC_PROPERTIES + TEXT_PROPERTIES)
known = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(NUMERIC_PROPERTIES, numbers)
    | {"watch_seconds": st.floats(0, MOST_WATCHED_S) | st.integers(0, int(MOST_WATCHED_S))}
    | dict.fromkeys(TEXT_PROPERTIES, texts),
)
properties = st.builds(lambda own, ours: own | ours, st.dictionaries(own_names, scalars, max_size=4), known)
attributes = st.dictionaries(names, scalars | st.lists(texts, max_size=4), max_size=6)
name_lists = st.lists(names, max_size=5)


def _interaction(**fields: Any) -> Interaction:
    if fields["event_type"] != "search":
        fields["item_id"] = fields["item_id"] or "i1"
    return Interaction(**fields)


interactions = st.builds(
    _interaction, event_id=names, event_type=st.sampled_from(EVENT_TYPES), user_id=names, timestamp=times,
    item_id=optional, session_id=optional, request_id=optional, properties=properties,
)  # fmt: skip
items = st.builds(
    Item, item_id=names, title=texts, categories=name_lists, brand=optional, created_at=dates,
    price=st.none() | st.floats(0, allow_infinity=False), available=st.booleans(), attributes=attributes,
)  # fmt: skip
users = st.builds(User, user_id=names, attributes=attributes, interests=name_lists, consent=st.none() | st.booleans())


@st.composite
def _impressions(draw: st.DrawFn) -> Impression:
    shown = draw(st.lists(names, min_size=1, max_size=5))
    n = len(shown)
    width = draw(st.integers(1, 3))
    return Impression(
        draw(names), draw(names), draw(times), shown, draw(names), draw(optional), draw(optional), draw(names),
        draw(optional), draw(st.none() | st.lists(st.floats(0, 1, exclude_min=True), min_size=n, max_size=n)),
        draw(st.none() | st.binary(min_size=4 * n * width, max_size=4 * n * width)),
        draw(st.none() | st.integers(-1, 2**63 - 1)),
    )  # fmt: skip


impressions = _impressions()

OF_TOPIC: dict[str, st.SearchStrategy[Any]] = {
    INTERACTIONS: interactions,
    IMPRESSIONS: impressions,
    USERS: users,
    ITEMS: items,
}
events: st.SearchStrategy[Event] = st.one_of(*OF_TOPIC.values())
