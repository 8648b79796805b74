"""Values are what Feast itself would store of them, byte by byte."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from feast.protos.feast.types import Value_pb2 as pb
from feast.type_map import feast_value_type_to_python_type
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import values
from feature_repo.values import ENCODE
from operators.contract import Dtype

INTEGERS = st.one_of(st.integers(0, 300), st.integers(-(2**63), 2**63 - 1))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
FLOATS = st.one_of(st.floats(width=32), st.just(1e39))
KINDS: dict[Dtype, tuple[Any, Any]] = {
    "int64": (INTEGERS, lambda v: pb.Value(int64_val=v)),
    "float32": (FLOATS, lambda v: pb.Value(float_val=v)),
    "float64": (st.floats(), lambda v: pb.Value(double_val=v)),
    "string": (TEXTS, lambda v: pb.Value(string_val=v)),
    "bool": (st.booleans(), lambda v: pb.Value(bool_val=v)),
    "bytes": (st.binary(max_size=20_000), lambda v: pb.Value(bytes_val=v)),
    "int64[]": (
        st.one_of(st.lists(st.integers(0, 127), max_size=300), st.lists(INTEGERS, max_size=60)),
        lambda v: pb.Value(int64_list_val=pb.Int64List(val=v)),
    ),
    "float32[]": (st.lists(FLOATS, max_size=200), lambda v: pb.Value(float_list_val=pb.FloatList(val=v))),
    "string[]": (st.lists(TEXTS, max_size=30), lambda v: pb.Value(string_list_val=pb.StringList(val=v))),
    "bool[]": (st.lists(st.booleans(), max_size=200), lambda v: pb.Value(bool_list_val=pb.BoolList(val=v))),
}
SOME: dict[Dtype, Any] = {
    "int64": 2, "float32": 0.5, "float64": 0.1, "string": "a", "bool": True, "bytes": b"b", "int64[]": [1, 200],
    "float32[]": [0.5], "string[]": ["a", "b"], "bool[]": [True, False],
}  # fmt: skip


def test_every_dtype_has_its_bytes() -> None:
    assert set(ENCODE) == set(KINDS) == set(SOME) == set(get_args(Dtype))


@pytest.mark.parametrize("dtype", KINDS)
@given(data=st.data())
def test_the_bytes_are_those_of_protobuf(dtype: Dtype, data: st.DataObject) -> None:
    some, protobuf = KINDS[dtype]
    value = data.draw(some)
    assert ENCODE[dtype](value) == protobuf(value).SerializeToString()


@pytest.mark.parametrize("dtype", SOME)
def test_feast_gives_back_what_was_put_into_it(dtype: Dtype) -> None:
    value = SOME[dtype]
    found = feast_value_type_to_python_type(pb.Value.FromString(ENCODE[dtype](value)))
    assert (found, type(found)) == (value, type(value))
    if isinstance(value, list):
        assert list(map(type, found)) == list(map(type, value))


def test_texts_are_forgotten_where_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MANY", 2)
    known = values._Texts()
    assert [known[name] for name in ("a", "b", "c", "a")] == [b"\n\x01a", b"\n\x01b", b"\n\x01c", b"\n\x01a"]
    assert len(known) <= 2
