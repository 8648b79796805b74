"""Two bundles in force under load, the memory of the second one, and the publication of a third.

The first bundle is `current`; the second one serves a share of people and those requests that name it; the third one is
published as `current` while both serve. Every answer is checked for parts of another bundle (bench/expected.py). The
server, the client, Kafka, Redis and the process that publishes share all cores.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from bench import catalogues, marked, servers
from bench.bundles_report import MeasuredBundles, Published, report
from bench.checked import CANDIDATE, VARIANTS, Api, CheckedAnswers, Rules, everybody, steady
from bench.errors import BadArgument, Unsound
from bench.expected import FEWEST_ITEMS, ExpectedModel, expect
from bench.machine import Rounds
from bench.marked import FIRST, SECOND, THIRD
from bench.quiet import quiet
from bench.report import Report
from bench.second import bare_growth, settled
from bench.stacks import Say, own_stack, send
from feature_repo.store import UserReader
from freshet.settings import Settings
from schemas import bundle
from schemas.traffic import DEFAULT, TRAFFIC, Share

KEY = "bench"
SHARE = 0.5
"""of people whom the second bundle serves"""
WARM_UP_S = 3.0
AFTER_S = 8.0
"""load goes on for so long after the first answer of the third bundle"""
SERVES_WITHIN_S = 300.0


@dataclass
class ServedBundles:
    """The stack, the people, the client's process, and what is expected of each bundle by version."""

    settings: Settings
    users: list[str]
    client: Executor
    models: dict[str, ExpectedModel]
    prepared: Path
    """the folder of the third bundle before it is published"""

    @property
    def api(self) -> Api:
        return Api(self.settings.host, self.settings.http_port, KEY)

    def ask_everybody(self, variants: tuple[str, ...], rules: Rules) -> CheckedAnswers:
        """One checked feed of each person and variant."""
        return self.client.submit(everybody, self.api, self.users, variants, rules).result()


def run(items: int, n_users: int, rate: float, seconds: float, attempts: int, say: Say) -> Report:
    """Measures `seconds` of steady load and the publication after it, at `rate` feeds a second."""
    if items < FEWEST_ITEMS:
        raise BadArgument(f"--items {items}: at least {FEWEST_ITEMS}, of which most are nobody's neighbours")
    rounds = Rounds(say, attempts)
    spawn = multiprocessing.get_context("spawn")
    found = MeasuredBundles(items, n_users, rate)
    with (
        own_stack(say, start_timeout=servers.START_S, api_key=SecretStr(KEY)) as stack,
        ProcessPoolExecutor(1, spawn, quiet) as client,
        ProcessPoolExecutor(1, spawn, quiet) as publisher,
    ):
        served = _prepare(items, n_users, stack.settings, client, say)
        stack.up(["server"])
        _second_in_force(served, found, say)
        found.memory.bare = publisher.submit(bare_growth, served.settings.bundles / SECOND.version).result()
        say(f"{rate:g} feeds a second for {seconds:g} s, then a third bundle is published")
        work = partial(_steady_and_publication, served, found, publisher, rate, seconds)
        found.load, found.published = rounds.measure("steady load and publication", work)
        found.memory.third = settled(partial(servers.rss, served.settings))
    return report(found, rounds)


def _prepare(n: int, n_users: int, settings: Settings, client: Executor, say: Say) -> ServedBundles:
    """Bundles, catalogue, item features and people; the first bundle is in force."""
    say("training a ranker on MovieLens-100K")
    plain = catalogues.ranker()
    prepared = settings.bundles.parent / "prepared"
    for mark, folder in ((THIRD, prepared), (SECOND, settings.bundles), (FIRST, settings.bundles)):
        took = marked.make(mark, n, plain, folder)
        say(f"{mark.version}: {n:,} items, index built in {took:.0f} s")
    say("catalogue, item features and people")
    items = list(catalogues.catalogue(n))
    send(settings, items)
    users = catalogues.people(settings, items, n_users)
    reader = UserReader(settings.feature_store, 5.0)
    rows = {user: reader.read(user) for user in users}
    folders = {FIRST: settings.bundles, SECOND: settings.bundles, THIRD: prepared}
    models = {
        mark.version: expect(folder / mark.version, mark.raised, rows)  # type: ignore[arg-type]
        for mark, folder in folders.items()
    }
    return ServedBundles(settings, users, client, models, prepared)


