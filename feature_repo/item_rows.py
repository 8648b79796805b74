"""Encodes and decodes rows of the topic `item_features`, from which servers update their item columns.

The key is JSON, `[view, *entity keys]`; the value is MessagePack, `[view, [entity keys], layout, values]`. For a view
of the main path `values` is a list in the order of the view's fields, and `layout` a hash of their names and types
(`layout_of`): a row of another version of the view is refused rather than read into the wrong columns. For declared
features `values` is a map by field name, and `layout` is "".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from feature_repo.views import OF_SERVERS
from operators.contract import Field, Row
from schemas.errors import FreshetError


class OtherLayout(FreshetError):
    """A row of another version of its view."""


class DeclaredRow(NamedTuple):
    """Declared features of an item, by field name."""

    view: str
    key: tuple[str, ...]
    values: dict[str, Any]


def layout_of(fields: Sequence[Field]) -> str:
    """A hash of the names and types of a view's fields, in their order."""
    text = ",".join(f"{field.name}:{field.dtype}" for field in fields)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


LAYOUTS: Mapping[str, str] = {view.name: layout_of(view.fields) for view in OF_SERVERS}
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Any]).decode
_read = msgspec.msgpack.Decoder(tuple[str, tuple[str, ...], str, list[Any] | dict[str, Any]]).decode


def encode(row: Row, fields: Sequence[tuple[int, str]] = ()) -> bytes:
    """The message value of a row. For declared features it has the values at the places of `fields`, by name: a server
    may have other features declared than the job."""
    if fields:
        return _pack((row.view, row.key, "", {name: row.values[place] for place, name in fields}))
    return _pack((row.view, row.key, LAYOUTS.get(row.view, ""), row.values))


def decode(value: bytes) -> Row | DeclaredRow:
    """Raises OtherLayout for a row of another version of its view, and msgspec.DecodeError for anything else."""
    if len(_unpack(value)) == 3:
        raise OtherLayout("an older version wrote them; start the job of this version, which writes them anew")
    view, key, layout, values = _read(value)
    if isinstance(values, dict):
        return DeclaredRow(view, key, values)
    if layout != LAYOUTS.get(view):
        raise OtherLayout(
            f"{view} has the layout {layout!r} there and {LAYOUTS.get(view)!r} here; run job and server of one version"
        )
    return Row(view, key, tuple(values))
