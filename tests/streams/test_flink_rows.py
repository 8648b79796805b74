"""Rows as `streams.flink_rows` makes them, compared with PyFlink's own conversion."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from pyflink.common import Row, RowKind

from streams import flink_rows
from streams.counts import JobCounters
from tests.operators.records import World
from tests.streams.mini_flink import MiniFlink, Store

MODULE = "pyflink.fn_execution.embedded.converters"


@pytest.fixture
def converters(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """PyFlink's module, which finds Java's classes when it is imported, as it is in a Flink worker."""
    pemja: Any = ModuleType("pemja")
    pemja.findClass = lambda name: name
    monkeypatch.setitem(sys.modules, "pemja", pemja)
    monkeypatch.setitem(sys.modules, "_pemja", ModuleType("_pemja"))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    yield importlib.import_module(MODULE)
    sys.modules.pop(MODULE, None)


VALUES: list[Any] = [
    None,
    (0, ("key", (0, ("key", b"\xc3\x01", "interactions", 3, 2**40, 1_767_225_600_000)))),
    (3, ("", None)),
    (1, ("é", (2, (None,) * 6))),
]


@pytest.mark.parametrize("value", VALUES)
def test_rows_equal_those_of_pyflink(converters: ModuleType, value: Any) -> None:
    plain = converters.IdentityDataConverter()
    inner = converters.RowDataConverter([plain] * 6, list("abcdef"))
    outer = converters.RowDataConverter([plain, inner], ["key", "message"])
    expected = outer.to_internal(value)
    flink_rows.install()
    found = outer.to_internal(value)
    assert converters.RowDataConverter.to_internal is flink_rows.to_internal
    assert found == expected
    if value is not None:
        assert vars(found).keys() == vars(expected).keys()
        assert (found.get_row_kind(), found.key, found["message"]) == (
            RowKind(value[0]), expected.key, expected["message"],
        )  # fmt: skip
        assert outer.to_external(found) == outer.to_external(expected) == value
        assert pickle.loads(pickle.dumps(found)) == expected


@pytest.mark.parametrize("name", ["user", "item"])
def test_an_operator_installs_it_when_it_is_opened(
    converters: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyflinks = converters.RowDataConverter.to_internal
    assert pyflinks is not flink_rows.to_internal
    counted: dict[str, int] = {}
    monkeypatch.setattr(JobCounters, "add", lambda self, name, n=1: counted.update({name: n}))
    MiniFlink(name, World(), Store(), monkeypatch)
    assert converters.RowDataConverter.to_internal is flink_rows.to_internal
    assert counted == {"row_conversion": 1}


def test_nothing_is_installed_outside_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "_pemja", raising=False)
    assert not flink_rows.install()
    assert MODULE not in sys.modules
    assert Row(1)[0] == 1
