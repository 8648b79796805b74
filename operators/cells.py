"""Encoded states: several cells as one piece of bytes, for files, and what has changed between two encodings."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from operators.contract import Cells
from schemas.errors import StateError

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[str, bytes]).decode


def pack(cells: Cells) -> bytes:
    """All cells in one."""
    return _pack(cells)


def unpack(blob: bytes) -> dict[str, bytes]:
    """The cells that `pack` was given. Raises StateError where the bytes are no such thing."""
    try:
        return _unpack(blob)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(f"not an encoded state: {error}") from None


def changed(before: Cells, after: Cells) -> Mapping[str, bytes | None]:
    """The cells of `after` that `before` has not or otherwise, and None for those that are gone."""
    found: dict[str, bytes | None] = {
        name: cell for name, cell in after.items() if (known := before.get(name)) is not cell and known != cell
    }
    if len(before) + len(found) > len(after):  # else none is gone: those that are new are among the found
        found.update((name, None) for name in before.keys() - after.keys())
    return found
