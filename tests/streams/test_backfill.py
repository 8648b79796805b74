"""A backfill by Flink comes to the same as one within a process: every row, every state."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from feature_repo import registry
from feature_repo.builders import item_operator, user_operator
from freshet.errors import ComponentError
from freshet.features import distributed
from freshet.features.refill import Refill
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings
from operators.contract import Record, owner
from operators.time import DAY, HOUR
from schemas.events import Interaction, User
from schemas.topics import INTERACTIONS, USERS, topic_of
from streams import world
from tests.streams.test_parity import BASE, log
from tests.training import test_archive
from training import archive
from training.backfill import Backfill
from training.replay import KnownItems, Replay

DEFINITIONS = "tests.streams.everything"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = Settings(home=tmp_path_factory.mktemp("backfill"), partitions=1, **free_ports())
    with Stack(settings, report=print) as stack:
        stack.up(["kafka"])
        yield settings


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def archived(settings: Settings, n: int) -> list[Record]:
    """Writes what a job would have let in, in files of several days."""
    admitting = Replay(user_operator(KnownItems(), DAY), item_operator(KnownItems()))
    found = []
    for offset, event in enumerate(log(5, n)):
        at = BASE + offset * HOUR // 3
        record = Record(event, topic_of(event), 0, offset, at, at)
        if admitting.feed(record) is not None:
            found.append(record)
    test_archive.write(settings.archive / "events", found[: n // 2])
    test_archive.write(settings.archive / "events", found[n // 2 :], "part-1")
    return found


def comparable(row: Any, at: int) -> str:
    return json.dumps([row.view, row.key, row.values, at], default=bytes.hex)


@pytest.mark.proof
@pytest.mark.integration
def test_rows_and_states_are_those_of_one_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_DEFINITIONS", DEFINITIONS)
    monkeypatch.setenv("FRESHET_PARALLELISM", "2")
    declared = registry.load(DEFINITIONS)
    records = archived(settings, 400)
    until = records[-1].arrived + 2 * DAY
    rows: Counter[str] = Counter()
    here = Backfill(declared, KnownItems(), lambda row, at: rows.update([comparable(row, at)]))
    here.feed(records)
    here.finish(until)
    files = archive.finished(settings.archive / "events")
    assert len(files) > 5
    began = time.monotonic()
    with distributed.fill(settings, files, "rows", (), until) as filled:
        took = time.monotonic() - began
        again = Counter(comparable(row, at) for row, at in filled.rows())
    print(f"{len(records)} events, {sum(rows.values())} rows in {took:.0f} s")
    assert again == rows
    with distributed.fill(settings, files, "states", (), until) as filled:
        states = sorted(state for state in filled.states() if owner(state[2]))
    assert states == sorted(here.states())
    assert not list(settings.archive.glob(".backfill-*"))


@pytest.mark.integration
def test_what_flink_has_read_is_gone_on_from(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, opened: ExitStack
) -> None:
    """As `freshet features apply --flink` does: the batch job reads what is there, one process what has come since."""
    monkeypatch.setenv("FRESHET_DEFINITIONS", "tests.streams.by_country")
    own = settings.model_copy(update={"home": settings.home / "later"})
    monkeypatch.setattr("freshet.features.declared.to_backfill", lambda _: states_of)
    declared = registry.declared()
    states_of = {feature.state_key for found in declared.features.values() for feature in found}
    at = time.time_ns() // 1_000_000 - DAY
    records = [Record(User(f"u{k}", {"country": "DE"}), USERS, 0, k, at - 9 + k, at - 9 + k) for k in range(7)] + [
        Record(Interaction(f"e{k}", "view", f"u{k % 7}", at + k, f"i{k % 5}"), INTERACTIONS, 0, k, at + k, at + k)
        for k in range(60)
    ]
    test_archive.write(own.archive / "events", records[:47])
    opened.callback(lambda: world.shared(own.connection, own.bundles).close())
    refill = Refill(own, quiet=True, by_flink=True)
    refill.ahead()
    # Everybody but u6, whose states are those of the batch job.
    test_archive.write(own.archive / "events", [r for r in records[47:] if r.event.user_id != "u6"], "part-1")
    said: list[str] = []
    refill.finish(said.append)
    assert "after those of the batch job" in said[0]
    whole = Backfill(declared, KnownItems())
    whole.feed(archive.read(archive.finished(own.archive / "events")))
    expected = sorted(whole.states())
    found = sqlite3.connect(own.backfilled)
    assert sorted(found.execute("SELECT operator, key, part, state FROM states")) == expected
    found.close()
    assert any(key == "u6" for _, key, _, _ in expected)
    assert [path.name for path in own.root.glob("backfilled*")] == ["backfilled.db"]


@pytest.mark.integration
def test_a_program_that_fails_is_an_error_with_the_place_of_its_log(settings: Settings) -> None:
    failing = settings.model_copy(update={"flink_run": "sh -c 'echo Error: no slots; exit 3'"})
    with (
        pytest.raises(ComponentError, match=r"no slots.*logs/backfill.log"),
        distributed.fill(failing, (), "rows", (), 0),
    ):
        pass
    missing = settings.model_copy(update={"flink_run": "no-such-program run"})
    with pytest.raises(ComponentError, match="FRESHET_FLINK_RUN"), distributed.fill(missing, (), "rows", (), 0):
        pass