# -- the second bundle -----------------------------------------------------------------------------


def _second_in_force(served: ServedBundles, found: MeasuredBundles, say: Say) -> None:
    """Asks everybody's feed of the first bundle, puts the second in force, asks everybody's feed of both; the server's
    memory after each."""
    settings = served.settings
    alone = Rules(served.models, {DEFAULT: (FIRST.version,)}, {})
    for _ in range(2):
        found.take(served.ask_everybody((DEFAULT,), alone))
    found.memory.first = settled(partial(servers.rss, settings))
    traffic = {CANDIDATE: {"bundle": SECOND.version, "share": SHARE}}
    aside = settings.bundles / f".{TRAFFIC}"
    aside.write_text(json.dumps(traffic))
    aside.replace(settings.bundles / TRAFFIC)
    path = f"/v1/trending?variant={CANDIDATE}"
    _wait(lambda: _get(settings, path).status_code == 200, f"{SECOND.version} does not serve")
    for _ in range(2):
        found.take(served.ask_everybody((DEFAULT, CANDIDATE), _rules(served)))
    found.memory.both = settled(partial(servers.rss, settings))
    found.memory.arrays = marked.arrays_bytes(bundle.load(settings.bundles / SECOND.version))
    say(f"memory: {found.memory.both - found.memory.first:,} bytes more for {found.memory.arrays:,} bytes of arrays")


def _rules(served: ServedBundles, *published: str) -> Rules:
    """Both bundles in force, and those that are published as `current`."""
    versions = {DEFAULT: (FIRST.version, *published), CANDIDATE: (SECOND.version,)}
    return Rules(served.models, versions, {CANDIDATE: Share(SECOND.version, SHARE)})


# -- the third bundle ------------------------------------------------------------------------------


def _steady_and_publication(
    served: ServedBundles, found: MeasuredBundles, publisher: Executor, rate: float, seconds: float
) -> tuple[CheckedAnswers, Published]:
    settings = served.settings
    if bundle.current_name(settings.bundles) != FIRST.version:  # a round before this one was disturbed
        _point_at(settings.bundles, FIRST.version)
        _wait(lambda: _version(settings) == FIRST.version, f"{FIRST.version} does not serve again")
        served.ask_everybody((DEFAULT, CANDIDATE), _rules(served))
        shutil.rmtree(settings.bundles / THIRD.version)
    stop = settings.bundles.parent / "stop"
    stop.unlink(missing_ok=True)
    asked = served.api, served.users, VARIANTS, rate, stop, _rules(served, THIRD.version)
    load = served.client.submit(steady, *asked)
    try:
        time.sleep(WARM_UP_S)
        began = time.perf_counter()
        time.sleep(seconds)
        made, target = served.prepared / THIRD.version, settings.bundles
        writing, in_force = publisher.submit(marked.publish_copy, made, target, THIRD.version).result()
        _wait(lambda: _version(settings) == THIRD.version, f"{THIRD.version} does not serve")
        time.sleep(AFTER_S)
        ended = time.perf_counter()
    finally:
        stop.touch()
    answers = found.take(load.result())
    return answers, Published(began, writing, in_force, ended)


def _point_at(bundles: Path, version: str) -> None:
    aside = bundles / f".{bundle.CURRENT}-bench"
    aside.write_text(version + "\n")
    aside.replace(bundles / bundle.CURRENT)


def _version(settings: Settings) -> Any:
    answer = _get(settings, "/readyz")
    return answer.json().get("model_version")


def _get(settings: Settings, path: str) -> httpx.Response:
    return httpx.get(f"{settings.http_url}{path}", headers={"X-API-Key": KEY}, timeout=30, trust_env=False)


def _wait(is_there: Any, otherwise: str) -> None:
    deadline = time.monotonic() + SERVES_WITHIN_S
    while not is_there():
        if time.monotonic() > deadline:
            raise Unsound(f"{otherwise} within {SERVES_WITHIN_S:.0f} s")
        time.sleep(0.25)
