"""The parts of a parsed filter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a filter; `at` is its offset in the text."""

    at: int


@dataclass(frozen=True, slots=True)
class Constant(Node):
    value: float | str | bool


@dataclass(frozen=True, slots=True)
class ListLiteral(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class MemberAccess(Node):
    of: Node
    name: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A call of a function, or of a method where `of` is given."""

    name: str
    of: Node | None
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """An operator and its operands; && and || have two or more."""

    operator: str
    operands: tuple[Node, ...]
