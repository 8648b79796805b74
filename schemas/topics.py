"""Kafka topics: their names, what each carries, and how it is keyed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

from schemas.digests import Digest
from schemas.events import Event, Impression, Interaction, Item, LabelledExample, User
from schemas.rules import RuleChange

INTERACTIONS = "interactions"
IMPRESSIONS = "impressions"
USERS = "users"
ITEMS = "items"
ITEM_FEATURES = "item_features"
"""Compacted; the job writes it, servers keep their item columns from it."""

EXAMPLES = "examples"
"""Labelled examples, which the job makes of impressions and interactions."""

RULES = "rules"
"""Compacted, one partition: rules of merchandisers, which servers write and follow."""

DIGESTS = "digests"
"""Messages to people, which senders of mail and push read."""

REFRESH = {"user": "refresh_users", "item": "refresh_items"}
"""By operator: a key in here is loaded, so that it takes its backfilled state (streams/backfilled.py) and its rows are
written; values are empty."""

PARTITIONER = "murmur2_random"
"""librdkafka's name for what Kafka's Java client and kafka-python do: murmur2 of the key. Its own default is another
hash, and a key's messages have to be in one partition whoever writes them."""

EVENT_TYPES_OF: dict[str, type[Event]] = {
    INTERACTIONS: Interaction,
    IMPRESSIONS: Impression,
    USERS: User,
    ITEMS: Item,
}
EVENT_TOPICS = tuple(EVENT_TYPES_OF)
AvroRecord: TypeAlias = Event | LabelledExample | RuleChange | Digest
"""what a message holds"""
TYPES_OF: dict[str, type[AvroRecord]] = {
    **EVENT_TYPES_OF,
    EXAMPLES: LabelledExample,
    RULES: RuleChange,
    DIGESTS: Digest,
}
"""whatever is Avro"""
USER_KEYED = (INTERACTIONS, IMPRESSIONS, USERS)
COMPACTED = (USERS, ITEMS, ITEM_FEATURES, RULES)


JOB_GROUP = "freshet"
JOB_EVENTS, JOB_CATALOGUE = f"{JOB_GROUP}-events", f"{JOB_GROUP}-catalogue"
"""the job's consumer groups: one for the topics keyed by user, one for items. Offsets are committed at checkpoints."""


_json = json.JSONEncoder(ensure_ascii=False).encode


def dlq(topic: str) -> str:
    """The dead-letter topic of an event topic."""
    return f"{topic}.dlq"


def features_key(view: str, key: Sequence[str]) -> str:
    """The Kafka key of a row of ITEM_FEATURES; JSON, since ids may hold any character that would stand between them."""
    return _json((view, *key))


def topic_of(event: AvroRecord) -> str:
    """The topic that carries events of this type."""
    for topic, kind in TYPES_OF.items():
        if type(event) is kind:
            return topic
    raise TypeError(f"{type(event).__name__} is not an event")


def key_of(event: AvroRecord) -> bytes:
    """The Kafka key: the item for an item, the name for a rule, else the user, so that one user's events keep their
    order."""
    if isinstance(event, RuleChange):
        return event.name.encode()
    return (event.item_id if isinstance(event, Item) else event.user_id).encode()
