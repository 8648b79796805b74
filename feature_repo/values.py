"""Values of features as Feast stores them: the bytes of its protobuf message `Value`.

A row has some thirty values, and protobuf makes an object of each and another of each list before it has a byte:
making the bytes at once takes less than half the time, and writing rows is what the job does most. Where protobuf is
faster (long lists of large numbers) it does the work. A property test holds both together, byte by byte.

The format is protobuf's wire format (protobuf.dev/programming-guides/encoding): a tag, and a varint, or a length as a
varint and that many bytes. Little-endian machines only, as of Python's `array`.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from feast.protos.feast.types import Value_pb2 as pb

from operators.contract import Dtype

MANY, LONG = 100_000, 64
"""how many texts' bytes are kept, and from how many characters on a text's are not: it is hardly said twice"""

_VARINTS = [bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7]) for n in range(1 << 14)]


def _varint(n: int) -> bytes:
    if 0 <= n < 1 << 14:
        return _VARINTS[n]
    n &= (1 << 64) - 1  # negative numbers are of two's complement
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _tag(field: str, kind: int) -> bytes:
    return _varint(pb.Value.DESCRIPTOR.fields_by_name[field].number << 3 | kind)


_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_ELEMENT = _varint(1 << 3 | _LENGTH)
"""the tag of a list's values: in each of Feast's lists they are its field 1"""


class _Texts(dict[str, bytes]):
    """Text → its bytes as an element of a list: categories, types and items of rows are the same again and again."""

    def __missing__(self, text: str) -> bytes:
        encoded = text.encode()
        found = _ELEMENT + _varint(len(encoded)) + encoded
        if len(text) < LONG:
            if len(self) >= MANY:
                self.clear()
            self[text] = found
        return found


def _sized(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _packed(tag: bytes, content: bytes) -> bytes:
    """A list of numbers, which are one piece of bytes."""
    return _sized(tag, _ELEMENT + _varint(len(content)) + content) if content else tag + b"\0"


def _scalar(field: str, form: str, kind: int) -> Callable[[Any], bytes]:
    tag, pack = _tag(field, kind), struct.Struct(form).pack
    return lambda value: tag + pack(value)


def _float() -> Callable[[float], bytes]:
    tag = _tag("float_val", _FOUR)
    return lambda value: tag + array("f", (value,)).tobytes()  # struct refuses what is too large; protobuf has infinity


def _integer() -> Callable[[int], bytes]:
    tag = _tag("int64_val", _VARINT)
    return lambda value: tag + _varint(value)


def _text() -> Callable[[str], bytes]:
    tag = _tag("string_val", _LENGTH)
    return lambda value: _sized(tag, value.encode())


def _bytes() -> Callable[[bytes], bytes]:
    tag = _tag("bytes_val", _LENGTH)
    return lambda value: _sized(tag, value)


def _texts() -> Callable[[Sequence[str]], bytes]:
    tag, known = _tag("string_list_val", _LENGTH), _Texts()
    return lambda value: _sized(tag, b"".join(map(known.__getitem__, value)))


def _floats() -> Callable[[Sequence[float]], bytes]:
    tag = _tag("float_list_val", _LENGTH)
    return lambda value: _packed(tag, array("f", value).tobytes())


def _flags() -> Callable[[Sequence[bool]], bytes]:
    tag = _tag("bool_list_val", _LENGTH)
    return lambda value: _packed(tag, bytes(value))


def _integers() -> Callable[[Sequence[int]], bytes]:
    tag = _tag("int64_list_val", _LENGTH)

    def encode(value: Sequence[int]) -> bytes:
        try:
            small = bytes(value)  # counts are: a byte each
        except ValueError:
            small = b"\xff"
        if small.isascii():
            return _packed(tag, small)
        return _sized(tag, pb.Int64List(val=value).SerializeToString())

    return encode


ENCODE: dict[Dtype, Callable[[Any], bytes]] = {
    "int64": _integer(),
    "float32": _float(),
    "float64": _scalar("double_val", "<d", _EIGHT),
    "bool": _scalar("bool_val", "<?", _VARINT),
    "string": _text(),
    "bytes": _bytes(),
    "int64[]": _integers(),
    "float32[]": _floats(),
    "string[]": _texts(),
    "bool[]": _flags(),
}
"""By type: a value → the serialized message."""

_parse = pb.Value.FromString


DECODE: dict[Dtype, Callable[[bytes], Any]] = {
    "int64": lambda packed: _parse(packed).int64_val,
    "float32": lambda packed: _parse(packed).float_val,
    "float64": lambda packed: _parse(packed).double_val,
    "bool": lambda packed: _parse(packed).bool_val,
    "string": lambda packed: _parse(packed).string_val,
    "bytes": lambda packed: _parse(packed).bytes_val,
    "int64[]": lambda packed: list(_parse(packed).int64_list_val.val),
    "float32[]": lambda packed: list(_parse(packed).float_list_val.val),
    "string[]": lambda packed: list(_parse(packed).string_list_val.val),
    "bool[]": lambda packed: list(_parse(packed).bool_list_val.val),
}
"""By type: a serialized message, which is not null, → the value. Feast finds out the type of each message anew, which
takes twice as long."""
