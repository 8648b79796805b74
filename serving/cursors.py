"""Cursors of pages: what was given and what is left of a list, signed, in the cursor itself.

Nothing is stored for a page: a cursor works on every server, after a restart, and while the online store is away, and a
request that nobody continues costs no write. Items are in it as the first bytes of the hashes of their ids, 6 of those
that are left and 4 of those that were given, so that a cursor stays below what servers and proxies take as a URL. In a
catalogue of a million items another one has the 6 bytes of one of 200 items in one cursor of a million.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

Hashes = npt.NDArray[np.uint64]

MOST_GIVEN = 600
"""items on all pages of one list; the page that reaches it is the last one"""
LONGEST = 6500
"""characters of a cursor: it fits, with a filter, into the 8 kB that proxies take as a line"""
LEFT_BYTES = 6
"""of the hash of an item that is left"""
LEFT_BITS = np.uint64(0xFFFFFFFFFFFF0000)
"""mask of them"""
TAG = 16
"""bytes of the signature"""
BEGIN_ANEW = "leave `next` out to begin anew"


class InvalidCursor(ValueError):
    """A cursor that cannot be used; the text says what to do."""


class _Packed(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    layout: Literal[2]
    made_s: int
    bound: dict[str, bytes]
    relaxed: int
    given: bytes
    left: bytes
    sources: bytes


class Cursor(NamedTuple):
    """What one page says to the next."""

    bound: Mapping[str, bytes]
    """digest of each parameter that all pages have in common, by name"""
    relaxed: int
    """as of `recommend.query.Listed`"""
    given: npt.NDArray[np.uint32]
    """the upper halves of the hashes of all items shown so far"""
    left: Hashes
    """the first LEFT_BYTES of the hashes of those on the list that were not shown, the other bits 0"""
    sources: npt.NDArray[np.uint32]
    """the sources of those that are left, in the same order"""


class Cursors:
    """Writes and reads cursors.

    The signature tells a cursor that was cut, edited or made by somebody else from one of this server's. Without a
    secret it is a checksum; what one could then make up names items to be shown to oneself, which pass the filters as
    all others do.
    """

    def __init__(self, secret: str | None, keep_s: float) -> None:
        """`secret` is the same for all servers; `keep_s` is for how long a cursor is taken."""
        self._key = hashlib.sha256(b"freshet cursors" + (secret or "").encode()).digest()
        self._keep_s = keep_s

    def next(self, cursor: Cursor, now: int) -> str | None:
        """The cursor of the page that follows, or None where this one is the last: MOST_GIVEN items have been given.
        `now` in epoch ms.

        No request may send one that is longer than LONGEST: the last of those that are left are not in it then. They
        are found again behind the others, as items that have come since are."""
        if len(cursor.given) >= MOST_GIVEN:
            return None
        while len(text := self.encode(cursor, now)) > LONGEST and len(cursor.left):
            over = (len(text) - LONGEST) * 3 // 4  # bytes, of which four characters hold three
            keep = max(0, len(cursor.left) - 1 - over // (LEFT_BYTES + _narrow(cursor.sources).itemsize))
            cursor = cursor._replace(left=cursor.left[:keep], sources=cursor.sources[:keep])
        return text if len(text) <= LONGEST else None

    def encode(self, cursor: Cursor, now: int) -> str:
        """Text for a URL; `now` in epoch ms."""
        packed = msgspec.msgpack.encode(
            _Packed(
                2, now // 1000, dict(cursor.bound), cursor.relaxed, cursor.given.astype("<u4").tobytes(),
                _first_bytes(cursor.left), _narrow(cursor.sources).tobytes(),
            )
        )  # fmt: skip
        return urlsafe_b64encode(self._tag(packed) + packed).rstrip(b"=").decode()

    def decode(self, text: str, bound: Mapping[str, bytes], now: int) -> Cursor:
        """The cursor of a request with these parameters. Raises InvalidCursor."""
        try:
            raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        except ValueError:
            raise InvalidCursor(f"is not a cursor; send the `next` of an answer as it came, or {BEGIN_ANEW}") from None
        tag, packed = raw[:TAG], raw[TAG:]
        if not hmac.compare_digest(tag, self._tag(packed)):
            raise InvalidCursor(
                f"is not a cursor of this server; send the `next` of an answer as it came, or {BEGIN_ANEW}"
            )
        try:
            found = msgspec.msgpack.decode(packed, type=_Packed)
            left = _hashes(found.left)
            cursor = Cursor(
                found.bound, found.relaxed, np.frombuffer(found.given, "<u4").astype(np.uint32), left,
                np.frombuffer(found.sources, f"<u{len(found.sources) // max(len(left), 1) or 1}").astype(np.uint32),
            )  # fmt: skip
            if len(cursor.sources) != len(left):
                raise ValueError
        except (msgspec.DecodeError, ValueError, TypeError):
            raise InvalidCursor(f"is a cursor of another version of the server; {BEGIN_ANEW}") from None
        if now / 1000 - found.made_s > self._keep_s:
            raise InvalidCursor(f"is too old: cursors can be used for {self._keep_s:g} s; {BEGIN_ANEW}")
        names = sorted(name for name in {*bound, *cursor.bound} if bound.get(name) != cursor.bound.get(name))
        if names:
            raise InvalidCursor(
                f"belongs to a request with another {' and another '.join(names)}; send what the first page had, or "
                f"{BEGIN_ANEW}"
            )
        return cursor

    def _tag(self, packed: bytes) -> bytes:
        return hashlib.blake2b(packed, key=self._key, digest_size=TAG).digest()


def _first_bytes(hashes: Hashes) -> bytes:
    """The first 4 bytes of all, and then the 2 that follow."""
    return (hashes >> np.uint64(32)).astype("<u4").tobytes() + (hashes >> np.uint64(16)).astype("<u2").tobytes()


def _hashes(packed: bytes) -> Hashes:
    n = len(packed) // LEFT_BYTES
    if n * LEFT_BYTES != len(packed):
        raise ValueError
    upper, lower = np.frombuffer(packed, "<u4", n), np.frombuffer(packed, "<u2", n, 4 * n)
    return upper.astype(np.uint64) << np.uint64(32) | lower.astype(np.uint64) << np.uint64(16)


def _narrow(sources: npt.NDArray[np.uint32]) -> npt.NDArray[np.unsignedinteger[Any]]:
    """The numbers in 1, 2 or 4 bytes each, as the largest needs."""
    most = int(sources.max(initial=0))
    return sources.astype("<u1" if most < 1 << 8 else "<u2" if most < 1 << 16 else "<u4")


def digest(value: object) -> bytes:
    """Tells values of one parameter apart."""
    return _digest(repr(value))


@lru_cache(1024)  # most of them come again in most requests
def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=4).digest()
