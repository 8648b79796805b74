"""New features get their past from the archive, and only where the archive is known to hold all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from feature_repo.plan import Change
from freshet.errors import ComponentError
from freshet.features import declared, refill
from freshet.features.refill import Refill
from freshet.local.flink import Flink
from freshet.settings import Settings
from operators.contract import Record
from schemas.events import Interaction
from schemas.topics import INTERACTIONS, REFRESH
from streams import world
from streams.backfilled import Backfilled
from tests.operators.records import World
from tests.training.test_archive import write

T0 = 1_767_225_600_000
NEW = [Change("user.last", "new", "")]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(world, "shared", lambda *_: World())
    found = Settings(home=tmp_path)
    monkeypatch.setenv("FRESHET_DEFINITIONS", "tests.freshet.commands.declared_before")
    declared.remember(found)
    monkeypatch.setenv("FRESHET_DEFINITIONS", "tests.freshet.commands.declared_after")
    return found


def archive(settings: Settings, first: int, n: int) -> None:
    records = [
        Record(Interaction(f"e{k}", "view", f"u{k % 3}", T0 + k, f"i{k}"), INTERACTIONS, 0, k, T0 + k, T0 + k)
        for k in range(first, first + n)
    ]
    write(settings.archive / "events", records, f"part-{first}")


def test_what_is_read_ahead_is_not_read_again(settings: Settings) -> None:
    archive(settings, 0, 10)
    filled = Refill(settings, quiet=True)
    filled.ahead()
    archive(settings, 10, 5)
    said: list[str] = []
    filled.finish(said.append)
    assert said[0].startswith("15 archived events")
    assert {key for key in ("u0", "u1", "u2") if Backfilled(settings.backfilled, "user").of(key)} == {"u0", "u1", "u2"}


def test_every_key_with_a_backfilled_state_is_refreshed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, bytes]] = []

    class Heard:
        def __init__(self, _: Settings) -> None: ...

        def __enter__(self) -> Heard:
            return self

        def __exit__(self, *_: Any) -> None: ...

        def send(self, topic: str, key: bytes, value: bytes) -> None:
            sent.append((topic, key))

        def flush(self) -> None: ...

    monkeypatch.setattr("freshet.data.producer.Producer", Heard)
    archive(settings, 0, 4)
    filled = Refill(settings, quiet=True)
    filled.finish(lambda _: None)
    filled.refresh()
    assert {(REFRESH["user"], b"u0"), (REFRESH["user"], b"u2"), (REFRESH["item"], b"i3")} <= set(sent)
    assert len(sent) == len(set(sent))


def test_a_stop_with_a_savepoint_is_taken_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "changes", lambda _: NEW)
    archive(settings, 0, 3)
    said: list[str] = []
    Flink()._take_up_changes(settings, settings.savepoints / "savepoint-1", said.append)
    assert said[0] == "feature user.last: new"
    assert settings.backfilled.exists()


def test_after_a_crash_the_archive_may_lack_something(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "changes", lambda _: NEW)
    with pytest.raises(ComponentError, match=r"without a savepoint.*--no-restore"):
        Flink()._take_up_changes(settings, settings.checkpoints / "job" / "chk-3", lambda _: None)
    assert not settings.backfilled.exists()


def test_a_removal_needs_no_past(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "changes", lambda _: [Change("user.last", "removed", "")])
    Flink()._take_up_changes(settings, settings.checkpoints / "job" / "chk-3", lambda _: None)
    assert not settings.backfilled.exists()


def test_a_start_from_the_beginning_archives_anew(settings: Settings) -> None:
    from freshet.local.flink import _start_over

    archive(settings, 0, 3)
    (settings.archive / "examples" / "day=2026-01-01").mkdir(parents=True)
    settings.backfilled.write_text("old")
    said: list[str] = []
    _start_over(settings, said.append)
    assert refill.events(settings) == set()
    assert not settings.backfilled.exists()
    assert len(list(settings.archive.glob("events-until-*/topic=*/day=*/part-0"))) == 1
    assert len(list(settings.archive.glob("examples-until-*/day=*"))) == 1
    assert all("kept in" in message for message in said)
    _start_over(settings, said.append)
    assert len(said) == 2
