"""Filters on columns, compared with the plainest evaluation of one item after the other."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import celpy
import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from feature_repo.columns import ItemColumns
from recommend.filtering import FilterError, ItemFilter, ItemFilters, RequestValues
from recommend.filtering.item_filter import LEAST_MASK_BYTES, MASK_BYTES, _KeptMask
from schemas.events import Item

NOW = 1_767_225_600_000
HOUR = 3_600_000
World = Mapping[str, Any]
"""what one evaluation reads: `item`, `user`, `request`, and variables"""


class Part(NamedTuple):
    """A filter's text, and the oracle of it: None is missing."""

    text: str
    of: Callable[[World], Any]
    any_of: Callable[[World], Any] | None = None
    """the value whatever its type, of a field that has several"""


SEVERAL = ("mixed", "anything")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _typed(value: Any, kind: type | tuple[type, ...]) -> Any:
    """The value where it is of a kind; true and false are no numbers."""
    if isinstance(value, bool) and kind is not bool:
        return None
    return value if isinstance(value, kind) else None


NUMBER, STRING = (int, float), str
words = st.sampled_from(["a", "b", "ab", "B", "", "é"])


def field(root: str, name: str, kind: Any) -> Part:
    return Part(
        f"{root}.{name}",
        lambda w: _typed(w[root].get(name), kind),
        (lambda w: w[root].get(name)) if name in SEVERAL else None,
    )


def constant(value: Any) -> Part:
    return Part(_quoted(value) if isinstance(value, str) else repr(value), lambda w: value)


def _sum(sign: str) -> Callable[[float, float], float]:
    return {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
            "%": math.fmod}[sign]  # fmt: skip


def calculation(a: Part, sign: str, b: Part) -> Part:
    def of(w: World) -> float | None:
        x, y = a.of(w), b.of(w)
        return None if x is None or y is None or (sign in "/%" and y == 0) else _sum(sign)(x, y)

    return Part(f"({a.text} {sign} {b.text})", of)


def _size(of: Part) -> Part:
    def found(w: World) -> int | None:
        value = of.any_of(w) if of.any_of else of.of(w)
        return len(value) if isinstance(value, (str, list)) else None

    return Part(f"size({of.text})", found)


item_numbers = st.sampled_from([field("item", name, NUMBER) for name in ("price", "year", "mixed")])
user_numbers = st.sampled_from([field("user", name, NUMBER) for name in ("age", "anything")])
item_strings = st.sampled_from([field("item", n, STRING) for n in ("brand", "title", "lang", "mixed", "item_id")])
strings = item_strings | st.sampled_from(
    [field("user", "country", STRING), field("user", "anything", STRING), field("request", "region", STRING)]
) | words.map(constant)  # fmt: skip
item_lists = st.sampled_from([field("item", name, list) for name in ("categories", "cast", "mixed")])
user_lists = st.sampled_from([field("user", name, list) for name in ("interests", "tags")])
listed = st.lists(words, max_size=3).map(
    lambda found: Part("[" + ", ".join(map(_quoted, found)) + "]", lambda w: found)
)
numbers = st.recursive(
    item_numbers | user_numbers | st.integers(-3, 12).map(float).map(constant)
    | (item_strings | item_lists | user_lists).map(_size),
    lambda inner: st.builds(calculation, inner, st.sampled_from("+-*/%"), inner),
    max_leaves=3,
)  # fmt: skip
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


def comparison(a: Part, sign: str, b: Part) -> Part:
    def of(w: World) -> bool:
        if a.any_of and b.any_of:
            x, y = a.any_of(w), b.any_of(w)
            if isinstance(x, list) or isinstance(x, STRING) != isinstance(y, STRING):
                return False
            if isinstance(x, bool) and sign not in ("==", "!="):
                return False
            if isinstance(x, bool) != isinstance(y, bool):
                return False
        else:
            x, y = a.of(w), b.of(w)
        return x is not None and y is not None and not isinstance(y, list) and bool(COMPARE[sign](x, y))

    return Part(f"{a.text} {sign} {b.text}", of)


