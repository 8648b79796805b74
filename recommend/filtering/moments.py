"""`timestamp("…")` and `duration("…")`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from recommend.filtering.errors import FilterError
from recommend.filtering.nodes import Call, Constant, Node
from recommend.filtering.typed import Typed
from recommend.filtering.values import Kind

UNITS_MS = {"h": 3_600_000.0, "m": 60_000.0, "s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
DURATION = re.compile(r"[+-]?(\d+(\.\d+)?(h|ms|us|ns|m|s))+")


def moment(node: Call, name: str, argument: Node) -> Typed:
    """The checked call of one of them. Raises FilterError."""
    if not (isinstance(argument, Constant) and isinstance(argument.value, str)):
        raise FilterError(argument.at, f"{name} takes a text that is written out")
    text = argument.value
    if name == "timestamp":
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise FilterError(argument.at, 'not a time; write timestamp("2026-01-31T12:00:00Z")') from None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        kind, value = Kind.TIME, when.timestamp() * 1000
    else:
        if not DURATION.fullmatch(text):
            raise FilterError(argument.at, 'not a duration; write duration("36h"), or with m, s or ms')
        total = sum(float(n) * UNITS_MS[unit] for n, _, unit in re.findall(r"(\d+(\.\d+)?)(h|ms|us|ns|m|s)", text))
        kind, value = Kind.DURATION, -total if text.startswith("-") else total
    return Typed(node.at, {kind: lambda s: value})
