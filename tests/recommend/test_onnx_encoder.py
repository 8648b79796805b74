"""Encoders: a real ONNX model over a person's last items, exact against NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from recommend.catalogue import Catalogue
from recommend.model import Model
from recommend.pipeline import Pipeline
from recommend.surfaces import home
from schemas import bundle
from schemas.errors import BundleError
from schemas.events import EVENT_TYPES, Item
from schemas.manifest import Use
from schemas.publish import BundleWriter
from tests.bundles import mean_of_items, unit_rows, write_bundle
from tests.serving.made import NOW, person

DIM, LENGTH = 8, 3
IDS = [f"i{k}" for k in range(30)]
TABLE = unit_rows(np.random.default_rng(0), 30, DIM)


def echo(name: str, shape: Sequence[int], kind: int = TensorProto.FLOAT, out: str = "vector") -> bytes:
    """A model whose output is its one input, as DIM numbers."""
    nodes = [
        helper.make_node("Cast", [name], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["numbers", "flat"], [out]),
    ]
    graph = helper.make_graph(
        nodes, "echo", [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
        [helper.make_tensor("flat", TensorProto.INT64, [2], [1, int(np.prod(shape))])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()  # type: ignore[no-any-return]


def loaded(
    folder: Path, model: bytes, features: Sequence[str] = (), newest_first: bool = True, length: int = LENGTH
) -> tuple[Catalogue, Model]:
    def more(writer: BundleWriter) -> None:
        writer.encoder("person", model, "items", length, newest_first, features)
        writer.surfaces["home"] = Use(space="items", encoder="person", ranker="feed")

    write_bundle(folder, IDS, dim=DIM, served=True, more=more)
    of = Catalogue()
    found = of.load(bundle.load(folder / "test"))
    of.serve(found)
    for item_id in IDS:
        of.put_item(Item(item_id))
    return of, found


def encoded(of: Catalogue, model: Model, user: dict[str, Any]) -> Any:
    encoder = model.parts("home").encoder
    assert encoder is not None
    return encoder.encode(user, of.columns, NOW)


@pytest.mark.parametrize("newest_first", [True, False])
def test_the_mean_of_the_last_items(tmp_path: Path, newest_first: bool) -> None:
    of, model = loaded(tmp_path, mean_of_items(TABLE, LENGTH), newest_first=newest_first)
    for last in (["i7"], ["i7", "i0"], ["i7", "nobody", "i0", "i29", "i3"]):
        found = encoded(of, model, person([("click", item) for item in last]))
        known = [IDS.index(item) for item in last if item in IDS][:LENGTH]
        mean = TABLE[known].mean(axis=0)
        np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)
        assert found.dtype == np.float32


def test_without_a_history_there_is_none(tmp_path: Path) -> None:
    of, model = loaded(tmp_path, mean_of_items(TABLE, LENGTH))
    of.put_item(Item("live", "", ["c1"]))
    assert encoded(of, model, person()) is None
    assert encoded(of, model, person([("click", "nobody")])) is None
    assert encoded(of, model, person([("click", "live")])) is None, "the model has met no item that joined later"


RECENT = [("like", "i5"), ("click", "i2")]
LAST: dict[str, Callable[[Model], Any]] = {
    "items": lambda _: [6, 3, 0, 0, 0, 0, 0, 0],
    "mask": lambda _: [1, 1, 0, 0, 0, 0, 0, 0],
    "ages_s": lambda _: [0, 60, 0, 0, 0, 0, 0, 0],
    "types": lambda _: [1 + EVENT_TYPES.index("like"), 1 + EVENT_TYPES.index("click"), 0, 0, 0, 0, 0, 0],
}


@pytest.mark.parametrize("name", LAST)
@pytest.mark.parametrize("newest_first", [True, False])
def test_inputs_of_the_last_items_by_name(tmp_path: Path, name: str, newest_first: bool) -> None:
    kind = TensorProto.INT64 if name in ("items", "types") else TensorProto.FLOAT
    of, model = loaded(tmp_path, echo(name, [1, DIM], kind), newest_first=newest_first, length=DIM)
    expected = np.array(LAST[name](model), np.float32)
    expected = expected if newest_first else expected[::-1]
    if name == "ages_s":
        expected[expected == 0] = 0.0
    found = encoded(of, model, person(RECENT))
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_vectors_of_the_last_items(tmp_path: Path) -> None:
    of, model = loaded(tmp_path, echo("vectors", [1, 1, DIM]), length=1)
    np.testing.assert_allclose(encoded(of, model, person(RECENT)), model.user_space.vector("i5"), atol=1e-6)


def test_features_by_name(tmp_path: Path) -> None:
    names = ["session_length_s", "last_event_at", "consent", "session_items", *["session_items"] * 4]
    of, model = loaded(tmp_path, echo("features", [1, DIM]), features=names)
    user = person(RECENT, session_length_s=3.0, last_event_at=4, consent=True, session_items=None)
    expected = np.array([3, 4, 1, 0, 0, 0, 0, 0], np.float32)
    np.testing.assert_allclose(encoded(of, model, user), expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "features", "says"),
    [
        (echo("clicks", [1, DIM]), (), r"unknown inputs \['clicks'\]"),
        (echo("features", [1, DIM]), ("height",), r"unknown features \['height'\]"),
        (echo("features", [1, DIM]), ("recent_items",), "unknown features"),
        (echo("mask", [1, LENGTH]), (), "not 8 finite numbers"),
        (echo("mask", [1, LENGTH + 1]), (), "does not run"),
        (b"noise", (), "not a model"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(
    tmp_path: Path, model: bytes, features: Sequence[str], says: str
) -> None:
    with pytest.raises(BundleError, match=says):
        loaded(tmp_path, model, features)


# -- in a request -----------------------------------------------------------------------------------


def test_the_feed_searches_for_what_the_encoder_says(tmp_path: Path) -> None:
    of, model = loaded(tmp_path, mean_of_items(TABLE, LENGTH))
    for row in range(30):
        of.columns.available[row] = True
    pipeline = Pipeline(of.columns, model)
    space = model.user_space
    away = -TABLE[0]
    user = person([("click", "i0")], vector=away.tolist(), vector_space=space.id)
    query = pipeline.query(at=NOW, user=user, n=5)
    answer = pipeline.recommend(home, query)
    assert answer.degraded == []
    assert "encode" in answer.timings_ms
    np.testing.assert_allclose(query.encoded, TABLE[0], atol=1e-6)
    np.testing.assert_allclose(query.ranking.vector, away, atol=1e-6, err_msg="the ranker's inputs stay what they are")
    stranger = pipeline.query(at=NOW, user=person(vector=away.tolist(), vector_space=space.id))
    assert pipeline.recommend(home, stranger).degraded == []
    assert stranger.encoded is None


def test_the_user_vector_stands_in_for_an_encoder_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of, model = loaded(tmp_path, mean_of_items(TABLE, LENGTH))
    encoder = model.parts("home").encoder
    monkeypatch.setattr(encoder, "_run", lambda *_: 1 / 0)
    pipeline = Pipeline(of.columns, model)
    user = person([("click", "i0")], vector=TABLE[0].tolist(), vector_space=model.user_space.id)
    answer = pipeline.recommend(home, pipeline.query(at=NOW, user=user, n=5))
    assert answer.degraded == ["encode"]
    assert len(answer.item_ids) == 5
    assert next(each.fell_back for each in answer.trace if each.step == "encode") == "the user vector"