def text_test(a: Part, name: str, b: Part) -> Part:
    test = {"startsWith": str.startswith, "endsWith": str.endswith, "contains": str.__contains__}[name]

    def of(w: World) -> bool:
        x, y = a.of(w), b.of(w)
        return x is not None and y is not None and bool(test(x, y))

    return Part(f"{a.text}.{name}({b.text})", of)


def membership(a: Part, b: Part) -> Part:
    def of(w: World) -> bool:
        x, among = a.of(w), b.of(w)
        return x is not None and among is not None and x in among

    return Part(f"{a.text} in {b.text}", of)


def quantified(of: Part, name: str, body: Part) -> Part:
    check = {"exists": any, "all": all}[name]

    def found(w: World) -> bool:
        among = of.of(w)
        return among is not None and check(bool(body.of({**w, "c": each})) for each in among)

    return Part(f"{of.text}.{name}(c, {body.text})", found)


element = Part("c", lambda w: w["c"])
of_element = st.builds(comparison, st.just(element), st.sampled_from(list(COMPARE)), words.map(constant)) | st.builds(
    text_test, st.just(element), st.sampled_from(["startsWith", "contains"]), words.map(constant)
)
created = Part("item.created_at", lambda w: w["item"].get("created_at"))
moments = st.integers(0, 72).map(lambda h: Part(f'now - duration("{h}h")', lambda w: NOW - h * HOUR))
flags = st.sampled_from([field("item", "hd", bool), field("user", "vip", bool)])
there = st.sampled_from(
    [("item", n) for n in ("price", "brand", "title", "year", "mixed", "cast", "categories", "hd")] + [("user", "age")]
).map(lambda path: Part(f"has({path[0]}.{path[1]})", lambda w: w[path[0]].get(path[1]) is not None))
signs = st.sampled_from(list(COMPARE))
leaves = st.one_of(
    st.builds(comparison, numbers, signs, numbers),
    st.builds(comparison, strings, signs, strings),
    st.builds(comparison, st.just(created), signs, moments),
    st.builds(comparison, flags, st.sampled_from(["==", "!="]), st.sampled_from([Part("true", lambda w: True)])),
    st.builds(text_test, strings, st.sampled_from(["startsWith", "endsWith", "contains"]), strings),
    st.builds(membership, strings, item_lists | user_lists | listed),
    st.builds(quantified, item_lists | user_lists, st.sampled_from(["exists", "all"]), of_element),
    st.builds(
        quantified, user_lists, st.sampled_from(["exists", "all"]),
        st.builds(comparison, st.just(element), st.just("=="), item_strings),
    ),
    flags.map(lambda part: Part(part.text, lambda w: bool(part.of(w)))),
    there,
)  # fmt: skip


def joined(parts: list[Part], sign: str) -> Part:
    check = {"&&": all, "||": any}[sign]
    return Part("(" + f" {sign} ".join(p.text for p in parts) + ")", lambda w: check(p.of(w) for p in parts))


conditions = st.recursive(
    leaves,
    lambda inner: (
        st.builds(joined, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["&&", "||"]))
        | inner.map(lambda part: Part(f"!({part.text})", lambda w: not part.of(w)))
    ),
    max_leaves=4,
)


def random_item(rng: random.Random, n: int) -> Item:
    def some() -> list[str]:
        return rng.sample(["a", "b", "ab", "B", "é", "c"], rng.randrange(4))

    attributes: dict[str, Any] = {
        "year": rng.randrange(12), "hd": rng.random() < 0.5, "lang": rng.choice(["a", "b", "ab"]), "cast": some(),
        "mixed": rng.choice([rng.randrange(5), "a", "ab", some()]),
    }  # fmt: skip
    kept = {name: value for name, value in attributes.items() if rng.random() < 0.7}
    return Item(
        f"i{n}", rng.choice(["", "a", "abc"]), some(), rng.choice([None, "a", "B"]), rng.choice([None, 3.5, 0, 8]),
        rng.choice([None, NOW - 5 * HOUR, NOW - 50 * HOUR]), attributes=kept,
    )  # fmt: skip


