"""Serialization of Apache DataSketches' sketches in msgpack, as their own bytes."""

from __future__ import annotations

from typing import Any

from datasketches import frequent_strings_sketch, hll_sketch, tdigest_double


def encode(found: Any) -> bytes:
    """msgspec's `enc_hook`: the bytes of a sketch. Raises NotImplementedError for any other type."""
    if isinstance(found, hll_sketch):
        return bytes(found.serialize_compact())
    if isinstance(found, (frequent_strings_sketch, tdigest_double)):
        return bytes(found.serialize())
    raise NotImplementedError(f"{type(found).__name__} in a state")


def decode(wanted: Any, blob: Any) -> Any:
    """msgspec's `dec_hook`: the sketch of type `wanted`. Raises ValueError where the bytes are not one."""
    try:
        return wanted.deserialize(blob)
    except (RuntimeError, TypeError, IndexError) as error:
        raise ValueError(f"not a {wanted.__name__}: {error}") from None
