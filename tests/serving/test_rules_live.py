"""Rules over two servers of one Kafka: what is put on one is in force on the other soon after, and never half."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from tests.live import end, until

ROUNDS = 20
LEFT, RIGHT = BRANDS = "left of rules", "right of rules"


@pytest.fixture(scope="module")
def servers(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[httpx.Client]]:
    """Two servers, each a process of its own, over the session's Kafka and Redis."""
    settings, running, clients = stack.settings, [], []
    logs = tmp_path_factory.mktemp("servers")
    try:
        for number in range(2):
            port = free_ports()["http_port"]
            env = {
                **os.environ,
                "FRESHET_HTTP_PORT": str(port),
                "FRESHET_KAFKA": settings.kafka,
                "FRESHET_BUNDLES": str(logs / "bundles"),
                "FRESHET_FEATURE_STORE": str(settings.feature_store),
            }
            with (logs / f"{number}.log").open("wb") as log:
                running.append(
                    subprocess.Popen([sys.executable, "-m", "serving"], env=env, stdout=log, stderr=subprocess.STDOUT)
                )
            clients.append(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False))
        for client in clients:
            until(lambda client=client: _ready(client), 60)
        items = [{"item_id": f"ruled{k}", "brand": BRANDS[k % 2], "price": k} for k in range(40)]
        assert clients[0].post("/v1/items", json=items).status_code == 202
        for client in clients:
            until(lambda client=client: len(_shown(client)) == 40)
        yield clients
    finally:
        for client in clients:
            client.close()
        for process in running:
            end(process)


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def _shown(client: httpx.Client) -> list[str]:
    # Of items and a person of its own, since other tests use the same stack; and nothing is logged as shown there.
    own = {"n": 40, "dry_run": "true", "filter": f'item.brand in ["{LEFT}", "{RIGHT}"]'}
    answer = client.get("/v1/users/somebody-of-rules/feed", params=own)
    assert answer.status_code == 200, answer.text
    return [entry["item_id"] for entry in answer.json()["items"]]


def _version(client: httpx.Client) -> int | None:
    """Of the rule, or None where it is not there."""
    answer = client.get("/v1/rules/brand")
    if answer.status_code == 404:
        return None
    return answer.raise_for_status().json()["version"]  # type: ignore[no-any-return]


@pytest.fixture
def ruled(servers: list[httpx.Client]) -> Iterator[list[httpx.Client]]:
    """The servers; the rule is on none of them afterwards."""
    yield servers
    one, two = servers
    if _version(one) is not None:
        _delete(one)
    until(lambda: _version(two) is None, 5)


def _delete(client: httpx.Client) -> None:
    answer = client.delete("/v1/rules/brand", params={"by": "anna"}, headers={"If-Match": "*"})
    assert answer.status_code == 204, answer.text


def _put(client: httpx.Client, rule: Any, version: int | None) -> httpx.Response:
    headers = {} if version is None else {"If-Match": f'"{version}"'}
    return client.put("/v1/rules/brand", params={"by": "anna"}, json=rule, headers=headers)


@pytest.mark.proof
@pytest.mark.integration
def test_a_rule_put_on_one_server_is_in_force_on_another_and_never_half(
    ruled: list[httpx.Client],
) -> None:
    one, two = ruled
    sets = {brand: {f"ruled{k}" for k in range(40) if BRANDS[k % 2] == brand} for brand in BRANDS}
    whole = set.union(*sets.values())
    torn, stop, asked = [], threading.Event(), [0]

    def ask(base: str) -> None:
        with httpx.Client(base_url=base, timeout=30, trust_env=False) as client:
            while not stop.is_set():
                found = set(_shown(client))
                asked[0] += 1
                if found not in (whole, *sets.values()):
                    torn.append(found)

    load = [threading.Thread(target=ask, args=(str(client.base_url),), daemon=True) for client in ruled]
    for thread in load:
        thread.start()
    took, version = [], _version(one)
    try:
        for number in range(ROUNDS):
            hidden = BRANDS[number % 2]
            began = time.monotonic()
            answer = _put(one, {"kind": "hide", "where": f'item.brand == "{hidden}"'}, version)
            assert answer.status_code == 200, answer.text
            version = answer.json()["version"]
            assert set(_shown(one)) == whole - sets[hidden], "in force where it was put"
            until(lambda hidden=hidden: set(_shown(two)) == whole - sets[hidden], 5)
            took.append(time.monotonic() - began)
    finally:
        stop.set()
        for thread in load:
            thread.join(60)
    assert not any(thread.is_alive() for thread in load)
    print(f"on the second server after {statistics.median(took):.3f} s, at most {max(took):.3f} s; {asked[0]} feeds")
    assert torn == []
    _delete(one)
    until(lambda: set(_shown(two)) == whole, 5)


@pytest.mark.proof
@pytest.mark.integration
def test_of_changes_at_once_on_two_servers_one_is_in_force_on_both(ruled: list[httpx.Client]) -> None:
    one, two = ruled
    answer = _put(one, {"kind": "hide", "items": ["ruled0"]}, _version(one))
    assert answer.status_code == 200, answer.text
    version = answer.json()["version"]
    for number in range(5):
        until(lambda version=version: _version(two) == version, 5)
        answers: dict[int, httpx.Response] = {}

        def change(index: int, version: int = version, answers: Any = answers, number: int = number) -> None:
            answers[index] = _put(
                ruled[index], {"kind": "hide", "items": ["ruled0"], "note": f"{index} {number}"}, version
            )

        with ThreadPoolExecutor(2) as threads:
            for changed in [threads.submit(change, index) for index in range(2)]:
                changed.result()
        assert sorted(each.status_code for each in answers.values()) == [200, 412]
        (winner,) = (each.json() for each in answers.values() if each.status_code == 200)
        for client in ruled:
            until(lambda client=client, wanted=winner["version"]: (_version(client) or 0) >= wanted, 5)
            assert client.get("/v1/rules/brand").json()["rule"]["note"] == winner["rule"]["note"]
        version = winner["version"]
