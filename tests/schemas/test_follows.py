"""What an event of following a person has to say."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import codec
from schemas.errors import InvalidEvent
from schemas.events import EVENT_TYPES, Interaction, check
from schemas.topics import INTERACTIONS

T0 = 1_767_225_600_000


def event(kind: Any = "follow", item_id: str | None = None, **properties: Any) -> Interaction:
    return Interaction("f1", kind, "u1", T0, item_id, properties=properties)


@pytest.mark.parametrize("kind", ["follow", "unfollow"])
def test_an_event_without_an_item_that_names_a_person(kind: str) -> None:
    check(event(kind, followed="u2"))
    assert kind not in EVENT_TYPES
    assert codec.decode(INTERACTIONS, codec.encode(event(kind, followed="u2"))) == event(kind, followed="u2")


@pytest.mark.parametrize(
    ("given", "path", "detail"),
    [
        (event(), "properties.followed", "is required where event_type is follow: the user_id of the other person"),
        (event(followed=7), "properties.followed", "must be the user_id of a person"),
        (event(followed=""), "properties.followed", "must be the user_id of a person"),
        (event(followed="x" * 257), "properties.followed", "text of 1 to 256 characters"),
        (event(followed="a\nb"), "properties.followed", "must not hold control characters"),
        (event(followed=".."), "properties.followed", "nor be . or .."),
        (event(followed="u1"), "properties.followed", "nobody follows themselves"),
        (event("unfollow", "i1", followed="u2"), "item_id", "must be left out where event_type is unfollow"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field_and_the_fix(given: Interaction, path: str, detail: str) -> None:
    with pytest.raises(InvalidEvent, match=detail.replace(".", r"\.")) as refused:
        check(given)
    assert refused.value.field == path
