"""Which keys the job is asked to write again."""

from __future__ import annotations

from feature_repo.repository import Repository
from follow.to_end import Message
from freshet.features import rewrite
from operators.features import Count, category, user
from schemas import codec
from schemas.events import Event, Impression, Interaction, Item, User
from schemas.topics import key_of, topic_of
from tests.operators.signals import T0
from training.replay import KnownItems


def message(event: Event) -> Message:
    return Message(topic_of(event), 0, 0, key_of(event), codec.encode(event))


def test_keys_of_everything_that_events_are_about() -> None:
    drama = Item("i1", categories=["drama"])
    events: list[Event] = [
        drama,
        Item("i9"),
        User("u0"),
        Interaction("e1", "view", "u1", T0, "i1"),
        Interaction("e2", "search", "u2", T0),
        Impression("r1", "u3", T0, ["i1", "i2"]),
    ]
    broken = [Message("interactions", 0, 1, b"u7", b"nonsense"), Message("interactions", 0, 2, b"u8", None)]
    repository = Repository({user: (Count("n", entity=user),), category: (Count("busy", entity=category),)})
    found = rewrite.keys([*map(message, events), *broken], KnownItems([drama]), repository)
    assert found == {"user": {"u0", "u1", "u2", "u3"}, "item": {"i1", "i9", "i2", "drama"}}


def test_keys_of_categories_that_no_item_has_any_more() -> None:
    entries = [Item("i1", categories=["drama"]), Item("i1", categories=["comedy"])]
    repository = Repository({category: (Count("busy", entity=category),)})
    found = rewrite.keys(map(message, entries), KnownItems(entries[1:]), repository)
    assert found["item"] == {"i1", "drama", "comedy"}
