"""The circuit breaker: one failure, and nobody waits until a probe has been answered."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import TimeoutError

from serving.store import PROBE, Store, StoreAway
from tests.serving.made import Rows, person

RETRY_S = 0.01


async def until_healthy(store: Store) -> None:
    async with asyncio.timeout(5):
        while not store.healthy:
            await asyncio.sleep(RETRY_S)


def test_rows_are_read() -> None:
    async def scenario() -> None:
        rows = Rows()
        rows.of["u1"] = person()
        store = Store(lambda: rows, RETRY_S)
        await store.start()
        assert store.healthy
        assert store.read("u1") == person()
        assert store.read("stranger") is None
        await store.stop()

    asyncio.run(scenario())


def test_a_row_that_cannot_be_read_is_one_persons_trouble() -> None:
    async def scenario() -> None:
        rows = Rows()
        store = Store(lambda: rows, RETRY_S)
        await store.start()
        rows.error = ValueError("not a value")
        with pytest.raises(StoreAway, match="not a value"):
            store.read("u1")
        rows.error = None
        assert store.healthy
        assert store.read("u2") is None
        await store.stop()

    asyncio.run(scenario())


def test_a_failure_opens_the_breaker_and_a_probe_closes_it() -> None:
    async def scenario() -> None:
        rows = Rows()
        store = Store(lambda: rows, RETRY_S)
        await store.start()
        rows.error = ConnectionError("refused")
        with pytest.raises(StoreAway, match="refused"):
            store.read("u1")
        reads = rows.reads
        for _ in range(100):
            with pytest.raises(StoreAway):
                store.read("u1")
        assert rows.reads == reads, "the store that is away is left alone"
        assert not store.healthy
        await asyncio.sleep(5 * RETRY_S)
        assert rows.reads > reads
        assert not store.healthy, "probes that fail change nothing"
        rows.error = None
        await until_healthy(store)
        assert store.read("u1") is None
        await store.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("slow", [1, 2])
def test_a_slow_read_is_tried_once_more(slow: int) -> None:
    async def scenario() -> None:
        rows = Rows()
        rows.of["u1"] = person()
        store = Store(lambda: rows, 60)
        await store.start()
        answers = [TimeoutError("slow")] * slow

        class Slow(Rows):
            def read(self, user_id: str, attributes: bool = False, shown: bool = False) -> object:
                if answers:
                    raise answers.pop()
                return rows.read(user_id)

        store._rows = Slow()
        if slow == 1:
            assert store.read("u1") == person()
        else:
            with pytest.raises(StoreAway):
                store.read("u1")
        assert store.healthy is (slow == 1)
        await store.stop()

    asyncio.run(scenario())


def test_a_store_that_cannot_be_opened_is_opened_later() -> None:
    async def scenario() -> None:
        rows, opened = Rows(), []

        def open_rows() -> Rows:
            opened.append(1)
            if len(opened) < 3:
                raise OSError("no registry yet")
            return rows

        store = Store(open_rows, RETRY_S)
        await store.start()
        with pytest.raises(StoreAway):
            store.read("u1")
        await until_healthy(store)
        assert len(opened) == 3
        assert store.read("u1") is None
        await store.stop()

    asyncio.run(scenario())


def test_what_is_probed_for_is_nobody() -> None:
    async def scenario() -> list[str]:
        asked: list[str] = []

        class Spy(Rows):
            def read(self, user_id: str, attributes: bool = False, shown: bool = False) -> None:
                asked.append(user_id)

        store = Store(Spy, RETRY_S)
        await store.start()
        await store.stop()
        return asked

    assert asyncio.run(scenario()) == [PROBE]


def test_stopping_ends_the_search_for_a_store_that_is_away() -> None:
    async def scenario() -> None:
        rows = Rows()
        rows.error = ConnectionError("refused")
        store = Store(lambda: rows, RETRY_S)
        await store.start()
        await store.stop()
        reads = rows.reads
        await asyncio.sleep(5 * RETRY_S)
        assert rows.reads == reads

    asyncio.run(scenario())


def test_pairs_are_read_through_the_same_breaker() -> None:
    async def scenario() -> None:
        rows = Rows()
        rows.pairs["u1", "view", "a"] = {"n": 1}
        store = Store(lambda: rows, RETRY_S)
        await store.start()
        assert store.read_pairs("u1", "view", ["a", "b"]) == {"a": {"n": 1}}
        assert await store.pairs("u1", {"view": ["a", "b"], "other": ["a"]}) == {"view": {"a": {"n": 1}}, "other": {}}
        rows.error = ValueError("not a value")
        with pytest.raises(StoreAway, match="not a value"):
            await store.pairs("u1", {"view": ["a"]})
        assert store.healthy, "one person's trouble"
        rows.error = ConnectionError("refused")
        with pytest.raises(StoreAway, match="refused"):
            await store.pairs("u1", {"view": ["a"]})
        asked = rows.reads_of_pairs
        with pytest.raises(StoreAway):
            store.read_pairs("u1", "view", ["a"])
        with pytest.raises(StoreAway):
            await store.pairs("u1", {"view": ["a"]})
        with pytest.raises(StoreAway):
            store.read("u1")
        assert rows.reads_of_pairs == asked
        await store.stop()

    asyncio.run(scenario())
