"""Checks a filter against the known fields and their types, and makes of it a function of rows and a request."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from feature_repo.attribute_columns import AttributeColumns
from recommend.filtering import hints, operations
from recommend.filtering.comprehension import over_list, over_rows
from recommend.filtering.cost import (
    CALCULATED,
    CALCULATION,
    COLUMN,
    LIST,
    REMAINDER,
    STEP,
    TEXTS,
    TotalCost,
)
from recommend.filtering.cost_of import membership, strings, values
from recommend.filtering.errors import FilterError
from recommend.filtering.fields import NOW, FieldRead, Run, item_field, request_field, unknown, unknown_name, user_field
from recommend.filtering.moments import moment
from recommend.filtering.nodes import Call, Constant, ListLiteral, MemberAccess, Name, Node, Operation
from recommend.filtering.typed import (
    ELEMENT,
    LIST_OF,
    SUMS,
    Typed,
    any_of,
    boolean,
    calculation,
    constant,
    first_of,
    hint,
    joined,
    listing,
    variable,
)
from recommend.filtering.values import Kind, condition

QUANTIFIERS = ("exists", "all")
METHODS = (*operations.TEXT, *QUANTIFIERS, "size")
FUNCTIONS = ("has", "size", "timestamp", "duration")


@dataclass
class Checker:
    """Checks one filter. `reads` gathers the fields that it reads."""

    columns: AttributeColumns
    variables: dict[str, Typed] = field(default_factory=dict)
    reads: dict[str, tuple[int, FieldRead]] = field(default_factory=dict)
    """path → its first place and the field"""
    cost: TotalCost = field(default_factory=TotalCost)
    _over_item: bool = False
    """within exists or all over a list of the item"""

    def whole(self, node: Node) -> Run:
        """The filter as a condition. Raises FilterError."""
        return self._condition(self.typed(node), "a filter is")

    def typed(self, node: Node) -> Typed:
        """Raises FilterError with the place of what does not fit."""
        if isinstance(node, Constant):
            return constant(node)
        if isinstance(node, (Name, MemberAccess)):
            return self._field(node)
        if isinstance(node, ListLiteral):
            return self._list(node)
        if isinstance(node, Call):
            return self._call(node)
        assert isinstance(node, Operation)
        return self._operation(node)

    # -- fields and literals ---------------------------------------------------------------------------

    def _field(self, node: Name | MemberAccess) -> Typed:
        path: list[str] = []
        root: Node = node
        while isinstance(root, MemberAccess):
            path.insert(0, root.name)
            root = root.of
        if not isinstance(root, Name):
            raise FilterError(node.at, "only item, user and request have fields")
        if root.name in self.variables:
            if path:
                raise FilterError(node.at, f"{root.name} is an element of a list, which has no fields")
            self.cost.add(node.at, STEP)
            return replace(self.variables[root.name], at=node.at)
        if root.name == "now":
            if path:
                raise FilterError(node.at, "now is a timestamp, which has no fields")
            found = NOW
        elif root.name not in ("item", "user", "request"):
            raise FilterError(root.at, unknown_name(root.name, self.columns, self.variables))
        elif path in ([], ["attributes"]):
            whole = ".".join([root.name, *path])
            raise FilterError(root.at, f"{whole} alone has no value; write {whole}.NAME")
        elif root.name == "item":
            found = item_field(path, self.columns, node.at)
        else:
            found = user_field(path, node.at) if root.name == "user" else request_field(path, node.at)
        if found.of_rows and self._over_item:
            raise FilterError(node.at, "within an item's own list other fields of the item cannot be read")
        if found.path not in self.reads:
            self.cost.add(node.at, found.cost, once=True)
        self.reads.setdefault(found.path, (node.at, found))
        return Typed(node.at, found.runs, found.of_rows, is_field=True, indexed=found.indexed, longest=found.longest)

    def _list(self, node: ListLiteral) -> Typed:
        items = tuple(self.typed(each) for each in node.items)
        if any(each.of_rows for each in items):
            raise FilterError(node.at, "a list that is written out holds no fields of items")
        kinds = [kind for kind in LIST_OF if all(kind in each.runs for each in items)]
        if not kinds:
            raise FilterError(node.at, "a list holds numbers alone or strings alone")
        runs = {LIST_OF[kind]: listing([each.runs[kind] for each in items]) for kind in kinds}
        return Typed(node.at, runs, size=len(items))

    # -- calls ---------------------------------------------------------------------------------------

    def _call(self, node: Call) -> Typed:
        if node.of is None:
            if node.name not in FUNCTIONS:
                raise FilterError(node.at, _unknown_call(node.name, FUNCTIONS, METHODS, "as a method: x."))
            return self._function(node, node.name, node.arguments)
        if node.name not in METHODS:
            raise FilterError(node.at, _unknown_call(node.name, METHODS, FUNCTIONS, "as a function: "))
        if node.name == "size":
            _count(node, 0)
            return self._function(node, "size", (node.of,))
        if node.name in QUANTIFIERS:
            return self._quantified(node, node.of)
        _count(node, 1)
        target, argument = self.typed(node.of), self.typed(node.arguments[0])
        if Kind.STRINGS in target.runs and Kind.STRING not in target.runs:
            raise FilterError(node.at, f"{node.name} is of a string; this is {target.kinds}{hints.of_list(node)}")
        a = target.as_kind(Kind.STRING, f"{node.name} is of")
        b = argument.as_kind(Kind.STRING, f"{node.name} takes")
        test = operations.TEXT[node.name]
        self.cost.add(node.at, strings(target, argument, TEXTS))
        return boolean(node, lambda s: operations.test_texts(test, a(s), b(s)), target.of_rows or argument.of_rows)

    def _function(self, node: Call, name: str, arguments: Sequence[Node]) -> Typed:
        _count(node, 1, len(arguments))
        if name in ("timestamp", "duration"):
            return moment(node, name, arguments[0])
        of = self.typed(arguments[0])
        if name == "has":
            if not of.is_field:
                raise FilterError(of.at, "has takes a field: has(item.price)")
            self.cost.add(node.at, COLUMN * len(of.runs) if of.of_rows else STEP)
            runs = list(of.runs.values())
            return boolean(
                node, lambda s: functools.reduce(operations.either, [operations.is_present(run(s)) for run in runs]),
                of.of_rows,
            )  # fmt: skip
        kinds = [kind for kind in (Kind.STRING, Kind.STRINGS, Kind.NUMBERS) if kind in of.runs]
        if not kinds:
            raise FilterError(of.at, f"size is of a string or a list; this is {of.kinds}")
        self.cost.add(node.at, (TEXTS if Kind.STRING in kinds else COLUMN) if of.of_rows else STEP)
        sized = [of.runs[kind] for kind in kinds]
        return Typed(node.at, {Kind.NUMBER: lambda s: first_of([operations.size(run(s)) for run in sized])}, of.of_rows)

    def _quantified(self, node: Call, target: Node) -> Typed:
        if self.variables:
            raise FilterError(node.at, f"{node.name} cannot stand within another exists or all")
        of = self.typed(target)
        _count(node, 2)
        named, body = node.arguments
        kinds = [kind for kind in ELEMENT if kind in of.runs]
        if not kinds:
            raise FilterError(of.at, f"{node.name} is of a list; this is {of.kinds}")
        if not of.is_field:
            raise FilterError(
                of.at, f"{node.name} is of a list of the item or the person; write in for one that is written out"
            )
        if not isinstance(named, Name) or named.name in ("item", "user", "request", "now"):
            raise FilterError(named.at, f"{node.name} takes a name of elements: {node.name}(c, c != 'x')")
        name = named.name
        elements: dict[Kind, Run] = {ELEMENT[kind]: variable(name, ELEMENT[kind]) for kind in kinds}
        self.variables = {name: Typed(named.at, elements, of_rows=of.of_rows)}
        self._over_item = of.of_rows
        self.cost.add(node.at, LIST if of.of_rows else STEP)
        self.cost.repeat(of.longest)
        checked = self.typed(body)
        self.cost.add(node.at, COLUMN if checked.of_rows and not of.of_rows else STEP)
        self.cost.repeat(1)
        self.variables = {}
        self._over_item = False
        test = self._condition(checked, f"{node.name} takes")
        every = node.name == "all"
        if of.of_rows:
            run = of.runs[Kind.STRINGS]
            return boolean(node, lambda s: over_rows(run(s), name, test, s, every), of_rows=True)
        lists = [of.runs[kind] for kind in kinds]
        return boolean(
            node, lambda s: any_of([over_list(run(s), name, test, s, every) for run in lists]), checked.of_rows
        )

    # -- operators -----------------------------------------------------------------------------------

    def _operation(self, node: Operation) -> Typed:
        sign, operands = node.operator, [self.typed(each) for each in node.operands]
        of_rows = any(each.of_rows for each in operands)
        if sign in ("&&", "||"):
            parts = [self._condition(each, f"{sign} takes") for each in operands]
            self.cost.add(node.at, sum(COLUMN if each.of_rows else STEP for each in operands))
            join = operations.both if sign == "&&" else operations.either
            return boolean(node, lambda s: joined(join, parts, s), of_rows)
        if sign == "!":
            inner = self._condition(operands[0], "! takes")
            self.cost.add(node.at, COLUMN if of_rows else STEP)
            return boolean(node, lambda s: operations.opposite(inner(s)), of_rows)
        if len(operands) == 1:
            kind = Kind.DURATION if Kind.DURATION in operands[0].runs else Kind.NUMBER
            value = operands[0].as_kind(kind, "- takes")
            self.cost.add(node.at, COLUMN if of_rows else STEP)
            return Typed(node.at, {kind: lambda s: operations.negate(value(s))}, of_rows)
        a, b = operands
        if sign == "in":
            return self._within(node, a, b)
        if sign in operations.COMPARE:
            return self._comparison(node, a, b)
        runs = {
            SUMS[sign, one, other]: calculation(sign, a.runs[one], b.runs[other])
            for one in a.runs
            for other in b.runs
            if (sign, one, other) in SUMS
        }
        if not runs:
            raise FilterError(node.at, f"{sign} is not of {a.kinds} and {b.kinds}")
        each = REMAINDER if sign == "%" else CALCULATION
        self.cost.add(node.at, each * len(runs) if of_rows else CALCULATED)
        return Typed(node.at, runs, of_rows)

    def _comparison(self, node: Operation, a: Typed, b: Typed) -> Typed:
        sign = node.operator
        comparable = [Kind.NUMBER, Kind.STRING, Kind.TIME, Kind.DURATION]
        comparable += [Kind.BOOLEAN] if sign in operations.EQUALITY else []
        kinds = [kind for kind in comparable if kind in a.runs and kind in b.runs]
        if not kinds and any(kind in each.runs for kind in ELEMENT for each in (a, b)):
            raise FilterError(node.at, f"{sign} compares no lists; write in, exists, all or size")
        if not kinds:
            raise FilterError(b.at, f"{sign} compares {a.kinds} with {b.kinds}{hint(next(iter(a.runs)), b)}")
        texts = COLUMN if sign in operations.EQUALITY else TEXTS
        self.cost.add(node.at, sum(strings(a, b, texts) if kind is Kind.STRING else values(a, b) for kind in kinds))
        pairs = [(kind, a.runs[kind], b.runs[kind]) for kind in kinds]
        return boolean(
            node,
            lambda s: any_of([operations.compare(sign, one(s), other(s), kind) for kind, one, other in pairs]),
            a.of_rows or b.of_rows,
        )

    def _within(self, node: Operation, a: Typed, b: Typed) -> Typed:
        kinds = [kind for kind in LIST_OF if kind in a.runs and LIST_OF[kind] in b.runs]
        if not kinds:
            if not any(kind in b.runs for kind in ELEMENT):
                more = hints.no_list(node.operands[1]) if Kind.STRING in b.runs else ""
                raise FilterError(b.at, f"in takes a list; this is {b.kinds}{more}")
            raise FilterError(a.at, f"in looks for {a.kinds} in {b.kinds}")
        self.cost.add(node.at, sum(membership(a, b, kind) for kind in kinds))
        pairs = [(kind, a.runs[kind], b.runs[LIST_OF[kind]]) for kind in kinds]
        return boolean(
            node,
            lambda s: any_of([operations.within(one(s), among(s), kind) for kind, one, among in pairs]),
            a.of_rows or b.of_rows,
        )

    def _condition(self, of: Typed, needs: str) -> Run:
        run = of.as_kind(Kind.BOOLEAN, needs)
        return lambda s: condition(run(s))


def _count(node: Call, wanted: int, given: int | None = None) -> None:
    n = len(node.arguments) if given is None else given
    if n != wanted:
        arguments = f"{wanted} argument{'' if wanted == 1 else 's'}"
        raise FilterError(node.at, f"{node.name} takes {arguments}, and has {n}")


def _unknown_call(name: str, known: Sequence[str], others: Sequence[str], how: str) -> str:
    if name in others:
        return f"{name} is written {how}{name}(…)"
    instead = hints.call(name)
    return f"{name} is not known; write {instead}" if instead else unknown("", name, known)


Checked: TypeAlias = tuple[Run, Mapping[str, tuple[int, FieldRead]]]


def check(node: Node, columns: AttributeColumns) -> Checked:
    """The filter as a function of a scope, and the fields that it reads: path → first place, field. Raises
    FilterError."""
    checker = Checker(columns)
    return checker.whole(node), checker.reads
