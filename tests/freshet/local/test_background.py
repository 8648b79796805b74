"""What `freshet status` says of threads that keep a component up to date."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from freshet.local import background
from freshet.local.ports import free_ports
from freshet.settings import Settings
from tests.bundles import write_bundle
from tests.serving.made import Api

THREADS = [
    {"name": "follow-items", "up": False, "errors": 3, "last_error": "OSError: refused"},
    {"name": "bundles", "up": True, "errors": 1, "last_error": "BundleError: broken"},
    {"name": "impressions", "up": True, "errors": 0, "last_error": ""},
]
METRIC = f"0.user_operator.{background.JOB_ERRORS}"


def answer(request: httpx.Request) -> httpx.Response:
    """Flink's REST API with one job of two vertices, of which one has the counter."""
    path = request.url.path
    if path == "/jobs":
        return httpx.Response(200, json={"jobs": [{"id": "j"}]})
    if path == "/jobs/j":
        return httpx.Response(200, json={"vertices": [{"id": "a"}, {"id": "b"}]})
    if path == "/jobs/j/vertices/a/metrics":
        return httpx.Response(200, json=[{"id": "0.other"}])
    if "get" in request.url.params:
        return httpx.Response(200, json=[{"id": request.url.params["get"], "value": "2"}])
    return httpx.Response(200, json=[{"id": METRIC}])


@pytest.fixture
def settings() -> Settings:
    return Settings(**free_ports())


def test_threads_with_errors_are_named(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    real = httpx.Client
    monkeypatch.setattr(
        httpx,
        "get",
        lambda *_, **__: httpx.Response(503, json={"background": THREADS, "degraded": [], "processes": []}),
    )
    monkeypatch.setattr(
        httpx, "Client", lambda base_url, **_: real(base_url=base_url, transport=httpx.MockTransport(answer))
    )
    assert background.problems(settings, {"server", "flink"}) == [
        "server: follow-items fails and is tried again: OSError: refused",
        "server: bundles works; 1 errors so far, the last: BundleError: broken",
        "flink: 2 errors so far in the threads that follow the catalogue and the bundles (`freshet logs flink`)",
    ]


def refused(said: str, degraded: list[str], monkeypatch: pytest.MonkeyPatch, settings: Settings) -> list[str]:
    threads = [{"name": "bundles", "up": False, "errors": 1, "last_error": said}]
    document = {"background": threads, "degraded": degraded, "processes": []}
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, json=document))
    return background.problems(settings, {"server"})


POPULAR, BEFORE = "no model is in force, and feeds are of popular items", "the one before is in force"
TRAIN, CORRECT = "`freshet train` makes another", "correct traffic.json in the folder of bundles"
NAME = f"{TRAIN}, and traffic.json in the folder of bundles names it"


@pytest.mark.parametrize(
    ("cause", "degraded", "end"),
    [
        ("v1: a.npy: checksum differs", ["model", "bundles"], f"{POPULAR}; {TRAIN}"),
        ("v1: a.npy: checksum differs", ["bundles"], f"{BEFORE}; {TRAIN}"),
        ("v1 has format 1: train again (`freshet train`)", ["model", "bundles"], f"{POPULAR}; {TRAIN}"),
        ("v2: no manifest.json", ["bundles", "variant new"], f"variant new does not serve; {NAME}"),
        ("traffic.json: too much", ["bundles", "traffic"], f"{BEFORE}; {CORRECT}"),
        ("v1: no manifest.json", ["model", "bundles", "traffic"], f"{POPULAR}; {TRAIN}"),
        ("traffic.json/manifest.json: no such bundle", ["bundles"], f"{BEFORE}; {TRAIN}"),
    ],
)
def test_a_refused_bundle_is_named_with_what_serves_meanwhile_and_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, cause: str, degraded: list[str], end: str
) -> None:
    found = refused(f"BundleError: {cause}", degraded, monkeypatch, settings)
    assert found == [f"server: what is published is refused: {cause}; {end}"]


@pytest.mark.parametrize("harm", ["format", "checksum"])
def test_a_server_with_a_refused_bundle_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path, harm: str
) -> None:
    version = write_bundle(tmp_path, ["i1"])
    if harm == "format":
        manifest = tmp_path / version / "manifest.json"
        manifest.write_text(re.sub(r'"format":\s*\d+', '"format": 1', manifest.read_text()))
    else:
        (tmp_path / version / "spaces" / "items" / "ids.jsonl").write_text("[]")
    api = Api(tmp_path)
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, json=api.get("/readyz").json()))
    (line,) = background.problems(settings, {"server"})
    api.close()
    assert line.startswith(f"server: what is published is refused: {version}")
    assert line.endswith(f"{POPULAR}; {TRAIN}")
    assert "\n" not in line


def process(number: int, state: str, restarts: int, last_exit: str, threads: Any) -> dict[str, Any]:
    return {
        "number": number, "pid": 70 + number, "state": state, "restarts": restarts, "last_exit": last_exit,
        "degraded": [], "background": threads,
    }  # fmt: skip


def test_processes_are_counted_and_what_befell_them_is_said(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    several = [
        process(1, "serving", 2, "ended by SIGKILL", THREADS[2:]),
        process(2, "ended", 1, "ended with status 3", None),
        process(3, "serving", 0, "", THREADS[:1]),
    ]
    document = {"background": THREADS[2:], "degraded": [], "processes": several}
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, json=document))
    assert background.processes(settings, {"server"}) == "server: 2 of 3 processes serve (pid 71, 73)"
    assert background.processes(settings, {"kafka"}) == ""
    assert background.problems(settings, {"server"}) == [
        "server: process 1 was started again, 2 times so far; the last time it ended by SIGKILL",
        "server: process 2 does not serve (ended): it ended with status 3",
        "server: process 3 (pid 73): follow-items fails and is tried again: OSError: refused",
    ]


@pytest.mark.parametrize(
    "document", [{}, [], {"background": [{}]}, {"background": 1}, {"processes": [{}]}, {"processes": 1}]
)
def test_an_answer_of_another_kind_is_no_error(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, document: Any
) -> None:
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, json=document))
    assert background.problems(settings, {"server"}) == []
    assert background.processes(settings, {"server"}) == ""


def test_what_does_not_run_is_not_asked(settings: Settings) -> None:
    assert background.problems(settings, {"server", "flink"}) == []
    assert background.problems(settings, set()) == []
