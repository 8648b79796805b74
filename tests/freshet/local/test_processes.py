import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from freshet.local import processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# A parent that dies at once and leaves a child behind, as a crashed PyFlink client would leave its JVM.
ORPHAN = [sys.executable, "-c", "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"]
STUBBORN = [
    sys.executable,
    "-uc",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on'); time.sleep(60)",
]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[processes.ProcessRecord]]:
    records: list[processes.ProcessRecord] = []
    yield records
    for record in records:
        processes.end(record, 0, hard=True)


def spawn(tmp_path: Path, argv: list[str]) -> processes.ProcessRecord:
    return processes.spawn("one", argv, processes.base_env(), tmp_path / "one.log", tmp_path)


def test_a_record_survives_the_disk_and_finds_its_process(
    tmp_path: Path, started: list[processes.ProcessRecord]
) -> None:
    started.append(spawn(tmp_path, SLEEP))
    record = processes.load(tmp_path, "one")
    assert record == started[0]
    assert record.leader() == psutil.Process(record.pid)
    assert os.getpgid(record.pid) == record.pid != os.getpgid(0)


def test_end_ends_it(tmp_path: Path) -> None:
    record = spawn(tmp_path, SLEEP)
    assert processes.end(record, 10)
    assert record.members() == []
    assert processes.end(record, 10)  # a second time does nothing


def test_a_recycled_pid_is_never_signalled(tmp_path: Path, started: list[processes.ProcessRecord]) -> None:
    started.append(spawn(tmp_path, SLEEP))
    stranger = replace(started[0], created=started[0].created - 100, token="of-another-life")
    assert stranger.leader() is None
    processes.end(stranger, 0, hard=True)
    assert started[0].leader() is not None


def test_what_ignores_the_request_is_killed_after_its_grace(
    tmp_path: Path, started: list[processes.ProcessRecord]
) -> None:
    record = spawn(tmp_path, STUBBORN)
    started.append(record)
    deadline = time.monotonic() + 20
    while "on" not in (tmp_path / "one.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not processes.end(record, 0.2)
    assert record.members() == []


def test_children_of_a_crashed_leader_are_found_and_ended(
    tmp_path: Path, started: list[processes.ProcessRecord]
) -> None:
    record = spawn(tmp_path, [*ORPHAN, SLEEP[2]])
    started.append(record)
    deadline = time.monotonic() + 10
    while record.leader() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [p.pid == record.pid for p in record.members()] == [False]
    processes.end(record, 0, hard=True)
    assert record.members() == []


def test_half_a_record_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"name": "one", "pi')
    assert processes.load(tmp_path, "one") is None
    assert not (tmp_path / "one.json").exists()


def test_tail_gives_the_last_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"{n}\n" for n in range(100_000)))
    assert processes.tail(tmp_path / "log", 2) == ["99998", "99999"]
    assert processes.tail(tmp_path / "none") == []
