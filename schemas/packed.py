"""MessagePack with NumPy arrays in it, as an extension: dtype, shape and bytes. Nothing in it is a pickle."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import numpy as np

ARRAY, NUMBER, OBJECTS = 1, 2, 3
"""codes of extensions: an array of plain numbers or texts, one NumPy number, an array of Python's objects"""
PLAIN = "biufUS"
T = TypeVar("T")

_packer = msgspec.msgpack.Encoder()


def _hook(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in PLAIN:
            return msgspec.msgpack.Ext(OBJECTS, _encoder.encode(value.tolist()))
        head = (value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes())
        return msgspec.msgpack.Ext(ARRAY, _packer.encode(head))
    if isinstance(value, np.generic):
        return msgspec.msgpack.Ext(NUMBER, _packer.encode((value.dtype.str, value.tobytes())))
    raise NotImplementedError(f"{type(value).__name__} is not packed")


def _unhook(code: int, data: memoryview) -> Any:
    if code == ARRAY:
        dtype, shape, content = msgspec.msgpack.decode(data, type=tuple[str, list[int], bytes])
        return np.frombuffer(content, _plain(dtype)).reshape(shape).copy()
    if code == NUMBER:
        dtype, content = msgspec.msgpack.decode(data, type=tuple[str, bytes])
        return np.frombuffer(content, _plain(dtype))[0]
    if code == OBJECTS:
        return np.array(msgspec.msgpack.decode(data, ext_hook=_unhook), dtype=object)
    raise ValueError(f"no extension {code}")


def _plain(text: str) -> np.dtype[Any]:
    found = np.dtype(text)
    if found.kind not in PLAIN:
        raise ValueError(f"arrays of {text} are not unpacked")
    return found


_encoder = msgspec.msgpack.Encoder(enc_hook=_hook)


def pack(value: Any) -> bytes:
    """The value, in which arrays stand where a type has `Any`."""
    return _encoder.encode(value)


def unpack(data: bytes, kind: type[T]) -> T:
    """The value of `kind`. Raises ValueError (msgspec's errors are such) where the data is of something else."""
    return msgspec.msgpack.decode(data, type=kind, ext_hook=_unhook)