def world_of(item: Item, person: dict[str, Any], region: str) -> World:
    own = {
        "item_id": item.item_id, "title": item.title or None, "categories": item.categories, "brand": item.brand,
        "price": item.price, "created_at": item.created_at,
    }  # fmt: skip
    return {
        "item": {**item.attributes, **own},
        "user": {**person["attributes"], "interests": person["interests"]},
        "request": {"region": region or None},
    }


def compiled_of(filters: ItemFilters, part: Part) -> ItemFilter:
    """The filter, unless it is too expensive."""
    try:
        return filters.compile(part.text)
    except FilterError as error:
        if "takes too long" not in str(error):
            raise
        reject()


FIRST = Item("i0", "t", ["a"], "a", 1, NOW, attributes={
    "year": 1, "hd": True, "lang": "a", "cast": ["a"], "mixed": 1})  # fmt: skip
people = st.fixed_dictionaries(
    {
        "interests": st.lists(words, max_size=3),
        "attributes": st.fixed_dictionaries({}, optional={
            "age": st.integers(0, 12), "country": words, "vip": st.booleans(), "tags": st.lists(words, max_size=3),
            "anything": st.integers(0, 5) | words | st.booleans() | st.lists(words, max_size=2),
        }),
    }
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(conditions, st.integers(0, 2**32), st.lists(people, min_size=1, max_size=2), st.sampled_from(["", "a", "b"]))
def test_columns_say_what_one_item_after_the_other_says_while_items_change(
    part: Part, seed: int, persons: list[dict[str, Any]], region: str
) -> None:
    rng = random.Random(seed)
    columns = ItemColumns(capacity=4)
    filters = ItemFilters(columns)
    entries: dict[str, Item] = {}
    for item in (FIRST, Item("i1", attributes={"mixed": "a"}), Item("i2", attributes={"mixed": ["a"]})):
        columns.put_item(item)
        entries[item.item_id] = item
    compiled = compiled_of(filters, part)
    for _ in range(4):
        for _ in range(rng.choice([0, 1, 2, 30])):
            item = random_item(rng, rng.randrange(40))
            columns.put_item(item)
            entries[item.item_id] = item
        for person in persons:
            request = RequestValues(person, NOW, region)
            expected = [bool(part.of(world_of(entries[item_id], person, region))) for item_id in columns.ids]
            found = compiled.mask(request).tolist()
            wrong = {i: (f, e, entries[i]) for i, f, e in zip(columns.ids, found, expected, strict=True) if f != e}
            assert not wrong, part.text
            rows = np.array(rng.sample(range(columns.n), rng.randrange(columns.n)), np.int64)
            assert compiled._evaluate(request, rows, len(rows)).tolist() == [expected[row] for row in rows.tolist()]


# -- the library's own interpreter ------------------------------------------------------------------

CEL = celpy.Environment()
FULL = {"price": 3.5, "year": 7.0, "brand": "ab", "categories": ["a", "ab"], "cast": ["b"], "lang": "a"}
cel_numbers = st.sampled_from([field("item", "price", NUMBER), field("item", "year", NUMBER)]) | st.integers(1, 9).map(
    float
).map(constant)
cel_numbers = cel_numbers | st.builds(calculation, cel_numbers, st.sampled_from("+-*/"), cel_numbers)
cel_strings = st.sampled_from([field("item", "brand", STRING), field("item", "lang", STRING)]) | words.map(constant)
cel_lists = st.sampled_from([field("item", "categories", list), field("item", "cast", list)])
cel_conditions = st.recursive(
    st.one_of(
        st.builds(comparison, cel_numbers, signs, cel_numbers),
        st.builds(comparison, cel_strings, signs, cel_strings),
        st.builds(text_test, cel_strings, st.sampled_from(["startsWith", "endsWith", "contains"]), words.map(constant)),
        st.builds(membership, cel_strings, cel_lists),
        st.builds(quantified, cel_lists, st.sampled_from(["exists", "all"]), of_element),
    ),
    lambda inner: (
        st.builds(joined, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["&&", "||"]))
        | inner.map(lambda part: Part(f"!({part.text})", lambda w: not part.of(w)))
    ),
    max_leaves=3,
)


