"""Views by the week are to replace those by the day."""

from operators.features import Count, event, user
from operators.time import days

view = event.event_type == "view"
daily = Count("daily", entity=user, events=view, window=days(1))
weekly = Count("weekly", entity=user, events=view, window=days(7), replaces=daily)
busy = Count("busy", entity=user)
