"""Reads path and query parameters strictly: an unknown one is an error that names the nearest valid one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from starlette.requests import Request

from recommend.filtering.syntax import LONGEST
from schemas.events import ID_PATTERN, NAME_PATTERN, NO_CONTROL
from schemas.properties import CONTROL
from serving.problems import Fault, Unprocessable
from serving.tokens import MAX_LENGTH, InvalidToken, Token

TOKEN_FORMAT = "receipt-token"
FILTER_FORMAT = "freshet-filter"
"""no sign, no infinity, no underscores"""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of text of limited length; the base of the others."""

    name: str
    doc: str = ""
    default: Any = None
    path: bool = False
    required: bool = False
    longest: int = 256
    repeated: bool = False
    """whether it may be given several times; all of the values are read"""
    is_id: bool = False

    def read_all(self, texts: Sequence[str]) -> Any:
        """The parsed value of all that was given of a repeated parameter. Raises as `read`."""
        raise NotImplementedError

    def read(self, text: str) -> Any:
        """The parsed value. Raises ValueError with the fix."""
        if not 1 <= len(text) <= self.longest:
            raise ValueError(f"must have 1 to {self.longest} characters")
        if CONTROL.search(text):
            raise ValueError(NO_CONTROL)
        return text

    @property
    def schema(self) -> dict[str, Any]:
        """The parameter's JSON Schema."""
        pattern = ID_PATTERN if self.path or self.is_id else NAME_PATTERN
        found: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": self.longest, "pattern": pattern}
        return found if self.default is None else {**found, "default": self.default}


@dataclass(frozen=True, kw_only=True)
class Whole(Parameter):
    """A parameter that is a whole number from `least` to `most`."""

    least: int = 1
    most: int = 200

    def read(self, text: str) -> int:
        # isdecimal alone takes digits of other scripts, which callers do not mean
        if not (text.isascii() and text.isdecimal() and len(text) <= 9 and self.least <= int(text) <= self.most):
            raise ValueError(f"must be a whole number from {self.least} to {self.most}")
        return int(text)

    @property
    def schema(self) -> dict[str, Any]:
        found = {"type": "integer", "minimum": self.least, "maximum": self.most}
        return found if self.default is None else {**found, "default": self.default}


@dataclass(frozen=True, kw_only=True)
class Choice(Parameter):
    """A parameter with a fixed set of values."""

    among: tuple[str, ...]

    def read(self, text: str) -> str:
        if text not in self.among:
            raise ValueError(f"must be one of: {', '.join(self.among)}")
        return text

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.among), "default": self.default}


@dataclass(frozen=True, kw_only=True)
class After(Parameter):
    """A parameter with a token from a receipt."""

    longest: int = MAX_LENGTH

    def read(self, text: str) -> Token:
        try:
            return Token.decode(text)
        except InvalidToken as error:
            raise ValueError(f"{error}; send the `token` of the receipt as it came") from None

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": TOKEN_FORMAT, "minLength": 1, "maxLength": self.longest}


@dataclass(frozen=True, kw_only=True)
class FilterText(Parameter):
    """A parameter with a filter, as docs/filters.md describes them. It is parsed where it is compiled: what it may read
    depends on the catalogue."""

    longest: int = LONGEST

    def read(self, text: str) -> str:
        """The text. Raises ValueError where it is too long."""
        if len(text) > self.longest:
            raise ValueError(f"must have at most {self.longest} characters")
        return text

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": FILTER_FORMAT, "minLength": 1, "maxLength": self.longest}


def read(request: Request, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Name → value, defaults filled in. Raises Unprocessable naming every parameter at fault."""
    given, path = request.query_params, request.path_params
    last = dict(given.multi_items())  # whose `get` does not raise and catch for each parameter that is left out
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    known = 0
    for parameter in parameters:
        name = parameter.name
        text: str | None = path.get(name) if parameter.path else last.get(name)
        if text is None:
            if parameter.required:
                faults.append(Fault(name, f"is required: {parameter.doc}"))
            values[name] = parameter.default
            continue
        known += not parameter.path
        try:
            values[name] = parameter.read_all(given.getlist(name)) if parameter.repeated else parameter.read(text)
        except ValueError as error:
            faults.append(Fault(name, str(error)))
    if known < len(last):
        names = [p.name for p in parameters if not p.path]
        faults += [Fault(name[:100], _unknown(name, names)) for name in given if name not in names]
    if faults:
        raise Unprocessable(f"{faults[0].name}: {faults[0].detail}", faults)
    return values


def _unknown(name: str, names: Sequence[str]) -> str:
    if not names:
        return "is not a parameter; leave it out: there are none here"
    near = get_close_matches(name[:100].lower(), names, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"is not a parameter; {meant}there are {', '.join(names)}"