@settings(deadline=None, max_examples=60)
@given(cel_conditions)
def test_where_nothing_is_missing_filters_mean_what_cel_means(part: Part) -> None:
    columns = ItemColumns()
    rest = {name: FULL[name] for name in ("year", "cast", "lang")}
    columns.put_item(Item("i1", "", FULL["categories"], FULL["brand"], FULL["price"], attributes=rest))
    said = CEL.program(CEL.compile(part.text)).evaluate({"item": celpy.json_to_cel(FULL)})
    found = compiled_of(ItemFilters(columns), part).mask(RequestValues({}, NOW))
    assert found.tolist() == [bool(said)]


# -- missing values, one by one ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("item.price < 5", False), ("item.price != 5", False), ("!(item.price == 5)", True), ("has(item.price)", False),
        ("item.price + 1 > 0", False), ('item.brand != "x"', False), ("item.year == user.year", False),
        ("item.hd", False), ("!item.hd", True), ("item.hd == false", False), ('"a" in item.cast', False),
        ('!("a" in item.cast)', True), ("item.cast.all(c, true)", False), ("size(item.cast) == 0", False),
        ("size(item.categories) == 0", True), ("item.categories.all(c, false)", True), ("1 / 0 > 0", False),
        ("user.year == 3 || true", True), ('request.region != "DE"', False), ("item.created_at < now", False),
    ],
)  # fmt: skip
def test_a_comparison_with_something_missing_is_false(text: str, passes: bool) -> None:
    columns = ItemColumns()
    columns.put_item(FIRST)
    columns.put_item(Item("i1"))
    assert bool(ItemFilters(columns).compile(text).mask(RequestValues({}, NOW))[1]) == passes


def test_an_item_without_a_catalogue_entry_has_nothing_but_its_id() -> None:
    columns = ItemColumns()
    columns.put_item(FIRST)
    columns.row("bare")
    filters = ItemFilters(columns)
    for text, passes in (("has(item.categories)", False), ('item.item_id == "bare"', True), ("item.year == 1", False)):
        assert bool(filters.compile(text).mask(RequestValues({}, NOW))[1]) == passes


# -- masks that are kept -----------------------------------------------------------------------------


def test_a_mask_is_computed_anew_for_changed_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ItemColumns()
    for n in range(100):
        columns.put_item(Item(f"i{n}", price=n))
    filters = ItemFilters(columns)
    compiled, request = filters.compile("item.price < 10"), RequestValues({}, NOW)
    evaluated: list[int] = []
    original = type(compiled)._evaluate

    def spy(self: Any, request: RequestValues, rows: Any, n: int) -> Any:
        evaluated.append(n)
        return original(self, request, rows, n)

    monkeypatch.setattr(type(compiled), "_evaluate", spy)
    assert compiled.mask(request).sum() == 10
    assert compiled.mask(request) is compiled.mask(request)
    columns.put_item(Item("i50", price=1))
    columns.put_item(Item("new", price=1))
    columns.put_item(Item("i3", price=99))
    assert np.flatnonzero(compiled.mask(request)).tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9, 50, 100]
    assert evaluated == [100, 3]
    for n in range(20_000):  # more than are remembered
        columns.put_item(Item(f"i{n % 100}", price=0))
    assert compiled.mask(request).all()
    assert evaluated == [100, 3, 101]


def test_masks_are_of_the_persons_values_and_their_types() -> None:
    columns = ItemColumns()
    columns.put_item(Item("i1", attributes={"x": 1, "flag": True}))
    compiled = ItemFilters(columns).compile("item.x == user.x || item.flag == user.x")
    columns.put_item(Item("i2", attributes={"x": 1}))
    for value, expected in ((1, [True, True]), (True, [True, False]), (2, [False, False]), ("1", [False, False])):
        assert compiled.mask(RequestValues({"attributes": {"x": value}}, NOW)).tolist() == expected


