"""What is checked before a filter is evaluated: names, types, numbers of arguments."""

from __future__ import annotations

import pytest

from feature_repo.columns import ItemColumns
from recommend.filtering import FilterError, ItemFilters
from schemas.events import Item

ATTRIBUTES = {"year": 1979, "cast": ["Weaver"], "hd": True, "lang": "en", "release year": 3}


def filters() -> ItemFilters:
    columns = ItemColumns()
    columns.put_item(Item("i1", "Alien", ["horror"], "Fox", 9.5, 1_700_000_000_000, True, ATTRIBUTES))
    columns.put_item(Item("i2", attributes={"mixed": 1}))
    columns.put_item(Item("i3", attributes={"mixed": "one"}))
    return ItemFilters(columns)


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("itm.price < 3", 0, "itm is not known; did you mean item?"),
        ("true && item.yeer > 1", 8, "item.yeer is not known; did you mean item.year? item has available, brand, cast"),
        ("item.attributes.yeer > 1", 0, "did you mean item.attributes.year?"),
        ('item.Brand == "x"', 0, "did you mean item.brand?"),
        ('request.regoin == "DE"', 0, "did you mean request.region?"),
        ("user.profile.age > 3", 0, "user.profile.age is not known"),
        ("item > 3", 0, "item alone has no value; write item.NAME"),
        ("item.attributes > 3", 0, "item.attributes alone has no value"),
        ("now.year > 3", 0, "now is a timestamp, which has no fields"),
        ('item.price < "3"', 13, "< compares a number with a string"),
        ("item.title == 3", 14, "== compares a string with a number"),
        ("item.created_at > 3", 18, 'write timestamp("2026'),
        ("item.hd < true", 0, "< compares true or false with true or false"),
        ("1 < item.price < 3", 17, "compares true or false with a number"),
        ('item.categories == ["a"]', 0, "compares no lists"),
        ("item.price", 0, "a filter is true or false; this is a number"),
        ("item.price && true", 0, "&& takes true or false; this is a number"),
        ("!item.price", 1, "! takes true or false"),
        ("-item.title == 3", 1, "- takes a number; this is a string"),
        ('item.title + "x" == "y"', 0, "+ is not of a string and a string"),
        ("now + now > now", 0, "+ is not of a timestamp and a timestamp"),
        ('"a" in item.title', 7, "in takes a list; this is a string; write contains"),
        ("1 in item.cast", 0, "in looks for a number in a list of strings"),
        ("item.brand in ('a')", 15, "this is a string; a list is written in []"),
        ('["a", 1].size() > 0', 0, "a list holds numbers alone or strings alone"),
        ('"a" in [item.title]', 7, "holds no fields of items"),
        ("item.year.contains('a')", 0, "contains is of a string; this is a number"),
        ("item.title.contains(3)", 20, "contains takes a string; this is a number"),
        ("item.title.startswith('a')", 0, "did you mean startsWith?"),
        ("startsWith('a', 'b')", 0, "startsWith is written as a method"),
        ("item.title.has()", 0, "has is written as a function"),
        ("matches(item.title)", 0, "matches is not known; there are duration, has, size, timestamp"),
        ("has(3)", 4, "has takes a field"),
        ("has(item.price, 3)", 0, "has takes 1 argument, and has 2"),
        ("size(3) > 1", 5, "size is of a string or a list"),
        ("item.cast.size(1) > 0", 0, "size takes 0 arguments, and has 1"),
        ("item.cast.exists(c)", 0, "exists takes 2 arguments, and has 1"),
        ("item.cast.exists('c', true)", 17, "exists takes a name of elements"),
        ("item.cast.all(c, c)", 17, "all takes true or false; this is a string"),
        ("item.cast.exists(c, c.x == 1)", 20, "which has no fields"),
        ("item.cast.exists(c, c == item.brand)", 25, "other fields of the item cannot be read"),
        ("user.tags.exists(c, user.tags.exists(d, d == c))", 20, "exists cannot stand within another exists or all"),
        ("item.cast.all(c, item.cast.exists(d, d == c))", 17, "exists cannot stand within another"),
        ("[1, 2].exists(c, c == item.price)", 0, "write in for one that is written out"),
        ("item.year.exists(c, true)", 0, "exists is of a list; this is a number"),
        ("item.cast.exists(c, true) && c == 'x'", 29, "c is not known"),
        ('timestamp("soon") < now', 10, "not a time"),
        ('duration("3 days") < duration("1h")', 9, "not a duration"),
        ("timestamp(item.title) < now", 10, "takes a text that is written out"),
        ("item.mixed == item.hd", 14, "compares a number or a string with true or false"),
        ("price < 20", 0, "price is not known; did you mean item.price?"),
        ("item.hd && Yeer > 3", 11, "Yeer is not known; did you mean item.year?"),
        ('"horror" in categories', 12, "categories is not known; did you mean item.categories?"),
        ('interests.exists(c, c == "a")', 0, "interests is not known; did you mean user.interests?"),
        ('device == "ios"', 0, "device is not known; did you mean request.device?"),
        ("has(price)", 4, "did you mean item.price?"),
        ("item.brand == Acme", 14, 'request.NAME, and a text "Acme"'),
        ('item.cast.contains("Weaver")', 0, 'this is a list of strings; write "Weaver" in item.cast'),
        ("item.categories.contains(item.brand)", 0, "write item.brand in item.categories"),
        ("item.cast.endsWith('r')", 0, 'write item.cast.exists(c, c.endsWith("r"))'),
        ("item.cast.contains(size(item.title))", 0, "write … in item.cast"),
        ("item.hd == True", 11, "True is not known; write true"),
        ("item.brand == NULL", 14, "NULL is not known; write has(x) for a field that is there, !has(x) for"),
        ("null != item.brand", 0, "write has(x) for a field that is there, !has(x) for a missing one"),
        ("item.cast.contains('a \"b\" ü')", 0, 'write "a \\"b\\" ü" in item.cast'),
        ("len(item.title) > 3", 0, "len is not known; write size(…)"),
        ("item.cast.any(c, c == 'a')", 0, "any is not known; write list.exists(c, …)"),
        ('date("2026-01-01") < now', 0, 'write timestamp("…")'),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(text: str, at: int, says: str) -> None:
    with pytest.raises(FilterError) as raised:
        filters().compile(text)
    assert says in raised.value.reason
    assert raised.value.at == at
    assert str(raised.value).startswith(f"character {at + 1}: ")


