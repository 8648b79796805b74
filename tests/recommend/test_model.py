"""What a bundle must be to be served, and the index under it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.crosses import Cross, Hour, Position, Weekday
from feature_repo.inputs import NAMES
from recommend.catalogue import Catalogue
from recommend.index import ItemIndex
from recommend.model import Model, Parts
from recommend.pipeline import Pipeline
from recommend.surfaces import home
from schemas import bundle
from schemas.errors import BundleError
from schemas.events import Item
from schemas.manifest import Use
from schemas.publish import BundleWriter
from tests.bundles import mean_of_items, sum_of_inputs, write_bundle
from tests.serving.made import person, unit

ROOT = Path(__file__).resolve().parents[2]


def load(bundles: Path, crosses: Sequence[Cross] = ()) -> Model:
    return Catalogue().load(bundle.load(bundles / "test"), crosses)


def test_a_bundle_in_memory(tmp_path: Path) -> None:
    ids = [f"i{k}" for k in range(30)]
    write_bundle(tmp_path, ids, served=True)
    of = Catalogue()
    of.put_item(Item("i7"))
    stored = bundle.load(tmp_path / "test")
    found = of.load(stored)
    assert found.version == "test"
    assert of.columns.ids == ["i7", *(i for i in ids if i != "i7")], "an item keeps its row"
    parts = found.parts("home")
    assert parts.ranker is not None
    assert (parts.ranker.heads, parts.objective) == (("score",), {"score": 1.0})
    inputs = np.random.default_rng(0).random((500, len(NAMES))).astype(np.float32)
    np.testing.assert_allclose(parts.ranker.score(inputs, parts.objective), inputs.sum(axis=1), rtol=1e-5)
    assert parts.space is found.user_space
    rows = of.columns.rows(ids)
    np.testing.assert_array_equal(found.user_space.vectors_of(rows), stored.space().vectors)
    assert found.user_space.nearest(stored.space().vectors, 1)[:, 0].tolist() == rows.tolist()
    assert found.parts("similar") == Parts(found.user_space)
    assert found.parts("basket") == Parts(), "the bundle has nothing for this surface"


def test_what_a_bundle_lacks_a_surface_does_without(tmp_path: Path) -> None:
    write_bundle(tmp_path, ["i1", "i2"], version="test")
    of = Catalogue()
    model = of.load(bundle.load(tmp_path / "test"))
    of.serve(model)
    for item_id in ("i1", "i2"):
        of.put_item(Item(item_id))
    pipeline = Pipeline(of.columns, model)
    answer = pipeline.recommend(home, pipeline.query(at=0, user=person()))
    assert (answer.degraded, answer.item_ids) == (["retrieve", "rank"], ["i1", "i2"])
    assert {stage.failed for stage in answer.trace if stage.failed} == {
        "the bundle has no space for this surface", "the bundle has no ranker for this surface",
    }  # fmt: skip


def test_heads_are_weighed_by_the_objective_of_the_bundle(tmp_path: Path) -> None:
    """Two heads, of which one surface weighs one, and another both."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("MatMul", ["features", name], [f"out_{name}"]) for name in ("a", "b")]
    weights = {"a": np.array([[1], [0]], np.float32), "b": np.array([[0], [1]], np.float32)}
    graph = helper.make_graph(
        nodes, "two", [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info(f"out_{name}", TensorProto.FLOAT, [None, 1]) for name in ("a", "b")],
        [numpy_helper.from_array(each, name) for name, each in weights.items()],
    )  # fmt: skip
    two = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()

    def more(writer: BundleWriter) -> None:
        writer.ranker("two", two, ["popularity", "age"], {"click": "out_a", "buy": "out_b"})
        writer.surfaces["home"] = Use(space="items", ranker="two", objective={"click": 1.0, "buy": 3.0})
        writer.surfaces["cart"] = Use(ranker="two", objective={"buy": -1.0})

    write_bundle(tmp_path, ["i1"], served=True, more=more)
    model = load(tmp_path)
    inputs = np.array([[1, 2], [3, 4]], np.float32)
    for surface, expected in (("home", [7, 15]), ("cart", [-2, -4])):
        parts = model.parts(surface)
        assert parts.ranker is not None
        assert parts.ranker.score(inputs, parts.objective).tolist() == expected
        assert (parts.ranker.names, parts.ranker.heads) == (("popularity", "age"), ("click", "buy"))
        assert parts.ranker.run(inputs).tolist() == [[1, 2], [3, 4]]


def test_tables_of_a_surface(tmp_path: Path) -> None:
    def more(writer: BundleWriter) -> None:
        writer.table("priors", {"share": np.array([0.25, 0.75])})
        writer.surfaces["cart"] = Use(tables=["priors"])

    write_bundle(tmp_path, ["i1"], served=True, more=more)
    assert load(tmp_path).parts("cart").tables["priors"]["share"].tolist() == [0.25, 0.75]


