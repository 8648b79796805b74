"""Parameters are read strictly; what is wrong is named, all of it at once."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from serving import parameters
from serving.parameters import After, Choice, Fraction, Parameter, Whole
from serving.problems import Unprocessable
from serving.tokens import EventPlace, Token

ALL = (
    Parameter(name="id", path=True), Parameter(name="surface", default="home"), Whole(name="n", default=20),
    Choice(name="explain", default="none", among=("none", "full")), After(name="after", longest=4096),
    Fraction(name="diversity"),
)  # fmt: skip


def read(given: dict[str, str], user: str = "u1") -> dict[str, Any]:
    scope = {"type": "http", "query_string": urlencode(given).encode(), "path_params": {"id": user}, "headers": []}
    return parameters.read(Request(scope), ALL)


def faults(given: dict[str, str], user: str = "u1") -> dict[str, str]:
    with pytest.raises(Unprocessable) as raised:
        read(given, user)
    return {fault.name: fault.detail for fault in raised.value.errors}


def test_defaults_fill_in() -> None:
    assert read({}) == {"id": "u1", "surface": "home", "n": 20, "explain": "none", "after": None, "diversity": None}


def test_what_is_given_is_read() -> None:
    token = Token.of("me", [EventPlace("interactions", 1, 2, "u1")])
    given = {"n": "200", "explain": "full", "after": token.encode(), "surface": "détail 日", "diversity": "0.25"}
    assert read(given) == {
        "id": "u1",
        "surface": "détail 日",
        "n": 200,
        "explain": "full",
        "after": token,
        "diversity": 0.25,
    }


@pytest.mark.parametrize("text", ["", "0", "201", "-1", "1.0", "1e2", " 5", "٣", "²", "9" * 5000, "NaN", "0x10"])
def test_a_whole_number_is_one_of_its_range(text: str) -> None:
    assert faults({"n": text}) == {"n": "must be a whole number from 1 to 200"}


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("1", 1), ("1.000", 1), (".5", 0.5), ("0.", 0), ("5e-1", 0.5), ("1E-05", 0.00001)]
)
def test_a_fraction_is_a_number(text: str, value: float) -> None:
    assert read({"diversity": text})["diversity"] == value


@pytest.mark.parametrize(
    "text", ["", "1.01", "2", "-0", "-0.1", "+1", "nan", "inf", "1e3", "0,5", "50%", " 0", "0_1", "٠", "."]
)
def test_a_fraction_is_from_0_to_1(text: str) -> None:
    assert faults({"diversity": text}) == {"diversity": "must be a number from 0 to 1, such as 0.3"}


@pytest.mark.parametrize("text", ["", "1", "Full", "none,full"])
def test_a_choice_is_one_of_its_values(text: str) -> None:
    assert faults({"explain": text}) == {"explain": "must be one of: none, full"}


@pytest.mark.parametrize("text", ["", "x" * 257])
def test_text_has_limits(text: str) -> None:
    assert faults({"surface": text}) == {"surface": "must have 1 to 256 characters"}


@pytest.mark.parametrize("text", ["\x00", "a\nb", "\x7f"])
def test_text_has_no_control_characters(text: str) -> None:
    assert faults({}, user=text) == {"id": "must not hold control characters"}


def test_a_token_that_is_none_says_what_to_send() -> None:
    assert "send the `token` of the receipt" in faults({"after": "nonsense"})["after"]


def test_an_unknown_parameter_names_those_there_are_and_everything_wrong_is_named() -> None:
    found = faults({"limit": "5", "n": "none"})
    assert found["limit"] == "is not a parameter; there are surface, n, explain, after, diversity"
    assert found["n"] == "must be a whole number from 1 to 200"


@pytest.mark.parametrize(
    ("name", "near"), [("surfce", "surface"), ("Surface", "surface"), ("explian", "explain"), ("afer", "after")]
)
def test_an_unknown_parameter_names_the_nearest(name: str, near: str) -> None:
    assert faults({name: "x"})[name].startswith(f"is not a parameter; did you mean {near}? there are surface, n,")


def test_a_parameter_of_the_path_is_none_of_the_query() -> None:
    assert faults({"id": "u2"}) == {"id": "is not a parameter; there are surface, n, explain, after, diversity"}


def test_twice_the_same_name_is_read_once() -> None:
    scope = {"type": "http", "query_string": b"n=5&n=6", "path_params": {"id": "u1"}, "headers": []}
    assert parameters.read(Request(scope), ALL)["n"] in (5, 6)


@given(st.text(max_size=300))
def test_any_text_is_read_as_it_is_or_refused(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate is in no URL
    good = 1 <= len(text) <= 256 and not any(ord(c) < 32 or ord(c) == 127 for c in text)
    if good:
        assert read({"surface": text})["surface"] == text
    else:
        assert set(faults({"surface": text})) == {"surface"}


@pytest.mark.parametrize("parameter", ALL, ids=lambda p: p.name)
def test_the_schema_has_the_default(parameter: Parameter) -> None:
    assert parameter.schema.get("default") == parameter.default