def test_an_attribute_is_known_once_an_item_has_it() -> None:
    of = filters()
    with pytest.raises(FilterError, match=r"item\.rating is not known"):
        of.compile("item.rating > 3")
    of.columns.put_item(Item("i9", attributes={"rating": 4.5}))
    of.compile("item.rating > 3")
    of.compile('item.attributes["release year"] == 3')


OPERATIONS = [
    'item.title == "a"', 'item.title != "a"', 'item.title in ["a", "b"]', '"c1" in item.cast',
    'item.title.contains("a")', 'item.item_id.contains("a")', 'item.lang.contains("a")', 'item.lang < "a"',
    "item.lang == item.brand", "item.brand in item.cast", "item.cast.all(c, c.contains('a'))", "item.year % 2 == 1",
    "item.price in [1, 2, 3]", "user.tags.exists(c, c == item.lang)", "size(item.title) > 3",
]  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_cost_of_a_filter_is_limited_whatever_is_expensive_in_it(operation: str) -> None:
    of = filters()
    of.compile(operation)
    n = min(70, 1900 // (len(operation) + 4))
    expensive = " || ".join([operation] * n)
    with pytest.raises(FilterError, match="takes too long to evaluate; expensive are titles"):
        of.compile(expensive)


def test_the_place_is_that_from_which_on_the_filter_is_too_expensive() -> None:
    with pytest.raises(FilterError, match="256 times within exists or all") as raised:
        filters().compile("item.price > 1 && user.tags.all(c, c in item.cast)")
    assert raised.value.at == 35


def test_simple_filters_may_be_long() -> None:
    filters().compile(" || ".join(["has(item.title)"] * 70))  # which are read once
    filters().compile(" || ".join([f'item.lang == "l{n}"' for n in range(80)]))
    filters().compile(" || ".join([f"item.price < {n % 10}" for n in range(110)]))


def test_a_filter_says_where_it_reads_a_field_of_the_person() -> None:
    of = filters()
    assert of.compile("item.price < 3").of_user is None
    assert of.compile("item.price < 3 && item.year > user.age && user.vip").of_user == 30
