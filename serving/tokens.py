"""Read-your-own-click tokens: where in Kafka a receipt's events lie, in a form that fits a URL.

base64url of MessagePack `[issuer, {topic: {partition: offset}}]`. The issuer is the server that wrote the
events and so still knows them; another server has to wait for the store.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

MAX_LENGTH = 4096

Partition = Annotated[int, Meta(ge=0, lt=2**31)]
Offset = Annotated[int, Meta(ge=0, lt=2**62)]


class InvalidToken(ValueError):
    """Not a token that any server has issued."""


class Token(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The last offset written to each partition of each topic."""

    issuer: str
    places: dict[str, dict[Partition, Offset]]

    @classmethod
    def of(cls, issuer: str, places: Iterable[tuple[str, int, int]]) -> Token:
        """From (topic, partition, offset) of each event."""
        found: dict[str, dict[int, int]] = {}
        for topic, partition, offset in places:
            offsets = found.setdefault(topic, {})
            offsets[partition] = max(offset, offsets.get(partition, -1))
        return cls(issuer, found)

    def encode(self) -> str:
        """As text for a URL."""
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


_decoder = msgspec.msgpack.Decoder(Token)
