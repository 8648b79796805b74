"""`freshet digests`: what it asks for, and a run over the whole stack."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from freshet.cli import main
from freshet.commands import digests as command
from freshet.digests.outbox import Outbox
from freshet.errors import DigestsError
from freshet.local.ports import free_ports
from freshet.settings import Settings
from operators.aggregator import ATTRIBUTES
from recommend.surface import Surface
from recommend.surfaces.email import email
from recommend.surfaces.friends import friends
from recommend.surfaces.people_like_you import people_like_you
from schemas.clock import now_ms
from schemas.events import Item
from serving import services
from tests.live import Live, ids, until
from tests.serving.made import Api, Rows, person
from tests.serving.surfaces import stock


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "console", Console(highlight=False, width=200))


def test_list_has_the_surfaces_that_are_messages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["digests", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["surface", "email", "push"]
    assert "1 in 20h, 3 in 164h" in lines[1]
    assert "22:00 to 8:00" in lines[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--surface", "home", "--all"], "no surface called home is sent as messages; there are email, push"),
        (["--surface", "email"], "--users FILE, or --all"),
        (["--surface", "email", "--all", "--users", "x"], "--users FILE, or --all"),
        (["--surface", "email", "--all", "--period", "a/b"], "--period"),
        (["--surface", "email", "--all", "--period", ".."], "--period"),
    ],
)
def test_what_cannot_be_is_an_error_that_names_the_fix(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["digests", "run", *words]) == 1
    assert said in capsys.readouterr().err


def test_a_file_of_people_has_one_id_a_line(tmp_path: Path) -> None:
    path = tmp_path / "people.txt"
    path.write_text("u1\n\n u2 \n")
    assert list(command._of_file(path)) == ["u1", "u2"]
    path.write_text("u1\n" + "x" * 300 + "\n")
    with pytest.raises(command.InputError, match="line 2"):
        list(command._of_file(path))
    with pytest.raises(command.InputError, match=r"none\.txt"):
        list(command._of_file(tmp_path / "none.txt"))


def test_a_bad_line_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "people.txt"
    path.write_text("".join(f"u{n}\n" for n in range(200)) + "x" * 300 + "\n")
    with pytest.raises(command.InputError, match="line 201"):
        command._of_file(path)


def test_a_run_whose_input_ends_with_an_error_reports_and_leaves_what_it_did(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard input cannot be checked before."""

    class Unsent:
        def __init__(self, *given: Any, **others: Any) -> None:
            self.commit = self.sent = lambda given: []

    async def started(settings: Settings, surface: Surface) -> services.Services:
        return api.services

    async def stop() -> None:
        pass

    monkeypatch.setattr(command, "started", started)
    monkeypatch.setattr("freshet.digests.outbox.Outbox", Unsent)
    monkeypatch.setattr(api.services, "stop", stop)
    monkeypatch.setattr("sys.stdin", io.StringIO("u1\nasleep\n" + "x" * 300 + "\n"))
    stock(api, [Item(f"i{k}") for k in range(20)], {f"i{k}": [1, k, 0, 0] for k in range(20)})
    hour = time.gmtime().tm_hour
    for user_id, local in (("u1", 12), ("asleep", 1)):
        zone = {"timezone": f"Etc/GMT{(hour - local + 11) % 24 - 11:+d}"}  # POSIX: what is added to local time
        api.rows.of[user_id] = person(profile_offset=1) | {ATTRIBUTES: msgspec.msgpack.encode(zone)}
    shown: list[Any] = []
    with pytest.raises(command.InputError, match="line 3"):
        api.run(command._run(Settings(), email, command._of_file(Path("-")), "p", "", tmp_path, False, shown.append))
    (report,) = shown
    assert (report.people, report.sent, report.deferred) == (2, 1, 1)
    for name, user_id in (("digests", "u1"), ("deferred", "asleep")):
        assert json.loads((tmp_path / f"{name}-email-p.jsonl").read_text())["user_id"] == user_id
    command._print(report, "email", True, False)
    assert json.loads(capsys.readouterr().out)["next_at"] is not None


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "people"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text("u1\nu2\n"), daemon=True)
    writer.start()
    assert list(command._of_file(path)) == ["u1", "u2"]
    writer.join(10)
    assert not writer.is_alive()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A Kafka that is not there, and a store that is; the server would be ready after a moment without a catalogue."""
    monkeypatch.setattr(services, "feast_rows", lambda settings, reads: Rows)
    monkeypatch.setattr(command, "READY_S", 1.0)
    monkeypatch.setenv("FRESHET_CATALOGUE_WAIT_S", "0.01")
    return Settings(**free_ports())


def test_no_run_begins_before_the_catalogue_and_the_rules_are_read(refused: Settings, tmp_path: Path) -> None:
    settings = refused.model_copy(update={"home": tmp_path})
    with pytest.raises(DigestsError, match="the catalogue and the rules cannot be read within 1 s; is Kafka up"):
        asyncio.run(command.started(settings, email))


@pytest.mark.parametrize(("surface", "kept"), [(email, False), (friends, False), (people_like_you, True)])
def test_people_are_followed_for_the_surfaces_alone_that_are_made_from_them(
    refused: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, surface: Surface, kept: bool
) -> None:
    made: list[services.Services] = []
    start = services.Services.start

    async def started(self: services.Services) -> None:
        made.append(self)
        await start(self)
        self.catalogue.set_complete()
        self.rules.complete = True

    monkeypatch.setattr(services.Services, "start", started)

    async def followed() -> tuple[bool, bool]:
        found = await command.started(refused.model_copy(update={"home": tmp_path}), surface)
        try:
            assert made == [found]
            return found.settings.people > 0, found._people_follower is not None
        finally:
            await found.stop()

    assert asyncio.run(followed()) == (kept, kept)


class Followed:
    """Services whose people are read: how many still are to be, one at a time."""

    def __init__(self, waiting: list[int | None], model: object = "model") -> None:
        self.left, self.pipeline = waiting, SimpleNamespace(model=model)

    @property
    def people_wait(self) -> int | None:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def test_a_run_waits_for_the_people_that_its_surface_is_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "READY_S", 0.2)
    monkeypatch.setattr(command, "POLL_S", 0.01)
    left: list[int | None] = [None, None, *range(100, -1, -1)]
    found = Followed(left)
    asyncio.run(command._people_read(found))  # type: ignore[arg-type]
    assert found.left == [0], "longer than READY_S in all, but never without progress"
    for stuck in ([None], [5]):
        with pytest.raises(DigestsError, match=r"cannot be read: no progress within 0 s"):
            asyncio.run(command._people_read(Followed([*stuck])))  # type: ignore[arg-type]
    asyncio.run(command._people_read(Followed([None], None)))  # type: ignore[arg-type]


def test_a_run_without_its_people_does_not_begin(
    refused: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, stopped = services.Services.start, list[services.Services]()
    stop = services.Services.stop

    async def started(self: services.Services) -> None:
        await start(self)
        self.catalogue.set_complete()
        self.rules.complete = True

    async def stops(self: services.Services) -> None:
        stopped.append(self)
        await stop(self)

    async def not_read(found: services.Services) -> None:
        raise DigestsError("the people cannot be read")

    monkeypatch.setattr(services.Services, "start", started)
    monkeypatch.setattr(services.Services, "stop", stops)
    monkeypatch.setattr(command, "_people_read", not_read)
    with pytest.raises(DigestsError, match="the people cannot be read"):
        asyncio.run(command.started(refused.model_copy(update={"home": tmp_path}), people_like_you))
    assert len(stopped) == 1


@pytest.mark.proof
def test_digests_of_the_running_stack(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sent once, to those who want it, and not again: the job has the impressions of what was sent."""
    settings = live.stack.settings
    for name, value in {
        "HOME": settings.home, "KAFKA_PORT": settings.kafka_port, "REDIS_PORT": settings.redis_port,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"FRESHET_{name}", str(value))
    noon = f"Etc/GMT{time.gmtime().tm_hour - 12:+d}"  # POSIX: what is added to local time
    people = [f"digested{n}" for n in range(6)]
    live.post(
        "users",
        [
            {
                "user_id": user_id,
                "attributes": {"timezone": noon} | ({"digests": False} if user_id == people[5] else {}),
            }
            for user_id in people
        ],
    )
    items = [item.item_id for item in live.log.items[:6]]
    live.post("events", [live.event(user_id, "click", item) for user_id in people for item in items])
    until(lambda: all(live.written(user_id) for user_id in people), 30)  # the command reads the store alone
    names = tmp_path / "people.txt"
    names.write_text("\n".join(people))
    out = tmp_path / "out"

    def run(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert (
            main(["digests", "run", "--surface", "email", "--users", str(names), "--out", str(out), "--json", *words])
            == 0
        )
        return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]

    dry = run("--dry-run")
    assert (dry["sent"], dry["skipped"]) == (5, {"opted out": 1})
    first = run()
    assert (first["sent"], first["skipped"], first["deferred"]) == (5, {"opted out": 1}, 0)
    assert run()["skipped"] == {"opted out": 1, "sent already": 5}
    (path,) = out.glob("digests-email-*[0-9].jsonl")
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["user_id"] for each in written] == people[:5]
    in_topic = {
        each.digest_id: each.items
        for each in Outbox(settings.connection, "email", alone=False).sent(now_ms() - 3_600_000)
        if each.user_id in people
    }
    assert in_topic == {each["digest_id"]: each["items"] for each in written}

    # The file is lost: the next run makes it again from the topic.
    path.unlink()
    assert run()["sent"] == 0
    assert [json.loads(line)["user_id"] for line in path.read_text().splitlines()] != []
    assert {json.loads(line)["digest_id"] for line in path.read_text().splitlines()} >= set(in_topic)

    # What was mailed is not pushed, once the job has its impression; on `email` itself the half hour that goes on does
    # not count.
    def rests(sent: dict[str, Any]) -> bool:
        """An answer without any items would say nothing: the surface has none where what was shown cannot be read."""
        found = live.whole_feed(sent["user_id"], surface="push", dry_run=True)
        return bool(found["items"]) and not set(sent["items"]) & set(ids(found))

    for each in written:
        assert each["items"]
        until(lambda each=each: rests(each), 30)
    # An event that names the digest is one of the list that was sent.
    clicked = written[0]
    live.post("events", live.event(people[0], "click", clicked["items"][0], request_id=clicked["digest_id"]))


def test_everybody_in_the_store_is_found(live: Live) -> None:
    people = {f"stored{n}" for n in range(40)}
    live.post("events", [live.event(user, "click", "i1") for user in people])
    until(lambda: people <= set(command._in_store(live.stack.settings)))
