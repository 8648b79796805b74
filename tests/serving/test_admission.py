"""Admission: a bounded number in work, a bounded queue in order of arrival, and 503 beyond."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.admission import Admission, Lane, Pace
from serving.metrics import Metrics
from serving.problems import Overloaded
from tests.serving.made import Api


class Gate:
    """An application whose requests stay in work until they are let go, one after another."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.most = 0
        self._in_work = 0
        self._go = asyncio.Semaphore(0)

    def let(self, n: int) -> None:
        for _ in range(n):
            self._go.release()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.append(scope["path"])
        self._in_work += 1
        self.most = max(self.most, self._in_work)
        await self._go.acquire()
        self._in_work -= 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


Test = Callable[[Gate, httpx.AsyncClient, Metrics], Awaitable[None]]


def run(test: Test, in_work: int = 2, queue: int = 3, wait_s: float = 30.0) -> None:
    async def started() -> None:
        gate, metrics = Gate(), Metrics()
        lanes = {name: Lane(name, in_work, Pace(2, 1), queue, wait_s, metrics) for name in ("reads", "writes")}
        transport = httpx.ASGITransport(Admission(gate, **lanes))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            await test(gate, client, metrics)

    asyncio.run(started())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def begin(client: httpx.AsyncClient, path: str, method: str = "GET") -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(client.request(method, path))


def test_no_more_than_the_limit_are_in_work_and_the_others_follow_in_order_of_arrival() -> None:
    async def test(gate: Gate, client: httpx.AsyncClient, metrics: Metrics) -> None:
        asked = []
        for n in range(5):
            asked.append(begin(client, f"/v1/{n}"))
            await settle()
        assert len(gate.begun) == 2
        gate.let(5)
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
        assert gate.begun == [f"/v1/{n}" for n in range(5)]
        assert gate.most == 2

    run(test)


def test_beyond_the_queue_the_answer_is_503_at_once() -> None:
    async def test(gate: Gate, client: httpx.AsyncClient, metrics: Metrics) -> None:
        asked = [begin(client, "/v1/x") for _ in range(5)]
        await settle()
        refused = await client.get("/v1/x")
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.json()["type"] == "/problems/overloaded"
        text = metrics.text().decode()
        assert 'freshet_shed_total{lane="reads",reason="queue_full"} 1.0' in text
        assert 'freshet_requests_in_work{lane="reads"} 2.0' in text
        assert 'freshet_requests_queued{lane="reads"} 3.0' in text
        gate.let(5)
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
        gate.let(1)
        assert (await client.get("/v1/x")).status_code == 200, "there is room again"

    run(test)


def test_whoever_waits_too_long_is_refused_and_never_begun() -> None:
    async def test(gate: Gate, client: httpx.AsyncClient, metrics: Metrics) -> None:
        asked = [begin(client, f"/v1/{n}") for n in range(4)]
        late = await asyncio.gather(*asked[2:])
        assert {answer.status_code for answer in late} == {503}
        gate.let(2)
        await asyncio.gather(*asked[:2])
        assert gate.begun == ["/v1/0", "/v1/1"]
        assert 'freshet_shed_total{lane="reads",reason="deadline"} 2.0' in metrics.text().decode()
        assert 'freshet_requests_queued{lane="reads"} 0.0' in metrics.text().decode()
        gate.let(3)
        assert (await client.get("/v1/5")).status_code == 200

    run(test, wait_s=0.05)


def test_reads_that_wait_do_not_keep_writes_out_nor_health() -> None:
    async def test(gate: Gate, client: httpx.AsyncClient, metrics: Metrics) -> None:
        reads = [begin(client, "/v1/x") for _ in range(5)]
        await settle()
        others = [begin(client, "/v1/events", "POST"), begin(client, "/livez"), begin(client, "/metrics")]
        await settle()
        assert gate.begun[2:] == ["/v1/events", "/livez", "/metrics"]
        gate.let(8)
        assert {answer.status_code for answer in await asyncio.gather(*reads, *others)} == {200}

    run(test)


@pytest.mark.parametrize("granted", [False, True])
def test_a_request_that_is_cancelled_gives_its_place_back(granted: bool) -> None:
    async def test() -> None:
        lane = Lane("reads", 1, Pace(1, 1), 5, 30.0, Metrics())
        await lane.enter()
        waiting = asyncio.create_task(lane.enter())
        await settle()
        if granted:
            lane.leave()  # its turn has come, but it has not run since
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if not granted:
            lane.leave()
        async with asyncio.timeout(1):
            await lane.enter()

    asyncio.run(test())


def test_requests_that_never_suspend_still_leave_the_loop_to_others() -> None:
    """Twenty arrive in one turn of the loop; a timer that is due and a write get their turns between them."""
    order: list[str] = []

    async def busy(scope: Any, receive: Any, send: Any) -> None:
        order.append(scope["method"])

    async def test() -> None:
        metrics = Metrics()
        app = Admission(busy, *(Lane(name, 10, Pace(1, 4), 100, 30.0, metrics) for name in ("reads", "writes")))

        async def ask(method: str) -> None:
            await app({"type": "http", "path": "/v1/x", "method": method}, None, None)  # type: ignore[arg-type]

        asked = [asyncio.create_task(ask("GET")) for _ in range(20)]
        await asyncio.sleep(0)
        asked.append(asyncio.create_task(ask("POST")))
        await asyncio.gather(*asked)

    asyncio.run(test())
    assert order.count("GET") == 20
    assert order.index("POST") <= 3


def test_no_queue_at_all() -> None:
    async def test() -> None:
        lane = Lane("reads", 1, Pace(1, 1), 0, 30.0, Metrics())
        await lane.enter()
        with pytest.raises(Overloaded):
            await lane.enter()

    asyncio.run(test())


def test_the_server_sheds_what_it_cannot_serve(tmp_path: Path) -> None:
    api = Api(tmp_path, reads_in_work=1, queue_limit=2, queue_wait_ms=5000)
    hold = asyncio.Event()

    async def slow(*_: object) -> None:
        await hold.wait()
        raise RuntimeError("enough")

    api.services.hydrator.person = slow  # type: ignore[assignment]

    async def ask() -> list[httpx.Response]:
        asked = [asyncio.create_task(api._client.get(f"/v1/users/u{n}/feed")) for n in range(6)]
        refused = [await next(done) for done in [asyncio.as_completed(asked[3:])] for _ in range(3)]
        assert (await api._client.get("/livez")).status_code == 200
        hold.set()
        return [*refused, *await asyncio.gather(*asked[:3])]

    assert [answer.status_code for answer in api.run(ask())] == [503] * 3 + [500] * 3
    api.close()
