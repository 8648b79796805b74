"""Live, ready, and what is not there."""

from __future__ import annotations

import time
from pathlib import Path

from freshet.local.ports import free_ports
from schemas.events import Item
from serving.app import create_app
from serving.settings import ServingSettings
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
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "degraded": [], "model_version": "v1"})


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
    assert {route.name for route in app.routes} >= {"feed", "post_events", "openapi", "demo"}  # type: ignore[attr-defined]
