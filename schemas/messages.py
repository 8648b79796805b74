"""One Kafka message of an event topic → one event, or the reason why it is none.

Every consumer of these topics (the job, the server, training, the catalogues that both follow) reads messages with
`read`, so that all of them accept and refuse the same ones.
"""

from __future__ import annotations

from schemas import codec
from schemas.errors import InvalidEvent, Undecodable
from schemas.events import Event, Item, User, from_fields
from schemas.topics import ITEMS, USERS

SHOWN_KEY = 256
"""characters of a wrong key that an error repeats"""


def read(topic: str, key: str | bytes | None, value: bytes | None) -> Event:
    """The event in one message of an event topic.

    An empty value (a tombstone) deletes a key of a compacted topic: the item is not available any more; the person's
    attributes and interests are gone, and their consent stays as it was (`User.consent` is None).

    Raises Undecodable, UnknownSchema or InvalidEvent where the value is no event of the topic, and InvalidEvent where
    the key is not the event's id: partitioning and compaction go by the key.
    """
    name = key if isinstance(key, str) else (key or b"").decode(errors="replace")
    field = key_field(topic)
    if value is None:
        return _deleted(topic, name)
    event: Event = codec.decode(topic, value)
    if name != getattr(event, field):
        raise InvalidEvent(f"the Kafka key is {name[:SHOWN_KEY]!r}; it must be the {field}", field)
    return event


def key_field(topic: str) -> str:
    """The field of the topic's events that is the Kafka key."""
    return "item_id" if topic == ITEMS else "user_id"


def _deleted(topic: str, key: str) -> Item | User:
    if topic == ITEMS:
        return from_fields(Item, {"item_id": key, "available": False})
    if topic == USERS:
        return from_fields(User, {"user_id": key})
    raise Undecodable("the value is empty")
