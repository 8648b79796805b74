"""Parses a filter into a small tree. The grammar is CEL's, parsed by cel-python; what is left of CEL here is a subset.

expression   && || ! == != < <= > >= in + - * / %  ( )
literal      20  1.5  "text"  true  ["a", "b"]
field        item.price  item.attributes["release year"]  user.country  request.region  now
call         has(item.price)  size(item.title)  timestamp("…")  duration("…")
method       item.title.startsWith("…")  item.categories.exists(c, c == "…")
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from celpy.celparser import CELParseError, CELParser
from lark import Token, Tree
from lark.exceptions import UnexpectedToken

from recommend.filtering import hints
from recommend.filtering.errors import FilterError
from recommend.filtering.nodes import Call, Constant, ListLiteral, MemberAccess, Name, Node, Operation

LONGEST = 2000
"""characters"""
DEEPEST = 32
"""operators, calls and brackets within one another"""
MOST_NODES = 500
BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_LEVELS = {
    "relation_lt": "<", "relation_le": "<=", "relation_gt": ">", "relation_ge": ">=", "relation_eq": "==",
    "relation_ne": "!=", "relation_in": "in", "addition_add": "+", "addition_sub": "-", "multiplication_mul": "*",
    "multiplication_div": "/", "multiplication_mod": "%",
}  # fmt: skip


def parse(text: str) -> Node:
    """Raises FilterError with the place of what cannot be read."""
    if not text.strip():
        raise FilterError(0, "the filter is empty")
    if len(text) > LONGEST:
        raise FilterError(LONGEST, f"a filter has at most {LONGEST} characters")
    _check_brackets(text)
    try:
        tree = CELParser().parse(text)
    except CELParseError as error:
        raise _unexpected(text, error) from None
    return _Reader(text).node(tree, 0)


def _check_brackets(text: str) -> None:
    """The library reads brackets of any depth, and what walks over its trees does not. Those in strings count too."""
    depth = 0
    for at, character in enumerate(text):
        depth += BRACKETS.get(character, 0)
        if depth > DEEPEST:
            raise FilterError(at, f"at most {DEEPEST} brackets within one another")


def _unexpected(text: str, error: CELParseError) -> FilterError:
    cause = error.__context__
    if isinstance(cause, UnexpectedToken) and cause.token.type == "$END":
        return FilterError(len(text), "the filter ends too early")
    line, column = error.line or 1, error.column or 1
    at = sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1
    found = str(cause.token) if isinstance(cause, UnexpectedToken) else text[at : at + 1]
    if found in ('"', "'"):
        return FilterError(at, "the text is not closed")
    instead = hints.operator(text, at, found)
    return FilterError(at, f"unexpected {found!r}" + (f"; write {instead}" if instead else ""))


class _Reader:
    """Makes the nodes of one filter, and counts them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._n = 0

    def node(self, tree: Any, depth: int, at: int = 0) -> Node:
        """The node of a tree of the library; `at` is the place where the tree has none of its own."""
        while len(tree.children) == 1 and isinstance(tree.children[0], Tree) and tree.data not in _SPECIAL:
            at, tree = _at(tree, at), tree.children[0]
        at = _at(tree, at)
        self._n += 1
        if self._n > MOST_NODES:
            raise FilterError(at, f"a filter has at most {MOST_NODES} parts")
        if depth > DEEPEST:
            raise FilterError(at, f"nested too deep: at most {DEEPEST} operators and calls within one another")
        rule, children = str(tree.data), tree.children
        if rule in ("conditionalor", "conditionaland"):
            return self._logic(tree, "||" if rule == "conditionalor" else "&&", depth, at)
        if rule in ("relation", "addition", "multiplication"):
            left, right = children
            operands = self.node(left.children[0], depth + 1, at), self.node(right, depth + 1, at)
            return Operation(at, _LEVELS[left.data], operands)
        if rule == "unary":
            sign = "!" if children[0].data == "unary_not" else "-"
            return Operation(at, sign, (self.node(children[1], depth + 1, at),))
        read = _RULES.get(rule)
        if read is None:
            raise FilterError(at, _UNSUPPORTED.get(rule, "this is not part of the filter language"))
        return read(self, children, depth, at)

    def _logic(self, tree: Any, operator: str, depth: int, at: int) -> Node:
        """The operands of a chain, which the library nests to the left."""
        rule, operands = tree.data, []
        while tree.data == rule and len(tree.children) == 2:
            operands.append(tree.children[1])
            tree = tree.children[0]
        operands.append(tree)
        return Operation(at, operator, tuple(self.node(each, depth + 1, at) for each in reversed(operands)))

    def _list_of(self, trees: Any, depth: int, at: int) -> tuple[Node, ...]:
        return tuple(self.node(each, depth + 1, at) for tree in trees for each in tree.children)

    def _ident(self, children: Any, depth: int, at: int) -> Node:
        return Name(at, str(children[0]))

    def _ident_arg(self, children: Any, depth: int, at: int) -> Node:
        return Call(at, str(children[0]), None, self._list_of(children[1:], depth, at))

    def _list_lit(self, children: Any, depth: int, at: int) -> Node:
        return ListLiteral(at, self._list_of(children, depth, at))

    def _member_dot(self, children: Any, depth: int, at: int) -> Node:
        return MemberAccess(at, self.node(children[0], depth + 1, at), str(children[1]))

    def _member_dot_arg(self, children: Any, depth: int, at: int) -> Node:
        return Call(at, str(children[1]), self.node(children[0], depth + 1, at), self._list_of(children[2:], depth, at))

    def _member_index(self, children: Any, depth: int, at: int) -> Node:
        key = self.node(children[1], depth + 1, at)
        if not (isinstance(key, Constant) and isinstance(key.value, str)):
            raise FilterError(key.at, "only a name stands in []: item.attributes[\"release year\"]; lists are tested "
                              "with in, exists, all and size")  # fmt: skip
        return MemberAccess(at, self.node(children[0], depth + 1, at), key.value)

    def _literal(self, children: Any, depth: int, at: int) -> Node:
        token: Token = children[0]
        if token.type in ("STRING_LIT", "MLSTRING_LIT"):
            return Constant(at, _string(token, at))
        if token.type == "BOOL_LIT":
            return Constant(at, str(token) == "true")
        if token.type in ("INT_LIT", "UINT_LIT", "FLOAT_LIT"):
            digits = str(token).rstrip("uU") if token.type == "UINT_LIT" else str(token)
            try:
                value = float(int(digits, 16)) if "0x" in digits.lower() else float(digits)
            except OverflowError:
                value = math.inf
            if not math.isfinite(value):
                raise FilterError(at, "the number is too large")
            return Constant(at, value)
        what = f"null; write {hints.PRESENCE}" if token.type == "NULL_LIT" else "bytes"
        raise FilterError(at, f"the filter language has no {what}")


