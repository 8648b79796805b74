"""Figures by size of the catalogue, what makes a feed bench unsound, and the size of arrays."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import catalogues, feed, parts, servers
from bench.feed import ServedCatalogue
from bench.machine import Rounds
from freshet.local.stack import Stack
from freshet.settings import Settings


def served(items: int, scale: float = 1.0, **changes: Any) -> ServedCatalogue:
    stack = Stack(Settings(home=Path("/nowhere")), components=[])
    found = ServedCatalogue(
        items, stack, ["u1"], 3.0, ThreadPoolExecutor(1), [4.0 * scale] * 10, [2.0] * 10, [9.0] * 400, 2.0, 400,
        ranked=500.0, arrays=100 << 20, rss=int((140 << 20) * scale),
    )  # fmt: skip
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_figures_of_each_size_and_their_ratios() -> None:
    sizes = [served(10_000), served(100_000, 1.1), served(1_000_000, 1.2)]
    found = feed._report(sizes, sizes[1], {1: 200.0, 2: 340.0}, 7, Rounds(print))
    document = found.document()
    assert document["items"] == 100_000
    assert document["feed_ms"]["p50"] == 4.4
    assert document["feed_to_parts"] == 2.2
    assert document["feed_to_parts_10000"] == 2.0
    assert document["size_ratio"] == 1.2
    assert document["memory_ratio"] == document["rss_to_arrays_1000000"] == 1.68
    assert document["feeds_per_s"] == 200.0
    assert document["feeds_per_s_2_processes"] == 340.0
    assert document["processes_ratio"] == 1.7
    assert found.status == 0
    assert {target.name for target in found.targets} == {target.name for target in feed.TARGETS}


def test_one_size_has_no_ratio_of_sizes() -> None:
    one = served(100_000)
    found = feed._report([one], one, {}, 7, Rounds(print))
    assert "size_ratio" not in found.document()
    assert "processes_ratio" not in {target.name for target in found.targets}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bad": Counter({"incomplete": 1})}, "1 of 400 answers"),
        ({"fell_back": Counter({"store": 5})}, "fell back"),
        ({"ranked": 480.0}, "480 candidates"),
    ],
)
def test_what_is_no_whole_feed_fails_the_run(changes: dict[str, Any], said: str) -> None:
    (fault,) = feed.faults(served(10_000, **changes))
    assert said in fault


def test_a_small_catalogue_may_rank_fewer() -> None:
    assert feed.faults(served(1000, ranked=300.0)) == []


class Holder:
    def __init__(self, *held: Any) -> None:
        self.held = list(held)


def test_the_size_of_arrays_counts_each_block_once() -> None:
    block = np.zeros((1000, 64), np.float32)
    inner = Holder(block[:10], {"x": block, "y": np.zeros(500, np.uint8)}, block.T)
    assert parts.array_bytes(inner, Holder(inner)) == block.nbytes + 500


@pytest.mark.parametrize("n", [1, 1000])
def test_a_synthetic_catalogue_has_what_feeds_read(n: int) -> None:
    items = list(catalogues.catalogue(n))
    space = catalogues.space(n)
    assert space.item_ids == [item.item_id for item in items]
    assert space.vectors.shape == (n, catalogues.DIM)
    assert np.allclose(np.linalg.norm(space.vectors, axis=1), 1, atol=1e-5)
    assert all(len(item.categories) == 2 and item.price and item.brand for item in items)


def test_a_parallel_index_finds_what_is_there() -> None:
    vectors = catalogues.space(500).vectors
    index = catalogues.parallel_index(vectors, 0)
    labels, _ = index.knn_query(vectors[:50], k=1)
    assert (labels[:, 0] == np.arange(50)).mean() > 0.9


def test_server_processes_have_ports_of_their_own_without_a_setting() -> None:
    stack = Stack(Settings(home=Path("/nowhere")), components=[])
    if servers.has_setting(stack.settings):
        pytest.skip("the server runs several processes itself")
    assert servers.serving(stack, 3, [7001, 7002]) == [7001, 7002]
    assert servers.serving(stack, 1, [7001, 7002]) == []


def test_with_a_setting_the_server_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    class More(Settings):
        server_processes: int = 1

    restarted: list[int] = []

    class Restarting(Stack):
        def restart(self, name: str) -> None:
            restarted.append(self.settings.server_processes)  # type: ignore[attr-defined]

    monkeypatch.setenv(f"FRESHET_{servers.PROCESSES_SETTING.upper()}", "1")
    assert servers.serving(Restarting(More(home=Path("/nowhere")), components=[]), 2, []) == []
    assert restarted == [2]
