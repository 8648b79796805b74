"""The parameters that every surface takes, with the same names and meaning on each."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from recommend.surface import Surface
from recommend.wording import DEFAULT, TEXTS, language_of
from schemas.events import ID_PATTERN, NO_CONTROL
from schemas.local_time import is_zone
from schemas.properties import CONTROL
from serving.cursors import LONGEST as LONGEST_CURSOR
from serving.parameters import After, Choice, FilterText, Parameter, Whole
from serving.problems import Fault, Unprocessable
from serving.tokens import MAX_LENGTH

CURSOR_FORMAT = "freshet-cursor"
OBJECTIVE_FORMAT = "freshet-objective"
TIMEZONE_FORMAT = "iana-timezone"
MOST_EXCLUDED = 200
LARGEST_WEIGHT = 1000.0
LARGEST_SCORE = 1e9
LOCALE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}", re.ASCII)
NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
ID_IN_LIST = re.compile(r"(?:[^,\\]|\\.)+", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Number(Parameter):
    """A parameter that is a number from `least` to `most`."""

    least: float
    most: float

    def read(self, text: str) -> float:
        if len(text) > 50 or not NUMBER.fullmatch(text) or not self.least <= float(text) <= self.most:
            raise ValueError(f"must be a number from {self.least:g} to {self.most:g}")
        return float(text)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, kw_only=True)
class Flag(Parameter):
    """A parameter that is true or false."""

    default: bool = False

    def read(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise ValueError("must be true or false")
        return text == "true"

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean", "default": self.default}


@dataclass(frozen=True, kw_only=True)
class ItemIds(Parameter):
    """A parameter with item ids: several in one, separated by commas, or given several times. A comma or a backslash of
    an id is written with a backslash before it."""

    default: tuple[str, ...] = ()
    repeated: bool = True
    most: int = MOST_EXCLUDED

    def read_all(self, texts: Sequence[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for text in texts:
            for each in ID_IN_LIST.findall(text):
                item_id = re.sub(r"\\(.)", r"\1", each, flags=re.DOTALL)
                if len(item_id) > self.longest:
                    raise ValueError(f"an id must have 1 to {self.longest} characters")
                if CONTROL.search(item_id):
                    raise ValueError(NO_CONTROL)
                found[item_id] = None
        if not 1 <= len(found) <= self.most:
            raise ValueError(f"must hold 1 to {self.most} item ids, and holds {len(found)}")
        return tuple(found)

    @property
    def schema(self) -> dict[str, Any]:
        one = {"type": "string", "minLength": 1, "maxLength": self.longest, "pattern": ID_PATTERN}
        return {"type": "array", "items": one, "minItems": 1, "maxItems": self.most}


@dataclass(frozen=True, kw_only=True)
class PointInTime(Parameter):
    """A parameter that is a time, epoch ms. How far from now it may be is checked where the request is read."""

    def read(self, text: str) -> int:
        try:
            if text.isascii() and text.isdecimal() and len(text) == 13:
                return int(text)
            time = datetime.fromisoformat(text)
            return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            raise ValueError(
                "must be ISO 8601, such as 2026-01-31T10:00:00Z (a + in it is written %2B), or epoch milliseconds"
            ) from None

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True, kw_only=True)
class Weights(Parameter):
    """A parameter with weights by name: `click:1,buy:0.3`. Which names there are depends on the bundle."""

    longest: int = 1000

    def read(self, text: str) -> dict[str, float]:
        if len(text) > self.longest:
            raise ValueError(f"must have at most {self.longest} characters")
        found: dict[str, float] = {}
        for part in text.split(","):
            name, _, number = part.rpartition(":")
            name, number = name.strip(), number.strip()
            if not name or len(number) > 50 or not NUMBER.fullmatch(number) or abs(float(number)) > LARGEST_WEIGHT:
                raise ValueError(
                    f"must be heads with weights from -{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}, such as "
                    f"click:1,buy:0.3; {part[:100]!r} is not one"
                )
            if name in found:
                raise ValueError(f"weighs {name[:100]!r} twice")
            found[name] = float(number)
        if not math.fsum(map(abs, found.values())):
            raise ValueError("must weigh at least one head other than by 0")
        return found

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": OBJECTIVE_FORMAT, "minLength": 1, "maxLength": self.longest}


@dataclass(frozen=True, kw_only=True)
class CursorText(Parameter):
    """A parameter with the cursor of an answer."""

    longest: int = LONGEST_CURSOR

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": CURSOR_FORMAT, "minLength": 1, "maxLength": self.longest}


@dataclass(frozen=True, kw_only=True)
class TimeZone(Parameter):
    """A parameter with the IANA name of a time zone."""

    longest: int = 64

    def read(self, text: str) -> str:
        if len(text) > self.longest or not is_zone(text):
            raise ValueError("must be the IANA name of a time zone, such as Europe/Berlin or UTC")
        return text

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": TIMEZONE_FORMAT, "minLength": 1, "maxLength": self.longest}


@dataclass(frozen=True, kw_only=True)
class Locale(Parameter):
    """A parameter with a locale, read as the language of texts."""

    default: str = DEFAULT
    longest: int = 35

    def read(self, text: str) -> str:
        if len(text) > self.longest or not LOCALE.fullmatch(text):
            raise ValueError("must be a locale of BCP 47, such as de or de-AT")
        return language_of(text)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{LOCALE.pattern}$", "maxLength": self.longest, "default": self.default}


AFTER = After(name="after", doc="the token of a receipt: its events are in the answer", longest=MAX_LENGTH)
DEVICE = Parameter(name="device", doc="what it is shown on")
TIMEZONE = TimeZone(
    name="timezone",
    doc="the time zone that the person is in, an IANA name: what is popular depends on the time of their day. Left "
    "out: `attributes.timezone` of the profile, else UTC",
)
FILTER = FilterText(
    name="filter",
    doc='only items that pass it: a condition in a subset of CEL, such as `item.price < 20 && !("horror" in '
    "item.categories) && item.year >= user.birth_year`",
)
EXCLUDE = ItemIds(
    name="exclude",
    doc=f"up to {MOST_EXCLUDED} items that are not shown: ids separated by commas, or the parameter repeated; those "
    "that no item has are in `unknown_items`",
)
MIN_SCORE = Number(
    name="min_score",
    doc="only items of at least this score, and fewer rather than others; `min_score` of the answer says how many it "
    "removed",
    least=-LARGEST_SCORE,
    most=LARGEST_SCORE,
)
OBJECTIVE = Weights(
    name="objective",
    doc="what is ranked by, instead of the surface's own: heads of its ranker with weights, such as `click:1,buy:0.3`",
)
DIVERSITY = Number(
    name="diversity",
    doc="0: by relevance alone; 1: as diverse as the best candidates allow. Left out: what the surface has",
    least=0,
    most=1,
)
LOCALE_OF_TEXTS = Locale(
    name="locale",
    doc=f"the language of the texts of reasons: {', '.join(TEXTS)}; {DEFAULT} for any other",
)
NEXT = CursorText(
    name="next",
    doc="the `next` of the answer before: the page that follows it. Other parameters stay as they were, but for n, "
    "explain, locale, after, dry_run and variant",
)
DRY_RUN = Flag(name="dry_run", doc="true: nothing is logged as shown")
AT = PointInTime(
    name="at",
    doc="the answer as of this time (ISO 8601 or epoch ms), by which the age and the popularity of items are taken; "
    "features are those of now, and nothing is logged; only where the server has an API key",
)
VARIANT = Parameter(
    name="variant",
    doc="the model to answer with, as `bundles/traffic.json` names it, instead of the one that the person's id falls "
    "to; only where the server has an API key",
)

COMMON = (FILTER, EXCLUDE, MIN_SCORE, OBJECTIVE, DIVERSITY, LOCALE_OF_TEXTS, NEXT, DRY_RUN, AT, VARIANT)
"""taken by every surface, beside `n` and `explain`"""
FREE = frozenset({"n", "explain", "locale", "after", "next", "dry_run", "variant"})
"""those that may differ from page to page"""


def how_many(surface: Surface) -> Parameter:
    """The parameter `n` of a surface."""
    return Whole(name="n", doc="how many items", default=surface.paging.default, most=surface.paging.most)


def which_of(surfaces: Mapping[str, Surface], default: str) -> Parameter:
    """The parameter `surface` of a call that serves several, by name."""
    docs = "; ".join(f"{surface.name}: {surface.doc}" for surface in surfaces.values())
    return Choice(name="surface", doc=f"which surface. {docs}", default=default, among=tuple(surfaces))


def how_many_of(surfaces: Mapping[str, Surface]) -> Parameter:
    """The parameter `n` of a call that serves several surfaces; None where it is left out."""
    limits = "; ".join(f"{s.name}: {s.paging.default}, at most {s.paging.most}" for s in surfaces.values())
    most = max(surface.paging.most for surface in surfaces.values())
    return Whole(name="n", doc=f"how many items; left out: what the surface has. {limits}", most=most)


def length_of(surface: Surface, n: int | None) -> int:
    """How many items the answer of a surface has at most. Raises Unprocessable where it gives fewer than n."""
    paging = surface.paging
    if n is not None and n > paging.most:
        detail = f"must be a whole number from 1 to {paging.most} on the surface {surface.name}"
        raise Unprocessable(f"n: {detail}", [Fault("n", detail)])
    return paging.default if n is None else n


def explained(default: str, among: tuple[str, ...] = ("none", "reason", "full")) -> Parameter:
    """The parameter `explain`."""
    doc = "reason: why each item is there; full: also each item's sources, features and scores, and what each stage did"
    if "events" in among:
        doc += "; events: also which of the person's events moved each item's score, and by how much"
    return Choice(name="explain", doc=doc, default=default, among=among)
