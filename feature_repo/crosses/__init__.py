"""Crosses: declared inputs of the ranker, in addition to those of `feature_repo.inputs`.

    views_1h = UserFeature("views_1h", of=user_views_1h)
    category_habit = Affinity("category_habit", of=user_category_events_7d)

Definitions import the families from here. Each family is one function over all candidates at once, which training,
the server and Feast's on-demand view call alike.
"""

from feature_repo.crosses.cross import Cross
from feature_repo.crosses.fields import ItemFeature, UserFeature
from feature_repo.crosses.request import Device, Hour, Position, Weekday
from feature_repo.crosses.taste import Affinity, ItemAge, Overlap, RelativePrice
from feature_repo.crosses.vectors import QueryMatch, Similarity
from feature_repo.reads import NO_READS, Reads
from feature_repo.value import Value

__all__ = [
    "NO_READS", "Affinity", "Cross", "Device", "Hour", "ItemAge", "ItemFeature", "Overlap", "Position", "QueryMatch",
    "Reads", "RelativePrice", "Similarity", "UserFeature", "Value", "Weekday",
]  # fmt: skip
