"""Two features of people: one will stay, one will go."""

from operators.features import Count, LastK, event, user
from operators.time import hours

views_1h = Count("views_1h", entity=user, events=event.event_type == "view", window=hours(1))
last = LastK("last", entity=user, of=event.item_id, k=3)
