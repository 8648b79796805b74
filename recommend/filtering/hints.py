"""Hints for what people write from SQL, Python and other languages: how the filter language spells it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches

from recommend.filtering.nodes import Call, Constant, MemberAccess, Name, Node

CLOSE = 0.75
"""similarity from which a name is offered for one that lacks its `item.` or `user.`"""
_TEXT_METHODS = 'x.contains("…"), x.startsWith("…") or x.endsWith("…")'
_OPERATORS = {
    "=": "==", "&": "&&", "|": "||", "and": "&&", "or": "||", "not": "!", "is": "==", "in": "in, in lower case",
    "like": _TEXT_METHODS, "ilike": _TEXT_METHODS, "~": _TEXT_METHODS, "rlike": _TEXT_METHODS,
    "between": "x >= a && x <= b", "contains": 'text.contains("…"), or "…" in list', "has": '"…" in list',
    "includes": '"…" in list', "startswith": 'x.startsWith("…")', "endswith": 'x.endsWith("…")',
    "“": '"', "”": '"', "„": '"', "‘": '"', "’": '"', "`": '"',
}  # fmt: skip
_NOT_IN = re.compile(r"not\s+in\b", re.IGNORECASE)
_IS_NULL = re.compile(r"is\s+(not\s+)?null\b", re.IGNORECASE)
_AFTER_NOT = re.compile(r"\bnot\s+$", re.IGNORECASE)
_IN_OTHER_BRACKETS = re.compile(r"\bin\s*[({][^(){}\[\]]*$", re.IGNORECASE)
PRESENCE = "has(x) for a field that is there, !has(x) for a missing one"
_VALUES = {
    "true": "true", "false": "false", "null": PRESENCE, "none": PRESENCE, "nil": PRESENCE, "undefined": PRESENCE,
}  # fmt: skip
_CALLS = {
    "len": "size(…)", "length": "size(…)", "count": "size(…)", "any": "list.exists(c, …)", "some": "list.exists(c, …)",
    "every": "list.all(c, …)", "includes": '"…" in list', "date": 'timestamp("…")', "datetime": 'timestamp("…")',
    "to_date": 'timestamp("…")', "interval": 'duration("36h")', "isnull": "!has(x)", "is_null": "!has(x)",
    "isset": "has(x)", "defined": "has(x)", "like": _TEXT_METHODS,
}  # fmt: skip


def operator(text: str, at: int, found: str) -> str:
    """What to write instead of `found`, which the grammar does not expect at `at`; "" where nothing is known."""
    before = text[:at]
    if found == ">" and before.endswith("<"):
        return "!="
    if found == "=" and before.endswith("!="):
        return "!= alone"
    if _NOT_IN.match(text, at):
        return "!(x in list)"
    if null := _IS_NULL.match(text, at):
        return "has(x)" if null[1] else "!has(x)"
    if _AFTER_NOT.search(before):
        return "! instead of not"
    if found in (",", "}") and _IN_OTHER_BRACKETS.search(before):
        return 'a list in [], as in x in ["a", "b"]'
    if found[:1] in ("'", '"') and before[-1:] in ("'", '"'):
        return "\\ before a quote within a text"
    return _OPERATORS.get(found.casefold(), "")


def name(unknown: str, fields: Iterable[str]) -> str:
    """What to write instead of a name that stands alone; `fields` are those that there are, as `item.price`."""
    value = _VALUES.get(unknown.casefold())
    if value:
        return f"write {value}"
    by_name = {field.partition(".")[2].casefold(): field for field in reversed([*fields])}
    near = get_close_matches(unknown[:100].casefold(), by_name, 1, CLOSE)
    return f"did you mean {by_name[near[0]]}?" if near else ""


def text(unknown: str) -> str:
    """What a name that is like no other may have been meant as."""
    return f'fields are written item.NAME, user.NAME and request.NAME, and a text "{unknown[:100]}"'


def call(unknown: str) -> str:
    """What to write instead of a function or method of another language; "" where nothing is known."""
    return _CALLS.get(unknown.casefold(), "")


def of_list(node: Call) -> str:
    """What to write instead of a method of strings that is called on a list."""
    of, argument = spelled(node.of), spelled(node.arguments[0])
    if node.name == "contains":
        return f"; write {argument} in {of}"
    return f"; write {of}.exists(c, c.{node.name}({argument}))"


def no_list(node: Node) -> str:
    """What to write instead of something that `in` cannot look into."""
    if isinstance(node, Constant):
        return "; a list is written in [], with one element too"
    return "; write contains(…) for a part of a string"


def spelled(node: Node | None) -> str:
    """A field or a text as it is written, … for anything longer."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, MemberAccess):
        of = spelled(node.of)
        return f"{of}.{node.name}" if node.name.isidentifier() else f"{of}[{_quoted(node.name)}]"
    return _quoted(node.value) if isinstance(node, Constant) and isinstance(node.value, str) else "…"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
