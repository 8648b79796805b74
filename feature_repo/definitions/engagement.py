"""How people and items are doing, beyond what the main path keeps of them."""

from feature_repo.crosses import Affinity, ItemFeature, UserFeature
from feature_repo.examples import Example
from operators.features import Count, DistinctCount, LastK, Rate, event, item, user, user_category
from operators.time import days, hours
from schemas.events import Impression, Interaction, Item

seen = (event.event_type == "view") | (event.event_type == "click")
shown = event.event_type == "impression"
bought = event.event_type == "purchase"
rated = event.event_type == "rating"
liked = (event.event_type == "like") | (rated & (event.properties.rating >= 4))
judged = rated | (event.event_type == "like") | (event.event_type == "dislike")

user_views_1h = Count("user_views_1h", entity=user, events=seen, window=hours(1))
user_categories_7d = DistinctCount("user_categories_7d", entity=user, of=event.item.categories, window=days(7))
user_last_bought = LastK("user_last_bought", entity=user, events=bought, of=event.item_id, k=5)

item_ctr_24h = Rate(
    "item_ctr_24h", entity=item, top=event.event_type == "click", bottom=shown, window=hours(24), prior=(1, 20)
)
item_people_7d = DistinctCount("item_people_7d", entity=item, of=event.user_id, window=days(7))
item_liked = Rate("item_liked", entity=item, top=liked, bottom=judged, prior=(11, 20))

user_category_events_7d = Count("user_category_events_7d", entity=user_category, window=days(7))
user_category_liked = Rate("user_category_liked", entity=user_category, top=liked, bottom=judged, prior=(11, 20))

# Inputs of the ranker, in addition to the main path's.
liked_by_all = ItemFeature("liked_by_all", of=item_liked, rising=True)
liked_categories = Affinity("liked_categories", of=user_category_liked, rising=True)
breadth_7d = UserFeature("breadth_7d", of=user_categories_7d)

T = 1_767_225_600_000
DRAMA = Item("i1", "A drama", ["drama"])
RATED = [
    Interaction(f"e{stars}", "rating", f"u{n}", T, "i1", properties={"rating": stars})
    for n, stars in enumerate((5, 2), start=1)
]
EXAMPLES = [
    Example(
        user_views_1h, [Interaction("e1", "view", "u1", T, "i1"), Interaction("e2", "like", "u1", T, "i1")], value=1
    ),
    Example(user_views_1h, [Interaction("e1", "view", "u1", T, "i1")], value=0, at=T + hours(1)),
    Example(user_categories_7d, [Interaction("e1", "view", "u1", T, "i1")], value=1, items=[DRAMA]),
    Example(
        user_last_bought,
        [Interaction(f"e{n}", "purchase", "u1", T + n, f"i{n}") for n in range(6)],
        value=["i5", "i4", "i3", "i2", "i1"],
    ),
    Example(
        item_ctr_24h,
        [Impression("r1", "u1", T, ["i1", "i2"]), Interaction("e1", "click", "u1", T + 1, "i1")],
        value=(1 + 1) / (1 + 20),
    ),
    Example(item_people_7d, [Interaction(f"e{n}", "view", f"u{n % 2}", T, "i1") for n in range(4)], value=2),
    Example(
        user_category_events_7d,
        [Interaction(f"e{n}", "view", "u1", T + n, "i1") for n in range(3)],
        value=3,
        items=[DRAMA],
    ),
    Example(item_liked, RATED, value=(1 + 11) / (2 + 20)),
    Example(user_category_liked, RATED, value=(1 + 11) / (1 + 20), items=[DRAMA]),
    Example(liked_by_all, RATED, value=(1 + 11) / (2 + 20)),
    Example(liked_categories, RATED, value=11 / 20, key=("u1", "i2"), items=[DRAMA, Item("i2", "News", ["news"])]),
    Example(breadth_7d, RATED, value=1, items=[DRAMA]),
    Example(liked_categories, RATED, value=(1 + 11) / (1 + 20), items=[DRAMA]),
]