def test_onnx_runtime_keeps_to_itself(tmp_path: Path) -> None:
    """It leaves an id and a database in the home folder of whoever lets it report."""
    home_folder = tmp_path / "home"
    home_folder.mkdir()
    file = tmp_path / "model.onnx"
    file.write_bytes(sum_of_inputs(len(NAMES)))
    code = f"from recommend.onnx_ranker import OnnxRanker; OnnxRanker(open({str(file)!r}, 'rb').read())"
    env = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    subprocess.run([sys.executable, "-c", code], env=env | {"HOME": str(home_folder)}, cwd=ROOT, check=True)
    assert not list(home_folder.rglob("*onnxruntime*"))


@pytest.mark.parametrize(
    ("model", "inputs", "heads", "says"),
    [
        (sum_of_inputs(1), ["price_of_tea"], {"score": "scores"}, "'price_of_tea' is not one of them"),
        (sum_of_inputs(1), ["similarity"], {"score": "other"}, r"no output \['other'\]"),
        (sum_of_inputs(2), ["similarity"], {"score": "scores"}, "does not run"),
        (b"noise", ["similarity"], {"score": "scores"}, "not a model"),
        (mean_of_items(np.ones((3, 4), np.float32), 2), ["similarity"], {"score": "vector"}, "has one input"),
    ],
)
def test_a_ranker_that_does_not_fit_is_refused(
    tmp_path: Path, model: bytes, inputs: list[str], heads: dict[str, str], says: str
) -> None:
    write_bundle(tmp_path, ["i1"], served=True, more=lambda writer: writer.ranker("other", model, inputs, heads))
    with pytest.raises(BundleError, match=f"test: .*{says}"):
        load(tmp_path)


def test_an_index_that_cannot_be_used_is_a_bundle_error(tmp_path: Path) -> None:
    def more(writer: BundleWriter) -> None:
        empty = np.zeros((0, 8), np.float32)

        def save(path: str) -> None:
            Path(path).write_bytes(b"noise")

        writer.space("broken", "s", [], empty, np.zeros(0, np.uint64), [], empty, save)

    write_bundle(tmp_path, ["i1"], served=True, more=more)
    with pytest.raises(BundleError, match="test"):
        load(tmp_path)


def test_a_ranker_may_read_some_of_the_inputs_in_an_order_of_its_own(tmp_path: Path) -> None:
    crosses = [Weekday("day"), Hour("hour"), Position("position")]
    for n, wanted in enumerate(([], ["hour", "age", "day"], ["position", *NAMES])):
        write_bundle(tmp_path / str(n), ["i1"], served=True, inputs=wanted)
        ranker = load(tmp_path / str(n), crosses).parts("home").ranker
        assert ranker is not None
        assert ranker.names == tuple(wanted)
    for n, wanted in enumerate((["month"], [*NAMES, "day", "month"]), 10):
        write_bundle(tmp_path / str(n), ["i1"], served=True, inputs=wanted)
        with pytest.raises(BundleError, match="has other inputs than this server: 'month'"):
            load(tmp_path / str(n), crosses)


# -- the index -------------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(1, 100))
def test_nearest_is_what_an_exhaustive_search_finds(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, asked = unit(rng.normal(size=(n, 4))), unit(rng.normal(size=(3, 4)))
    index = ItemIndex(4)
    index.add(np.arange(n), vectors)
    found = index.search(asked, k)
    assert found is not None
    assert found.shape == (3, min(n, k))
    for row, vector in zip(found, asked, strict=True):
        best = np.sort(vectors @ vector)[::-1][: len(row)]
        np.testing.assert_allclose((vectors @ vector)[row], best, atol=1e-6)


def test_an_empty_index_finds_nothing() -> None:
    found = ItemIndex(4).search(np.ones((2, 4), np.float32), 5)
    assert found is not None
    assert found.shape == (2, 0)


def test_the_index_grows_and_an_item_added_again_moves() -> None:
    index = ItemIndex(4, items=0)
    vectors = unit(np.random.default_rng(0).normal(size=(3000, 4)))
    index.add(np.arange(3000), vectors)
    assert len(index) == 3000
    index.add(np.array([7]), -vectors[:1])
    assert len(index) == 3000
    assert index.search(-vectors[:1], 1)[0, 0] == 7  # type: ignore[index]


def test_a_removed_item_is_not_found_until_it_is_added_again() -> None:
    index = ItemIndex(4)
    vectors = unit(np.random.default_rng(0).normal(size=(20, 4)))
    index.add(np.arange(20), vectors)
    for _ in range(2):
        index.remove(7)
        assert len(index) == 19
        found = index.search(vectors[7:8], 20)
        assert found is not None
        assert (found.shape, 7 in found) == ((1, 19), False)
    index.add(np.array([7]), vectors[7:8])
    assert index.search(vectors[7:8], 1)[0, 0] == 7  # type: ignore[index]
