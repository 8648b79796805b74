"""Streaming features: declarations, and the operators that compute them.

    user_views_1h = Count("user_views_1h", entity=user, events=event.event_type == "view", window=hours(1))

Definitions import `event`, entities, scopes and families from here.
"""

from operators.features.counts import Count, Histogram, Rate
from operators.features.declared import WithFeatures
from operators.features.distinct import DistinctCount
from operators.features.entity import (
    Entity,
    brand,
    category,
    item,
    item_region,
    region,
    session,
    user,
    user_brand,
    user_category,
)
from operators.features.entity_operator import EntityOperator
from operators.features.expressions import Expression
from operators.features.feature import Feature
from operators.features.fields import EVERYTHING, INTERACTIONS, event
from operators.features.frequent import Entropy, TopK
from operators.features.last_k import InteractedWith, LastK, Sequence
from operators.features.moments import Max, Mean, Min, Std, Sum
from operators.features.quantiles import Quantiles
from operators.features.recency import First, Last, TimeSinceLast
from operators.features.scopes import LIFETIME, Decay, LastEvents, Lifetime, Scope, Session
from operators.features.sessions import Bounce, SessionDepth, SessionLength
from operators.features.vectors import Vector
from operators.features.windows import Sliding, Tumbling

__all__ = [
    "EVERYTHING", "INTERACTIONS", "LIFETIME", "Bounce", "Count", "Decay", "DistinctCount", "Entity", "EntityOperator",
    "Entropy", "Expression", "Feature", "First", "Histogram", "InteractedWith", "Last", "LastEvents",
    "LastK", "Lifetime", "Max", "Mean", "Min", "Quantiles", "Rate", "Scope", "Sequence", "Session", "SessionDepth",
    "SessionLength", "Sliding", "Std", "Sum", "TimeSinceLast", "TopK", "Tumbling", "Vector", "WithFeatures",
    "brand", "category", "event", "item", "item_region", "region", "session", "user", "user_brand", "user_category",
]  # fmt: skip
