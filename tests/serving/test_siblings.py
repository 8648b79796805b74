"""Server processes that ask one another, and answers over several of them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from serving import siblings
from serving.health import Health, answers_of
from serving.siblings import STATES, ProcessState, Siblings, write_states
from tests.serving.made import Api


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: the system limits those of Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="freshet-") as path:
        yield Path(path)


def states(*numbers: int) -> list[ProcessState]:
    return [ProcessState(number, 100 + number, "serving") for number in numbers]


def test_the_others_are_asked_and_who_is_not_there_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "ANSWER_S", 0.2)
    write_states(folder, [*states(1, 2, 3, 4, 6), ProcessState(5, None, "ended")])

    def broken() -> bytes:
        raise ValueError("broken")

    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async def torn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((10).to_bytes(siblings.SIZE) + b"half")
            writer.close()

        one = Siblings(1, folder, {"name": lambda: b"one"})
        two = Siblings(2, folder, {"name": lambda: b"two" * 100_000, "broken": broken})
        others = await asyncio.start_unix_server(silent, folder / "3.sock")
        broken_off = await asyncio.start_unix_server(torn, folder / "6.sock")
        async with one, two, others, broken_off:
            assert await one.ask("name") == {2: b"two" * 100_000}
            assert await two.ask("name") == {1: b"one"}
            assert await one.ask("broken") == {}
            assert await one.ask("unknown") == {}
            assert await one.ask("name") == {2: b"two" * 100_000}, "it goes on after an error"
        assert not (folder / "1.sock").exists()

    asyncio.run(main())


def test_a_socket_of_a_process_that_was_killed_is_replaced(folder: Path) -> None:
    write_states(folder, states(1, 2))

    async def main() -> None:
        (folder / "2.sock").write_bytes(b"")
        async with Siblings(2, folder, {"name": lambda: b"two"}):
            assert await Siblings(1, folder, {}).ask("name") == {2: b"two"}

    asyncio.run(main())


def test_without_a_supervisor_there_are_no_states(folder: Path) -> None:
    assert Siblings(1, folder, {}).states() == []
    (folder / STATES).write_text("[{")
    assert Siblings(1, folder, {}).states() == []


def test_health_and_metrics_are_of_all_processes(api: Api, folder: Path) -> None:
    api.services.catalogue.set_complete()
    api.services.siblings = Siblings(1, folder, {})
    other = Siblings(2, folder, answers_of(api.services))
    gone = ProcessState(3, None, "ended", 1, "ended by SIGKILL")

    api.run(other.__aenter__())
    write_states(folder, states(1, 2))
    found = api.get("/readyz").json()
    assert (found["process"], found["degraded"]) == (1, ["model"])
    assert [(p["number"], p["pid"], p["degraded"]) for p in found["processes"]] == [
        (1, 101, ["model"]), (2, 102, ["model"]),
    ]  # fmt: skip
    write_states(folder, [*states(1, 2), gone])
    answer = api.get("/readyz")
    found = answer.json()
    assert (answer.status_code, found["degraded"]) == (200, ["model", "processes"])
    assert found["processes"][2] == {
        "number": 3, "pid": None, "state": "ended", "restarts": 1, "last_exit": "ended by SIGKILL",
        "degraded": None, "background": None,
    }  # fmt: skip
    metrics = api.get("/metrics").text
    for number in (1, 2):
        assert f'freshet_items{{process="{number}"}} 0.0' in metrics
    assert 'freshet_process_up{process="3"} 0.0' in metrics
    api.run(other.__aexit__())
    assert api.get("/readyz").json()["processes"][1]["degraded"] is None, "it gives no answer"


def test_the_answer_to_another_process_can_be_read_by_it(api: Api) -> None:
    health = msgspec.json.decode(answers_of(api.services)["health"](), type=Health)
    assert (health.status, health.processes) == ("starting", [])
