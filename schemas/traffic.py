"""Reads `bundles/traffic.json`: bundles that serve in addition to the one in force, and their shares of people.

    {"candidate": {"bundle": "20260101T100000-ab12", "share": 0.1},
     "shadow": {"bundle": "20260102T100000-cd34"}}

Each name is a variant. A person belongs to one for as long as the file says the same: the variants take consecutive
intervals of [0, 1) in the order of the file, and a hash of the user id is a point of it. Whoever is in no interval is
served by the bundle in force, the variant `default`. A share of 0 serves only requests that name the variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import mmh3
import msgspec
from msgspec import Meta, Struct

from schemas.bundle import is_name
from schemas.errors import BundleError
from schemas.manifest import NAME

TRAFFIC = "traffic.json"
DEFAULT = "default"
SALT = "traffic:"
"""keeps this split apart from others by a hash of the user id"""


class Share(Struct, forbid_unknown_fields=True, frozen=True):
    """One variant: the bundle that serves it, and its share of people, 0 to 1."""

    bundle: str
    share: Annotated[float, Meta(ge=0, le=1)] = 0.0


Traffic = Mapping[str, Share]


def read(bundles: Path) -> dict[str, Share]:
    """Variant → share; nothing where there is no file. Raises BundleError, which says what to mend."""
    try:
        content = (bundles / TRAFFIC).read_bytes()
    except FileNotFoundError:
        return {}
    try:
        found = msgspec.json.decode(content, type=dict[str, Share])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(f"{TRAFFIC}: {error}") from None
    for name, variant in found.items():
        if not NAME.fullmatch(name) or name == DEFAULT:
            raise BundleError(f"{TRAFFIC}: {name!r} is no name for a variant: use {NAME.pattern}, and not {DEFAULT!r}")
        if not is_name(variant.bundle):
            raise BundleError(f"{TRAFFIC}: {variant.bundle!r} is not the name of a bundle")
    total = sum(variant.share for variant in found.values())
    if total > 1 + 1e-9:
        raise BundleError(f"{TRAFFIC}: the shares add up to {total:g}, more than 1")
    return found


def named_bundles(bundles: Path) -> set[str]:
    """The bundles that the file names. Raises BundleError."""
    return {variant.bundle for variant in read(bundles).values()}


def assign(user_id: str, traffic: Traffic) -> str:
    """The person's variant."""
    point: float = mmh3.hash64(SALT + user_id, signed=False)[0] / 2**64
    for name, variant in traffic.items():
        if point < variant.share:
            return name
        point -= variant.share
    return DEFAULT