_RULES: dict[str, Callable[[_Reader, Any, int, int], Node]] = {
    "ident": _Reader._ident,
    "ident_arg": _Reader._ident_arg,
    "list_lit": _Reader._list_lit,
    "member_dot": _Reader._member_dot,
    "member_dot_arg": _Reader._member_dot_arg,
    "member_index": _Reader._member_index,
    "literal": _Reader._literal,
}
_SPECIAL = frozenset({"ident", "literal", "ident_arg", "list_lit"})
"""rules that mean something with one child"""

_UNSUPPORTED = {
    "expr": "the filter language has no ? : operator; write a && b || !a && c",
    "member_object": "the filter language has no objects",
    "map_lit": "the filter language has no maps",
    "mapinits": "the filter language has no maps",
}


def _at(tree: Any, otherwise: int) -> int:
    found = None if tree.meta.empty else tree.meta.start_pos  # true and false are tokens without a place
    return otherwise if found is None else int(found)


def _string(token: str, at: int) -> str:
    """The characters of a literal. (The library's own function drops line breaks.)"""
    raw = token[0] in "rR"
    body = token[1:] if raw else token
    edge = 3 if body[:3] in ('"""', "'''") else 1
    body = body[edge:-edge]
    try:
        text = body if raw else _ESCAPE.sub(_character, body)
        text.encode()  # an escape may stand for half a character
    except (ValueError, KeyError, OverflowError):
        raise FilterError(at, "the text has an escape that stands for no character") from None
    return text


def _character(escape: re.Match[str]) -> str:
    code = escape[0][1:]
    if code[0] in "xXuU":
        return chr(int(code[1:], 16))
    return chr(int(code, 8)) if code[0].isdecimal() else _ESCAPES[code]


_ESCAPE = re.compile(r"\\([xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL)
_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?",
}  # fmt: skip
