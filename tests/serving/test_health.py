"""Live, ready, and what is not there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from freshet.local.ports import free_ports
from schemas.events import Item
from serving.app import create_app
from serving.settings import ServingSettings
from tests.bundles import put_in_force, write_bundle
from tests.serving.made import Api


def test_it_lives(api: Api) -> None:
    answer = api.get("/livez")
    assert (answer.status_code, answer.json()["status"]) == (200, "live")


def test_it_is_ready_once_the_catalogue_has_been_read(api: Api) -> None:
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "starting")
    assert answer.json()["degraded"] == ["catalogue", "model"]
    api.stock([Item("i1")], {"i1": [1, 0, 0, 0]})
    api.services.catalogue.set_complete()
    answer = api.get("/readyz")
    found = answer.json()
    background = found.pop("background")
    assert (answer.status_code, found) == (
        200,
        {"status": "ready", "degraded": [], "model_version": "v1", "process": None, "processes": []},
    )
    assert [(loop["name"], loop["up"], loop["errors"]) for loop in background] == [
        ("bundles", True, 0), ("impressions", True, 0),
    ]  # fmt: skip


def test_a_broken_bundle_is_named_by_health_and_metrics_and_the_next_is_taken(tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    api = Api(bundles, bundle_poll_s=0.02)

    def wait(until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while not until(found := api.get("/readyz").json()):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    try:
        write_bundle(bundles, ["i1"], version="one", served=True)
        wait(lambda health: health["model_version"] == "one")
        write_bundle(tmp_path / "aside", ["i1"], version="broken", served=True)
        (tmp_path / "aside" / "broken" / "spaces" / "items" / "ids.jsonl").write_text('"i1"\n"i1"\n')
        (tmp_path / "aside" / "broken").rename(bundles / "broken")
        put_in_force(bundles, "broken")
        health = wait(lambda health: "bundles" in health["degraded"])
        assert health["model_version"] == "one"
        assert "checksum" in health["background"][0]["last_error"]
        metrics = api.get("/metrics").text
        assert 'freshet_follower_up{name="bundles"} 0.0' in metrics
        assert 'freshet_follower_errors_total{name="bundles"} 1.0' in metrics
        assert 'freshet_follower_up{name="impressions"} 1.0' in metrics
        write_bundle(bundles, ["i1"], version="two", served=True)
        wait(lambda health: health["model_version"] == "two" and "bundles" not in health["degraded"])
    finally:
        api.close()


def test_it_is_ready_without_a_catalogue_that_does_not_come(tmp_path: Path) -> None:
    api = Api(tmp_path, catalogue_wait_s=0.05)
    time.sleep(0.06)
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["catalogue", "model"])
    api.close()


def test_a_store_that_is_away_is_named(api: Api) -> None:
    api.rows.error = ConnectionError("refused")
    assert api.get("/v1/users/u1/feed").json()["degraded"][0] == "hydrate"
    assert "store" in api.get("/readyz").json()["degraded"]


def test_metrics_say_what_is_there(api: Api) -> None:
    answer = api.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    for name in ("freshet_request_seconds", "freshet_stage_seconds", "freshet_degraded", "freshet_store_up"):
        assert f"# TYPE {name}" in answer.text


def test_the_settings_are_enough_to_make_an_application(tmp_path: Path) -> None:
    app = create_app(ServingSettings(bundles=tmp_path, kafka=f"127.0.0.1:{free_ports()['kafka_port']}"))
    assert {route.path for route in app.routes} >= {"/v1/users/{id}/feed", "/v1/events", "/openapi.json", "/"}  # type: ignore[attr-defined]
