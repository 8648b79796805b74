"""The parameters that all surfaces share are read strictly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from serving import parameters
from serving.parameters import Parameter
from serving.problems import Unprocessable
from serving.request_parameters import AT, DRY_RUN, EXCLUDE, MIN_SCORE, MOST_EXCLUDED, OBJECTIVE


def read(parameter: Parameter, *texts: str) -> Any:
    pairs = "&".join(f"{parameter.name}={_quoted(text)}" for text in texts)
    scope = {"type": "http", "query_string": pairs.encode(), "path_params": {}, "headers": []}
    return parameters.read(Request(scope), [parameter])[parameter.name]


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def fault(parameter: Parameter, *texts: str) -> str:
    with pytest.raises(Unprocessable) as raised:
        read(parameter, *texts)
    (found,) = raised.value.errors
    assert found.name == parameter.name
    return found.detail


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("a",), ("a",)), (("a,b", "c"), ("a", "b", "c")), (("a,b,a", "b"), ("a", "b")), ((",a,,",), ("a",)),
        (("a\\,b,c",), ("a,b", "c")), (("a\\\\,b",), ("a\\", "b")), ((" a , b",), (" a ", " b")), ((), ()),
    ],
)  # fmt: skip
def test_item_ids_come_in_one_or_in_several(texts: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert read(EXCLUDE, *texts) == expected


@given(st.lists(st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=20), min_size=1, max_size=9))
def test_any_ids_are_read_as_they_were_written(item_ids: list[str]) -> None:
    text = ",".join(each.replace("\\", "\\\\").replace(",", "\\,") for each in item_ids)
    assert read(EXCLUDE, text) == tuple(dict.fromkeys(item_ids))


@pytest.mark.parametrize("texts", [("",), (",",), ("a\nb",), ("x" * 257,), ("a", ",".join(map(str, range(200))))])
def test_ids_that_cannot_be_are_refused(texts: tuple[str, ...]) -> None:
    assert fault(EXCLUDE, *texts).startswith(
        ("must hold 1 to 200 item ids", "must not hold control", "an id must have")
    )


def test_as_many_ids_as_the_limit_are_taken() -> None:
    assert len(read(EXCLUDE, ",".join(map(str, range(MOST_EXCLUDED))))) == MOST_EXCLUDED


@pytest.mark.parametrize(("text", "expected"), [("0.5", 0.5), ("-3", -3), ("1e2", 100), (".5", 0.5), ("1e9", 1e9)])
def test_a_number(text: str, expected: float) -> None:
    assert read(MIN_SCORE, text) == expected


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e10", "-1e999", "1_0", " 1", "٣", "0x1", "1" * 60, "a"])
def test_what_is_no_number_of_the_range_is_refused(text: str) -> None:
    assert fault(MIN_SCORE, text) == "must be a number from -1e+09 to 1e+09"


def test_a_flag() -> None:
    assert (read(DRY_RUN, "true"), read(DRY_RUN, "false"), read(DRY_RUN)) == (True, False, False)
    for text in ("", "1", "True", "yes"):
        assert fault(DRY_RUN, text) == "must be true or false"


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01", "2026-01-01T00:00:00", "1767225600000"]
)
def test_a_moment(text: str) -> None:
    assert read(AT, text) == 1_767_225_600_000


@pytest.mark.parametrize("text", ["", "now", "1767225600", "2026-13-01", "-1767225600000"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    assert fault(AT, text).startswith("must be ISO 8601")


def test_weights() -> None:
    assert read(OBJECTIVE, "click:1,buy:0.3") == {"click": 1.0, "buy": 0.3}
    assert read(OBJECTIVE, " a:b : -2 ") == {"a:b": -2.0}


@pytest.mark.parametrize(
    "text", ["", "click", ":1", "click:", "click:x", "click:nan", "click:1001", "a:1,,b:1", "a:1,"]
)
def test_what_are_no_weights_is_refused_with_an_example(text: str) -> None:
    assert "such as click:1,buy:0.3" in fault(OBJECTIVE, text)


def test_weights_that_say_nothing_are_refused() -> None:
    assert fault(OBJECTIVE, "a:1,a:2") == "weighs 'a' twice"
    assert fault(OBJECTIVE, "a:0,b:0.0") == "must weigh at least one head other than by 0"
