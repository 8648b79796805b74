"""One feature stays; new ones of people, items, categories and pairs, and a cross."""

from feature_repo.crosses import ItemFeature
from feature_repo.examples import Example
from operators.features import Count, DistinctCount, LastK, Mean, category, event, item, user, user_category
from schemas.events import Interaction

last = LastK("last", entity=user, of=event.item_id, k=3)
stars = Mean("stars", entity=user, of=event.properties.rating)
people = DistinctCount("people", entity=item, of=event.user_id)
busy = Count("busy", entity=category)
met = Count("met", entity=user_category)
beloved = ItemFeature("beloved", of=people)

T = 1_767_225_600_000
EXAMPLES = [Example(last, [Interaction("e1", "view", "u1", T, "i1")], value=["i1"])]
