"""What is declared of people, of pairs with a person, and of keys that are a person's for a short while."""

from feature_repo.definitions.engagement import *  # noqa: F403
from operators.features import Count, Entity, LastK, event, session, user, user_category

request = Entity("request", (event.request_id,), "one answer")
session_category = Entity("session_category", (event.session_id, event.item.categories), "one session and one category")

user_last = LastK("user_last", entity=user, of=event.item_id, k=5)
user_category_last = LastK("user_category_last", entity=user_category, of=event.item_id, k=5)
session_last = LastK("session_last", entity=session, of=event.item_id, k=5)
session_category_n = Count("session_category_n", entity=session_category)
request_last = LastK("request_last", entity=request, of=event.item_id, k=5)
