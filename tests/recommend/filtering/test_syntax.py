"""What the parser makes of a filter, and what it says of one that cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommend.filtering.errors import FilterError
from recommend.filtering.nodes import Call, Constant, ListLiteral, MemberAccess, Name, Operation
from recommend.filtering.syntax import DEEPEST, LONGEST, MOST_NODES, parse


def error(text: str) -> tuple[int, str]:
    with pytest.raises(FilterError) as raised:
        parse(text)
    return raised.value.at, raised.value.reason


def test_every_node_has_its_place() -> None:
    price = MemberAccess(0, Name(0, "item"), "price")
    below = Operation(0, "<", (price, Constant(13, 20.0)))
    horror = Operation(21, "in", (Constant(21, "horror"), MemberAccess(33, Name(33, "item"), "categories")))
    assert parse('item.price < 20 && !("horror" in item.categories)') == Operation(
        0, "&&", (below, Operation(19, "!", (horror,)))
    )


def test_chains_are_flat_and_and_binds_closer_than_or() -> None:
    a, b, c, d = (Name(at, name) for at, name in ((0, "a"), (5, "b"), (10, "c"), (15, "d")))
    assert parse("a || b || c && d") == Operation(0, "||", (a, b, Operation(10, "&&", (c, d))))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20.0), ("-2.5e1", -25.0), ("0x1F", 31.0), ("7u", 7.0), (".5", 0.5), ("012", 12.0), ("true", True),
        ("((false))", False), ('"a\\"b"', 'a"b'), ("'日本'", "日本"), ('"\\u00e9"', "é"), ("'''a\nb'''", "a\nb"),
        ('r"\\d"', "\\d"),
        ('"\\x41\\U0001F600\\101\\n"', "A😀A\n"),
    ],
)  # fmt: skip
def test_literals(text: str, value: object) -> None:
    found = parse(text)
    assert isinstance(found, Constant)
    assert (type(found.value), found.value) == (type(value), value)


def test_calls_methods_lists_and_names_in_brackets() -> None:
    item = MemberAccess(0, MemberAccess(0, Name(0, "item"), "attributes"), "a b")
    assert parse('item.attributes["a b"].size()') == Call(0, "size", item, ())
    assert parse("has(x)") == Call(0, "has", None, (Name(4, "x"),))
    assert parse('[1, "a"]') == ListLiteral(0, (Constant(1, 1.0), Constant(4, "a")))


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 0, "the filter is empty"),
        ("  ", 0, "the filter is empty"),
        ("a = 3", 2, "unexpected '='; write =="),
        ("a and b", 2, "unexpected 'and'; write &&"),
        ("a == 1\n & b", 8, "unexpected '&'; write &&"),
        ("item.price <", 12, "the filter ends too early"),
        ('x == "abc', 5, "the text is not closed"),
        ("a ? b : c", 0, "no ? : operator"),
        ("a == null", 5, "no null; write has(x) for a field that is there, !has(x) for a missing one"),
        ('a == b"x"', 5, "no bytes"),
        ('{"a": 1}', 1, "no maps"),
        ("a.b{c: 1}", 0, "no objects"),
        (".a", 0, "not part of the filter language"),
        ("a[0] == 1", 2, "only a name stands in []"),
        ("a == 1e999", 5, "too large"),
        ("a == 0x" + 256 * "f", 5, "too large"),
        ("a == 0x" + 300 * "f" + "u", 5, "too large"),
        ("a == " + 1000 * "9", 5, "too large"),
        ('a == "\\ud800"', 5, "stands for no character"),
        ('a == "\\q"', 5, "stands for no character"),
        ("日 == 1", 0, "unexpected '日'"),
        ("a ==\n== b", 5, "unexpected '=='"),
        ("a == 1 AND b", 7, "unexpected 'AND'; write &&"),
        ("a OR b", 2, "unexpected 'OR'; write ||"),
        ("not a", 4, "unexpected 'a'; write ! instead of not"),
        ("b && NOT a", 9, "write ! instead of not"),
        ("a NOT IN [1]", 2, "unexpected 'NOT'; write !(x in list)"),
        ("a not\nin [1]", 2, "write !(x in list)"),
        ("a IN [1]", 2, "unexpected 'IN'; write in, in lower case"),
        ("a in (1, 2)", 7, "unexpected ','; write a list in []"),
        ("a in {1, 2}", 7, "write a list in []"),
        ("a LIKE '%x'", 2, "unexpected 'LIKE'; write x.contains("),
        ("a <> 1", 3, "unexpected '>'; write !="),
        ("a !== 1", 4, "unexpected '='; write != alone"),
        ("a === 1", 4, "unexpected '='; write =="),
        ("a IS NULL", 2, "unexpected 'IS'; write !has(x)"),
        ("a is not null", 2, "unexpected 'is'; write has(x)"),
        ("a is 3", 2, "unexpected 'is'; write =="),
        ("a BETWEEN 1 AND 2", 2, "write x >= a && x <= b"),
        ("a contains 'x'", 2, 'write text.contains("…"), or "…" in list'),
        ("a == 'O''Hara'", 8, "write \\ before a quote within a text"),
        ("a == “b”", 5, "unexpected '“'; write \""),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, at: int, says: str) -> None:
    found, reason = error(text)
    assert found == at
    assert says in reason


def test_limits() -> None:
    assert error("a" * (LONGEST + 1)) == (LONGEST, f"a filter has at most {LONGEST} characters")
    assert "brackets" in error("(" * 900 + "a" + ")" * 900)[1]
    for deep in ("!" * 200 + "a", "-" * 200 + "1", "a" + ".a" * 200, "+".join(["1"] * 200)):
        assert f"at most {DEEPEST} operators" in error(deep)[1]
    assert "parts" in error("||".join(["a"] * (MOST_NODES + 1)))[1]
    assert isinstance(parse(" || ".join(["a"] * 300)), Operation), "a chain is not deep"


@given(st.text(max_size=60) | st.text("ab.()[]!&|<>=+-*/%\"',:?0123 ", max_size=60))
def test_any_text_is_read_or_refused_with_a_place_in_it(text: str) -> None:
    at = 0
    try:
        parse(text)
    except FilterError as found:
        at = found.at
    assert 0 <= at <= len(text)
