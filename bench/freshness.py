"""How long until an event shows: produce → Feast, and HTTP click → changed feed, under a steady load."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from bench import probes
from bench.errors import Unsound
from bench.report import Report, Target, summary
from bench.repositories import declare
from bench.stacks import Say, load_movielens, own_stack

RATE = 300.0
PROBES_A_SECOND = 6.0
CLICKS_A_SECOND = 4.0
WARM_UP_S = 20.0
SPARE_S = 40.0
"""for which the load would go on if nobody stopped it, since a probe takes its time to start"""
TARGETS = (
    Target("produce_to_feast_ms.p50", "≤", 15),
    Target("produce_to_feast_ms.p99", "≤", 60),
    Target("click_to_feed_ms.p50", "≤", 40),
    Target("click_to_feed_ms.p99", "≤", 150),
)


def run(seconds: float, features: int, say: Say) -> Report:
    """The whole stack under RATE events a second of MovieLens, watched for `seconds` after a warm-up; `features` are
    declared beside those of the main path."""
    declare(features)
    with own_stack(say) as stack:
        settings = stack.settings
        data = load_movielens(settings, say)
        users, items = [u.user_id for u in data.users], [i.item_id for i in data.items]
        stack.up()
        say(f"{WARM_UP_S:.0f} s of warm-up and {seconds:.0f} s of measurement at {RATE:.0f} events/s")
        spawn = multiprocessing.get_context("spawn")
        with spawn.Manager() as manager, ProcessPoolExecutor(3, spawn) as pool:
            kafka, enough = settings.kafka, manager.Event()
            load = pool.submit(probes.background, kafka, RATE, WARM_UP_S + seconds + SPARE_S, enough)
            watched = (kafka, settings.feature_store, users, items, PROBES_A_SECOND)
            clicked = (settings.host, settings.http_port, users, CLICKS_A_SECOND)
            warm = [
                pool.submit(probes.produce_to_feast, *watched, WARM_UP_S),
                pool.submit(probes.click_to_feed, *clicked, WARM_UP_S, fell_back_at_most=1.0),
            ]
            for probe in warm:
                probe.result()
            feast = pool.submit(probes.produce_to_feast, *watched, seconds)
            feeds = pool.submit(probes.click_to_feed, *clicked, seconds)
            samples = {
                "produce_to_feast_ms": np.array(feast.result()),
                "click_to_feed_ms": np.array(feeds.result()),
            }
            if load.done():
                raise Unsound("the load ended before the measurement")
            enough.set()
            rate, loops = load.result()
    if rate < 0.98 * RATE:
        raise Unsound(f"the load was {rate:.0f} events/s instead of {RATE:.0f}")
    return Report(
        "freshness",
        samples,
        {"load_events_per_s": round(rate, 1), "declared_features": float(features)},
        targets=TARGETS,
        notes={"loop_ms": summary(np.array(loops[int(WARM_UP_S) : int(WARM_UP_S + seconds)]))},
    )
