"""From a log to a bundle that loads, and whose ranker says in ONNX what it says in LightGBM."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import hnswlib
import numpy as np
import pytest

from feature_repo.crosses import Affinity, UserFeature
from feature_repo.inputs import NAMES
from feature_repo.registry import collect
from operators.features import Count, user, user_category
from operators.space import BundleSpace
from operators.time import days
from recommend.onnx_ranker import OnnxRanker
from schemas import bundle
from schemas.errors import BundleError
from schemas.events import Interaction, Item
from schemas.manifest import Use
from training import examples, factors, ranker
from training.accepted import Log
from training.feed import ReplayedFeed
from training.train import NothingToTrain, train

T = 1_767_225_600_000


@pytest.fixture(scope="module")
def bundles(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    train(reversed(log.interactions), log.items, folder, dim=16)
    return folder


def test_the_bundle_loads_whole(bundles: Path, log: Log) -> None:
    found = bundle.current(bundles)
    assert found is not None
    assert found.manifest.rankers["feed"].inputs == list(NAMES)
    assert found.space().part.items == sum(map(len, found.space().item_ids())) == 60
    home = Use(space="items", ranker="feed", objective={"relevance": 1.0}, tables=["priors"])
    assert found.manifest.surfaces["home"] == home
    assert found.manifest.metrics["events"] == 1000
    assert found.manifest.metrics["examples"] > 100
    space = BundleSpace.of(found, {i.item_id: i for i in log.items}.get)
    assert space.id == found.space().part.id
    assert found.space().content.shape == (sum(map(len, found.space().tokens())), 16)


def test_a_changed_file_is_refused(bundles: Path) -> None:
    found = bundle.current(bundles)
    assert found is not None
    copy = bundles / "copy"
    shutil.copytree(found.path, copy)
    vectors = copy / "spaces" / "items" / "vectors.npy"
    vectors.write_bytes(b"x" + vectors.read_bytes()[1:])
    with pytest.raises(BundleError, match=r"vectors\.npy: checksum"):
        bundle.load(copy)


def test_a_label_of_the_index_is_a_row(bundles: Path) -> None:
    found = bundle.current(bundles)
    assert found is not None
    vectors = np.array(found.space().vectors)
    index = hnswlib.Index(space="ip", dim=16)
    index.load_index(str(found.space().index))
    labels, _ = index.knn_query(vectors, k=1)
    np.testing.assert_allclose((vectors[labels[:, 0]] * vectors).sum(axis=1), 1, atol=1e-4)


def test_the_same_log_and_seed_make_the_same_model(bundles: Path, log: Log, tmp_path: Path) -> None:
    found = bundle.current(bundles)
    assert found is not None
    again = train(log.interactions, log.items, tmp_path, dim=16)
    assert list(again.parts()) == list(found.manifest.parts())


def test_the_feed_shows_what_the_person_loves(bundles: Path, log: Log) -> None:
    found = bundle.current(bundles)
    assert found is not None
    feed = ReplayedFeed(found, log, {})
    for person in range(6):
        met = {e.item_id for e in log.interactions if e.user_id == f"u{person}"}
        answer = feed.recommend(f"u{person}", log.interactions[-1].timestamp, n=5)
        assert not met & set(answer)
        left = sum(k % 3 == person % 3 for k in range(60) if f"i{k}" not in met)
        assert sum(int(i[1:]) % 3 == person % 3 for i in answer) >= min(3, left)
    assert len(feed.recommend("stranger", log.interactions[-1].timestamp)) == 20


def test_onnx_says_what_lightgbm_says(log: Log) -> None:
    space = factors.fit(log.interactions[: log.cut(0.8)], log.items, 16)
    groups = examples.examples(log, space, log.cut(0.8), 100, seed=0)
    booster = ranker.fit(groups, seed=0)
    assert booster is not None
    inputs = np.concatenate([g.features for g in groups])
    # Values that stand at a threshold are where single and double precision would part.
    # (LightGBM takes ±1e-35, its threshold beside zero, for zero itself; no input comes near it.)
    split = booster.trees_to_dataframe().query("abs(threshold) > 1e-30")
    at_threshold = np.repeat(inputs[:1], len(split), axis=0)
    columns = [NAMES.index(name) for name in split["split_feature"]]
    at_threshold[np.arange(len(split)), columns] = split["threshold"].to_numpy(np.float32)
    inputs = np.concatenate([inputs, at_threshold])
    encoded = ranker.export(booster, inputs)
    np.testing.assert_allclose(OnnxRanker(encoded).score(inputs), booster.predict(inputs), atol=1e-5)


def test_single_precision_changes_nothing_for_single_precision_inputs(log: Log) -> None:
    import lightgbm

    chance = np.random.default_rng(0)
    inputs = chance.random((2000, 3), np.float32)
    raw = lightgbm.train({"verbose": -1}, lightgbm.Dataset(inputs, inputs[:, 0] * inputs[:, 1]), 20)
    np.testing.assert_array_equal(ranker.single_precision(raw).predict(inputs), raw.predict(inputs))


def test_a_model_that_differs_is_not_exported(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    monkeypatch.setattr(ranker, "TOLERANCE", -1.0)
    space = factors.fit(log.interactions, log.items, 8)
    groups = examples.examples(log, space, 0, 60, seed=0)
    with pytest.raises(ranker.ParityError, match="differs"):
        ranker.export(ranker.fit(groups, seed=0), groups[0].features)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_a_tiny_log_trains(tmp_path: Path, count: int) -> None:
    items = [Item(f"i{k}", f"Film {k}", ["comedy"]) for k in range(3)]
    events = [Interaction(f"e{k}", "click", f"u{k % 3}", T + k, f"i{k % 3}") for k in range(count)]
    manifest = train(events, items, tmp_path)
    assert manifest.spaces["items"].items == 3
    assert manifest.metrics["examples"] == 0
    found = bundle.current(tmp_path)
    assert found is not None
    assert ReplayedFeed(found, Log(events, items), {}).recommend("u9", T + 1000)


def test_events_without_a_catalogue_train(tmp_path: Path) -> None:
    events = [Interaction(f"e{k}", "click", f"u{k % 3}", T + k, f"i{k % 4}") for k in range(12)]
    assert train(events, [], tmp_path, dim=4).spaces["items"].items == 4


def test_nothing_to_train(tmp_path: Path) -> None:
    with pytest.raises(NothingToTrain):
        train([], [Item("i")], tmp_path)
    assert bundle.current(tmp_path) is None


def test_crosses_are_in_the_manifest_and_the_feed_reads_them(log: Log, tmp_path: Path) -> None:
    met, habit = Count("met", entity=user), Count("habit", entity=user_category, window=days(7))
    module = ModuleType("definitions")
    vars(module).update({"all": [met, habit, UserFeature("met", of=met), Affinity("habit", of=habit)]})
    declared = collect(module)
    train(log.interactions, log.items, tmp_path, dim=16, declared=declared)
    found = bundle.current(tmp_path)
    assert found is not None
    assert found.manifest.rankers["feed"].inputs == [*NAMES, "met", "habit"]
    feed = ReplayedFeed(found, log, {}, declared)
    assert len(feed.recommend("u0", log.interactions[-1].timestamp)) == 20
    with pytest.raises(BundleError, match="other inputs"):
        ReplayedFeed(found, log, {})
