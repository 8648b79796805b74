"""Every event that the contract allows, as hypothesis strategies."""

from __future__ import annotations

import math
import struct
from typing import Any

from hypothesis import strategies as st

from schemas.events import EARLIEST_MS, EVENT_TYPES, Event, Impression, Interaction, Item, User
from schemas.properties import NUMERIC_PROPERTIES, TEXT_PROPERTIES, Range
from schemas.topics import IMPRESSIONS, INTERACTIONS, ITEMS, USERS

sound = st.characters(exclude_characters=[*map(chr, range(32)), chr(127)], exclude_categories=["Cs"])
names = st.text(sound, min_size=1, max_size=12)
ids = names.filter(lambda text: text not in (".", ".."))
optional = st.none() | names
optional_ids = st.none() | ids
texts = st.text(max_size=40)
times = st.integers(EARLIEST_MS, 2**53)
dates = st.none() | st.integers(-(2**53), 2**53)
finite = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers(-(2**63), 2**63 - 1) | finite
scalars = st.booleans() | numbers | texts
keys = st.text(min_size=1, max_size=12)
own_names = keys.filter(lambda name: name not in (*NUMERIC_PROPERTIES, *TEXT_PROPERTIES))


def within(bounds: Range) -> st.SearchStrategy[float]:
    """Numbers in a range, whole ones too."""
    most = bounds.most if math.isfinite(bounds.most) else None
    whole = st.integers(int(bounds.least) + bounds.above, 2**63 - 1 if most is None else int(most))
    return whole | st.floats(
        bounds.least, most, exclude_min=bounds.above, allow_nan=False, allow_infinity=False, allow_subnormal=False
    )


known = st.fixed_dictionaries(
    {},
    optional={name: within(bounds) for name, bounds in NUMERIC_PROPERTIES.items()}
    | dict.fromkeys(TEXT_PROPERTIES, st.text(sound, max_size=40)),
)
properties = st.builds(lambda own, ours: own | ours, st.dictionaries(own_names, scalars, max_size=4), known)
attributes = st.dictionaries(keys, scalars | st.lists(texts, max_size=4), max_size=6)
name_lists = st.lists(names, max_size=5)


def _interaction(**fields: Any) -> Interaction:
    if fields["event_type"] != "search":
        fields["item_id"] = fields["item_id"] or "i1"
    return Interaction(**fields)


interactions = st.builds(
    _interaction, event_id=ids, event_type=st.sampled_from(EVENT_TYPES), user_id=ids, timestamp=times,
    item_id=optional_ids, session_id=optional_ids, request_id=optional_ids, properties=properties,
)  # fmt: skip
items = st.builds(
    Item, item_id=ids, title=texts, categories=name_lists, brand=optional, created_at=dates,
    price=st.none() | st.floats(0, allow_infinity=False), available=st.booleans(), attributes=attributes,
)  # fmt: skip
users = st.builds(User, user_id=ids, attributes=attributes, interests=name_lists, consent=st.none() | st.booleans())


@st.composite
def _impressions(draw: st.DrawFn) -> Impression:
    shown = draw(st.lists(ids, min_size=1, max_size=5))
    n = len(shown)
    width = draw(st.integers(1, 3))
    explored = sorted(draw(st.sets(st.integers(0, n - 1))))
    k = len(explored)
    numbers = draw(st.lists(st.floats(-100, 100, width=32), min_size=k, max_size=k))
    contexts = struct.pack(f"<{k}f", *numbers) if explored else None
    return Impression(
        draw(ids), draw(ids), draw(times), shown, draw(names), draw(optional), draw(optional), draw(names),
        draw(optional), draw(st.none() | st.lists(st.floats(0, 1, exclude_min=True), min_size=n, max_size=n)),
        draw(st.none() | st.binary(min_size=4 * n * width, max_size=4 * n * width)),
        draw(st.none() | st.integers(-1, 2**63 - 1)), explored=explored, contexts=contexts, context_id=draw(names),
        images=draw(st.none() | st.lists(st.none() | names, min_size=n, max_size=n)), segment=draw(optional),
    )  # fmt: skip


impressions = _impressions()

OF_TOPIC: dict[str, st.SearchStrategy[Any]] = {
    INTERACTIONS: interactions,
    IMPRESSIONS: impressions,
    USERS: users,
    ITEMS: items,
}
events: st.SearchStrategy[Event] = st.one_of(*OF_TOPIC.values())
