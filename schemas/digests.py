"""A digest: one message to one person, as a mail or push sender reads it from the topic `digests`."""

from __future__ import annotations

from typing import Annotated

from mmh3 import hash128
from msgspec import Meta, Struct

from schemas.events import Id, Millis, Name, Text


class Digest(Struct, forbid_unknown_fields=True, frozen=True):
    """Items in the order in which they are to be shown; `titles`, `scores` and `reasons` have an entry for each.

    `digest_id` is the same for the same person, channel and period, and the `request_id` of the impression that is
    logged with it: events that name it are attributed to the digest. A sender that has it already sends nothing.
    """

    digest_id: Id
    user_id: Id
    channel: Name
    surface: Name
    period: Name
    timestamp: Millis
    items: Annotated[list[Id], Meta(min_length=1, max_length=200)]
    titles: list[Text]
    scores: list[float]
    reasons: list[str]
    """texts for people, "" where there is none"""
    locale: Name = "en"
    """of the reasons"""
    model_version: Name | None = None
    variant: Name | None = None
    sponsored: list[str] | None = None
    """labels of items in sponsored positions, an entry for each item, "" for others; None where there is none"""


def digest_id(channel: str, period: str, user_id: str) -> str:
    """The id of the one digest of a person, channel and period: 32 hexadecimal digits behind the channel."""
    named = "\0".join((channel, period, user_id))
    return f"{channel}-{hash128(named):032x}"
