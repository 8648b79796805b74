"""Read-your-own-click tokens: the Kafka offsets of a receipt's events, by person, as text for a URL.

base64url of MessagePack `[issuer, {topic: {partition: [offset, hashes, more]}}]`. The issuer is the server that wrote
the events and still has them; another server waits until the store has them. A batch holds events of many people, each
of whom waits for their own alone: `hashes` are WIDTH bytes of a hash of each person's id; `more` says in the same order
how far beyond `offset` the last of their events lies (unsigned, little-endian, of 1, 2, 4 or 8 bytes). Two people of a
batch whose hashes are equal wait for both; of 1,000 that happens to one in 17,000.

Where a token would become too long, it has the last offset of each partition and no people: then only the
issuer, or a row that has reached the last offset, shows that a person's events are applied.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from operators.hashes import hash64

MAX_LENGTH = 8192
"""characters: 1,000 people take 6,700, and a request's line may have 8 kB with common proxies"""
WIDTH = 3

Partition = Annotated[int, Meta(ge=0, lt=2**31)]
Offset = Annotated[int, Meta(ge=0, lt=2**62)]


class InvalidToken(ValueError):
    """Not a token that any server has issued."""


class EventPlace(NamedTuple):
    """The place of an event in Kafka, and its person; "" for an event of an item."""

    topic: str
    partition: int
    offset: int
    user_id: str = ""


class LastOffsets(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The people of a batch in one partition, and the last offset of each; without hashes, the last offset alone."""

    offset: Offset
    hashes: bytes = b""
    more: bytes = b""

    def __post_init__(self) -> None:
        n = len(self.hashes) // WIDTH
        if n * WIDTH != len(self.hashes) or len(self.more) not in (n, 2 * n, 4 * n, 8 * n):
            raise ValueError("offsets and people do not match")

    def wanted(self, hashed: bytes) -> int | None:
        """The last offset of the person, None where none of the events is theirs."""
        if not self.hashes:
            return self.offset
        width = len(self.more) * WIDTH // len(self.hashes)
        at = self.hashes.find(hashed)
        while at >= 0 and at % WIDTH:
            at = self.hashes.find(hashed, at + 1)
        place = at // WIDTH * width
        return None if at < 0 else self.offset + int.from_bytes(self.more[place : place + width], "little")


class Token(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """By topic and partition, the last offset of each person's events."""

    issuer: str
    places: dict[str, dict[Partition, LastOffsets]]

    @classmethod
    def of(cls, issuer: str, places: Iterable[EventPlace]) -> Token:
        """The token of events at these places; events of items are left out."""
        found: dict[str, dict[int, dict[bytes, int]]] = {}
        for topic, partition, offset, user_id in places:
            if user_id:
                offsets = found.setdefault(topic, {}).setdefault(partition, {})
                hashed = _hashed(user_id)
                offsets[hashed] = max(offset, offsets.get(hashed, -1))
        token = cls(issuer, {t: {p: _people(o) for p, o in by.items()} for t, by in found.items()})
        if len(token.encode()) <= MAX_LENGTH:
            return token
        return cls(issuer, {t: {p: LastOffsets(max(o.values())) for p, o in by.items()} for t, by in found.items()})

    def wanted(self, user_id: str) -> Iterator[tuple[str, int, int]]:
        """(topic, partition, offset) up to which a person's features have to reach."""
        hashed = _hashed(user_id)
        for topic, partitions in self.places.items():
            for partition, people in partitions.items():
                offset = people.wanted(hashed)
                if offset is not None:
                    yield topic, partition, offset

    def encode(self) -> str:
        """The token as text for a URL."""
        return base64.urlsafe_b64encode(msgspec.msgpack.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Token:
        """Raises InvalidToken."""
        if len(text) > MAX_LENGTH:
            raise InvalidToken(f"is longer than {MAX_LENGTH} characters")
        try:
            blob = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return _decoder.decode(blob)
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            raise InvalidToken("is not a token from a receipt") from None


def _hashed(user_id: str) -> bytes:
    return (hash64(user_id) & (1 << 8 * WIDTH) - 1).to_bytes(WIDTH, "little")


def _people(offsets: dict[bytes, int]) -> LastOffsets:
    first = min(offsets.values())
    longest = max(offsets.values()) - first
    width = next(width for width in (1, 2, 4, 8) if longest < 1 << 8 * width)
    more = b"".join((offset - first).to_bytes(width, "little") for offset in offsets.values())
    return LastOffsets(first, b"".join(offsets), more)


_decoder = msgspec.msgpack.Decoder(Token)
