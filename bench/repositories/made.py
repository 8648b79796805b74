"""Typical features of people, items and categories: counts, means, rates and most frequent values over windows."""

from __future__ import annotations

from operators.features import (
    Count,
    DistinctCount,
    Feature,
    Last,
    Max,
    Mean,
    Rate,
    Sum,
    TopK,
    category,
    event,
    item,
    user,
)
from operators.time import days, hours, minutes

TYPES = ("view", "click", "rating", "like", "purchase")
rating, liked = event.properties.rating, event.event_type == "like"
rated = event.event_type == "rating"


def features(n: int) -> list[Feature]:
    """The first `n` of forty, spread over the entities."""
    return [feature for several in zip(of_users(), of_items(), of_categories(), strict=True) for feature in several][:n]


def of_users() -> list[Feature]:
    windows = {"1h": hours(1), "24h": hours(24), "7d": days(7)}
    return [
        *(Count(f"user_{t}_{w}", entity=user, events=event.event_type == t, window=windows[w])
          for w in windows for t in TYPES[:3]),
        Mean("user_stars_7d", entity=user, of=rating, window=days(7)),
        Sum("user_stars_1h", entity=user, of=rating, window=hours(1)),
        DistinctCount("user_items_24h", entity=user, of=event.item_id, window=hours(24)),
        TopK("user_categories_7d", entity=user, of=event.item.categories, k=5, window=days(7)),
        Last("user_last", entity=user, of=event.item_id),
    ]  # fmt: skip


def of_items() -> list[Feature]:
    windows = {"5m": minutes(5), "1h": hours(1), "24h": hours(24), "7d": days(7)}
    return [
        *(Count(f"item_{t}_{w}", entity=item, events=event.event_type == t, window=windows[w])
          for w in windows for t in TYPES[2:4]),
        Mean("item_stars_7d", entity=item, of=rating, window=days(7)),
        Rate("item_liked_7d", entity=item, top=liked, bottom=rated | liked, prior=(1, 4), window=days(7)),
        Rate("item_liked_24h", entity=item, top=liked, bottom=rated | liked, prior=(1, 4), window=hours(24)),
        DistinctCount("item_people_24h", entity=item, of=event.user_id, window=hours(24)),
        Max("item_best_24h", entity=item, of=rating, window=hours(24)),
        Last("item_last", entity=item, of=event.user_id),
    ]  # fmt: skip


def of_categories() -> list[Feature]:
    windows = {"5m": minutes(5), "1h": hours(1), "24h": hours(24), "7d": days(7)}
    return [
        *(Count(f"category_{t}_{w}", entity=category, events=event.event_type == t, window=windows[w])
          for w in windows for t in TYPES[1:4]),
        Mean("category_stars_24h", entity=category, of=rating, window=hours(24)),
        DistinctCount("category_people_24h", entity=category, of=event.user_id, window=hours(24)),
    ]  # fmt: skip
