"""Features of people, items, and of what is only known with a profile."""

from operators.features import Count, DistinctCount, Entity, LastK, event, item, user

country = Entity("country", (event.user.country,), "where people live")
last = LastK("last", entity=user, of=event.item_id, k=3)
people = DistinctCount("people", entity=item, of=event.user_id)
busy = Count("busy", entity=country)
