"""What a bundle must be to be served, and the index under it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.crosses import Cross, Hour, Position, Weekday
from feature_repo.inputs import NAMES
from recommend.index import ItemIndex
from recommend.model import Model
from schemas import bundle
from schemas.errors import BundleError
from tests.bundles import sum_of_inputs, write_bundle
from tests.serving.made import unit

ROOT = Path(__file__).resolve().parents[2]


def load(bundles: Path, crosses: Sequence[Cross] = (), **change: object) -> Model:
    """The bundle `test`, some of its manifest changed; files changed since are sealed again."""
    folder = bundles / "test"
    files = {f.name: bundle.sha256(f) for f in folder.iterdir() if f.name != "manifest.json"}
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes()) | {"files": files} | change
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return Model.of(bundle.load(folder), lambda _: None, crosses)


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    write_bundle(tmp_path, [f"i{k}" for k in range(30)], served=True)
    return tmp_path


def test_a_bundle_in_memory(bundles: Path) -> None:
    found = load(bundles)
    assert found.version == "test"
    assert found.item_ids == [f"i{k}" for k in range(30)]
    inputs = np.random.default_rng(0).random((500, len(NAMES))).astype(np.float32)
    np.testing.assert_allclose(found.ranker.score(inputs), inputs.sum(axis=1), rtol=1e-5)
    nearest = found.index.nearest(found.space.vectors, 1)
    assert nearest[:, 0].tolist() == list(range(30)), "a label is a row"


def test_onnx_runtime_keeps_to_itself(bundles: Path, tmp_path: Path) -> None:
    """It leaves an id and a database in the home folder of whoever lets it report."""
    home = tmp_path / "home"
    home.mkdir()
    load = f"from recommend.model import Ranker; Ranker(open({str(bundles / 'test' / 'ranker.onnx')!r}, 'rb').read())"
    env = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    subprocess.run([sys.executable, "-c", load], env=env | {"HOME": str(home)}, cwd=ROOT, check=True)
    assert not list(home.rglob("*onnxruntime*"))


@pytest.mark.parametrize("features", [[], list(NAMES)[:-1], list(NAMES)[::-1], [*NAMES, "more"]])
def test_a_ranker_of_other_inputs_is_refused(bundles: Path, features: list[str]) -> None:
    with pytest.raises(BundleError, match="other inputs"):
        load(bundles, features=features)


@pytest.mark.parametrize("name", ["index.hnsw", "ranker.onnx", "vectors.npy", "items.json", "tokens.json"])
def test_a_file_that_cannot_be_used_is_a_bundle_error(bundles: Path, name: str) -> None:
    (bundles / "test" / name).write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="test"):
        load(bundles)


@pytest.mark.parametrize("name", ["index.hnsw", "ranker.onnx"])
def test_a_file_that_is_not_there_is_a_bundle_error(bundles: Path, name: str) -> None:
    (bundles / "test" / name).unlink()
    with pytest.raises(BundleError):
        load(bundles)


def test_lengths_must_agree(bundles: Path) -> None:
    (bundles / "test" / "items.json").write_bytes(msgspec.json.encode(["i1"]))
    with pytest.raises(BundleError, match="differ in length"):
        load(bundles)


# -- the index -------------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(1, 100))
def test_nearest_is_what_an_exhaustive_search_finds(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, asked = unit(rng.normal(size=(n, 4))), unit(rng.normal(size=(3, 4)))
    index = ItemIndex(4)
    index.add(np.arange(n), vectors)
    found = index.nearest(asked, k)
    assert found.shape == (3, min(n, k))
    for row, vector in zip(found, asked, strict=True):
        best = np.sort(vectors @ vector)[::-1][: len(row)]
        np.testing.assert_allclose((vectors @ vector)[row], best, atol=1e-6)


def test_an_empty_index_finds_nothing() -> None:
    assert ItemIndex(4).nearest(np.ones((2, 4), np.float32), 5).shape == (2, 0)


def test_the_index_grows_and_an_item_added_again_moves() -> None:
    index = ItemIndex(4, rows=0)
    vectors = unit(np.random.default_rng(0).normal(size=(3000, 4)))
    index.add(np.arange(3000), vectors)
    assert len(index) == 3000
    index.add(np.array([7]), -vectors[:1])
    assert len(index) == 3000
    assert index.nearest(-vectors[:1], 1)[0, 0] == 7


def test_a_ranker_may_read_some_of_the_crosses_in_its_own_order(bundles: Path) -> None:
    crosses = [Weekday("day"), Hour("hour"), Position("position")]
    folder = bundles / "test"
    for wanted in ([], ["hour", "day"], ["position"]):
        (folder / "ranker.onnx").write_bytes(sum_of_inputs(len(NAMES) + len(wanted)))
        assert [cross.name for cross in load(bundles, crosses, features=[*NAMES, *wanted]).crosses] == wanted
    for wanted in (["month"], ["day", "month"]):
        with pytest.raises(BundleError, match="other inputs"):
            load(bundles, crosses, features=[*NAMES, *wanted])
    with pytest.raises(BundleError, match="other inputs"):
        load(bundles, crosses, features=["day", *NAMES])
