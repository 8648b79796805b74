"""Processor time by thread, and a job's counters as Flink's REST API shows them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bench import jobs
from bench.errors import Unsound
from bench.jobs import MeasuredJob, thread_s
from freshet.local import processes
from freshet.settings import Settings


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_the_processor_time_of_a_thread() -> None:
    thread = threading.get_native_id()
    before = thread_s(os.getpid(), thread)
    burn(0.1)
    assert 0.09 <= thread_s(os.getpid(), thread) - before < 1


ANSWERS: dict[str, Any] = {
    "/jobs": {"jobs": [{"id": "j"}]},
    "/jobs/j": {
        "vertices": [
            {"id": "source", "metrics": {"accumulated-busy-time": 1.0}},
            {"id": "op", "metrics": {"accumulated-busy-time": 2500.0}},
        ]
    },
    "/jobs/j/vertices/source/metrics": [{"id": "0.Source.numRecordsIn", "value": "1"}],
    "/jobs/j/vertices/op/metrics": [
        {"id": "0.user_operator.freshet.user.accepted", "value": "12.0"},
        {"id": "0.user_operator.freshet.user.rows", "value": "7"},
        {"id": "0.user_operator.freshet.user.dead.late", "value": "1"},
    ],
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home whose Flink is this process, with the REST API of ANSWERS."""
    found = Settings(home=tmp_path)

    me = psutil.Process()
    processes.ProcessRecord("flink", me.pid, me.create_time(), "").save(found.run)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=ANSWERS[request.url.path]))
    real = httpx.Client

    def client(**options: Any) -> httpx.Client:
        return real(base_url=options["base_url"], transport=transport)

    monkeypatch.setattr(jobs.httpx, "Client", client)
    return found


def test_the_counters_of_the_operator_that_has_them(settings: Settings) -> None:
    with jobs.running(settings, "user", ("accepted", "rows")) as job:
        assert job.counts() == {"accepted": 12, "rows": 7}
        assert job.busy_s() == 2.5
        first = job.usage()
        burn(0.1)
        assert job.usage().since(first).total >= 0.09


def test_a_job_without_the_counters_is_unsound(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "START_S", 0.2)
    with pytest.raises(Unsound, match=r"freshet\.item\.accepted"):
        MeasuredJob(settings, "item", ("accepted",))


def test_without_flink_there_is_nothing_to_measure(tmp_path: Path) -> None:
    with pytest.raises(Unsound, match="not running"):
        MeasuredJob(Settings(home=tmp_path), "user", ("accepted",))
