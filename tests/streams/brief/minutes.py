"""Every family of features of a person, under scopes of a minute."""

from __future__ import annotations

from operators.features import Decay, Scope, Session, Sliding, Tumbling, user
from operators.time import MINUTE
from tests.operators.features.made import FAMILIES, OF_SESSIONS, UNWEIGHTED

SCOPES: dict[str, Scope] = {
    "1m": Sliding(MINUTE),
    "this_minute": Tumbling(MINUTE),
    "minute_before": Tumbling(MINUTE, previous=True),
    "session": Session(MINUTE),
    "decay": Decay(MINUTE),
}
FEATURES = [
    kind(f"{family}_{name}", entity=user, window=scope, **arguments)
    for family, (kind, arguments) in FAMILIES.items()
    for name, scope in SCOPES.items()
    if not (name == "decay" and family in UNWEIGHTED) and not (name != "session" and family in OF_SESSIONS)
]
