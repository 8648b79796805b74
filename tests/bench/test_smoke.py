"""Benchmarks of a few seconds on real servers: those whose figures depend on most of the stack."""

from __future__ import annotations

import numpy as np
import pytest

from bench import bundles, digests, feed, throughput
from bench.stacks import own_stack, send
from schemas.clock import now_ms
from schemas.events import Interaction

pytestmark = pytest.mark.proof


def test_feed_and_its_parts_at_two_sizes_and_with_two_servers() -> None:
    found = feed.run((300, 900), 20, 1.0, (1, 2), 1, print)
    document = found.document()
    assert found.failures == []
    for name in ("feed_ms", "feed_ms_300", "parts_ms", "parts_ms_300"):
        assert document[name]["n"] > 0
        assert document[name]["p50"] > 0
    assert document["feed_to_parts"] > 1
    assert document["size_ratio"] > 0
    assert document["memory_ratio"] > 1, "resident memory holds more than the arrays"
    assert document["arrays_mb"] > document["arrays_mb_300"] > 300 * 64 * 4 / 2**20
    assert document["feeds_per_s_2_processes"] > 0
    assert np.isfinite(document["processes_ratio"])


def test_two_bundles_serve_and_a_third_is_published() -> None:
    found = bundles.run(5000, 40, 40.0, 3.0, 1, print)
    document = found.document()
    assert found.failures == []
    assert document["wrong_answers"] == 0
    assert document["answers_checked"] > 4 * 40 + 3 * 40
    assert document["versions"].keys() == {"bench-first", "bench-second", "bench-third"}
    assert 0 <= document["publish_to_answer_s"] < 60
    assert document["nearest_shown"] > 0.5, "most items that are shown depend on the space"
    assert document["same_items_first_second"] < 0.5
    assert document["second_mb"] > 0
    assert np.isfinite(document["second_memory_ratio"])


def test_digests_are_sent_to_everybody_in_each_round() -> None:
    found = digests.run(600, 60, 1, print)
    document = found.document()
    assert found.failures == []
    assert document["answer_ms"]["n"] == digests.ROUNDS * 60
    assert document["people_per_s"] > 0
    assert document["digest_to_answer"] > 0


def test_the_bare_job_counts_every_event() -> None:
    with own_stack(print) as stack:
        now = now_ms()
        send(stack.settings, [Interaction(f"e{k}", "click", f"u{k % 7}", now, "i1") for k in range(3000)])
        found = throughput._bare(stack, 3000)
    assert found.last.counts["accepted"] == 3000
    assert found.per_s() > 0
    assert any(name.startswith("bare operator") for name in found.last.usage.threads)
