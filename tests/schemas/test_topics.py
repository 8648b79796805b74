"""Topics: what each carries, and how it is keyed."""

from __future__ import annotations

import pytest
from hypothesis import given

from schemas import topics
from schemas.events import Event, Impression, Interaction, Item, User
from tests.schemas import strategies

T0 = 1_767_225_600_000


@pytest.mark.parametrize(
    ("event", "topic", "key"),
    [
        (Interaction("e1", "click", "u1", T0, "i1"), "interactions", b"u1"),
        (Impression("r1", "u1", T0, ["i1"]), "impressions", b"u1"),
        (User("u1"), "users", b"u1"),
        (Item("i1"), "items", b"i1"),
        (User("\u00e9\u4e2d"), "users", "\u00e9\u4e2d".encode()),
    ],
)
def test_topic_and_key(event: Event, topic: str, key: bytes) -> None:
    assert (topics.topic_of(event), topics.key_of(event)) == (topic, key)


@given(strategies.events)
def test_one_users_events_meet_in_one_key(event: Event) -> None:
    topic = topics.topic_of(event)
    assert type(event) is topics.EVENT_TYPES_OF[topic]
    assert (topic in topics.USER_KEYED) == hasattr(event, "user_id")


def test_what_is_no_event_has_no_topic() -> None:
    with pytest.raises(TypeError, match="str is not an event"):
        topics.topic_of("click")  # type: ignore[arg-type]


def test_dead_letters_have_topics_of_their_own() -> None:
    assert topics.dlq("users") == "users.dlq"
    assert not {topics.dlq(t) for t in topics.EVENT_TOPICS} & {*topics.EVENT_TOPICS, *topics.COMPACTED}