def test_availability_changes_without_an_entry_and_is_never_kept() -> None:
    columns = ItemColumns()
    columns.put_item(Item("i1"))
    compiled = ItemFilters(columns).compile("item.available")
    assert compiled.mask(RequestValues({}, NOW)).tolist() == [True]
    columns.available[0] = False
    assert compiled.mask(RequestValues({}, NOW)).tolist() == [False]


def test_now_is_the_requests_second() -> None:
    columns = ItemColumns()
    columns.put_item(Item("i1", created_at=NOW))
    compiled = ItemFilters(columns).compile("item.created_at >= now")
    assert [compiled.mask(RequestValues({}, NOW + ms)).tolist() for ms in (0, 999, 1000)] == [[True], [True], [False]]


def test_a_mask_that_is_larger_than_all_that_may_be_kept_is_not_kept() -> None:
    filters = ItemFilters(ItemColumns())
    large = _KeptMask(0, np.zeros(65 << 20, bool))
    filters.keep(b"large", large)
    assert filters.kept(b"large") is None


def test_small_masks_are_limited_in_number_and_keys_in_length() -> None:
    """A catalogue without items has masks without bytes."""
    filters = ItemFilters(ItemColumns())
    compiled = filters.compile("user.tags.exists(c, c == user.x)")
    for n in range(5000):
        compiled.mask(RequestValues({"attributes": {"tags": ["x" * 500] * 200, "x": str(n)}}, NOW))
    assert len(filters._masks) == MASK_BYTES // LEAST_MASK_BYTES == 4096
    assert {len(key) for key in filters._masks} == {32}


def test_few_long_filters_are_kept() -> None:
    filters = ItemFilters(ItemColumns())
    for n in range(300):
        filters.compile(" || ".join([f"item.price < {n}"] * 100))
    assert len(filters._filters) < 200


def test_a_mask_of_a_filter_from_before_a_column_is_not_that_of_a_later_one() -> None:
    columns = ItemColumns()
    columns.put_item(Item("i1", attributes={"x": 1}))
    columns.put_item(Item("i2"))
    filters = ItemFilters(columns)
    earlier = filters.compile("has(item.x)")
    columns.put_item(Item("i2", attributes={"x": "one"}))
    earlier.mask(RequestValues({}, NOW))
    assert filters.compile("has(item.x)").mask(RequestValues({}, NOW)).tolist() == [True, True]


def test_a_list_of_the_person_is_looked_at_until_the_result_is_known() -> None:
    columns = ItemColumns()
    columns.put_item(Item("i1", brand="b0"))
    compiled = ItemFilters(columns).compile("user.tags.exists(c, c == item.brand)")
    looked: list[str] = []

    class Counted(str):
        def __hash__(self) -> int:
            looked.append(self)
            return super().__hash__()

    tags = [Counted(f"b{n}") for n in range(200)]
    assert compiled.mask(RequestValues({"attributes": {"tags": tags}}, NOW)).tolist() == [True]
    assert looked == ["b0"]


def test_strings_of_two_columns_are_compared_by_row() -> None:
    columns = ItemColumns()
    items = [("a", "a", ["b"]), ("b", "a", ["b", "a"]), (None, "a", ["c"]), ("c", None, []), ("a", "z", ["a", "z"])]
    for n, (brand, lang, cast) in enumerate(items):
        columns.put_item(Item(f"i{n}", brand or "", cast, brand, attributes={"lang": lang} if lang else {}))
    filters = ItemFilters(columns)
    for text, rows in (
        ("item.brand == item.lang", [0]), ("item.brand != item.lang", [1, 4]),
        ("item.brand in item.categories", [1, 4]),
        ("item.title == item.brand", [0, 1, 3, 4]), ("item.title == item.title", [0, 1, 3, 4]),
        ('item.title != "a"', [1, 3]), ('item.lang != "a"', [4]), ("item.item_id == item.title", []),
    ):  # fmt: skip
        assert np.flatnonzero(filters.compile(text).mask(RequestValues({}, NOW))).tolist() == rows, text
