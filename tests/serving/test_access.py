"""Who may call, and that every call is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.made import Api

GUARDED = ("/v1/trending", "/v1/users/u1/feed", "/v1/users/u1/features", "/v1/users", "/v1/nowhere")
OPEN = ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/", "/static/style.css")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path, api_key="s3cret")
    yield api
    api.close()


@pytest.mark.parametrize("path", GUARDED)
def test_without_the_key_nothing_under_v1_answers(locked: Api, path: str) -> None:
    answer = locked.get(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["type"] == "/problems/unauthorized"


@pytest.mark.parametrize("path", OPEN)
def test_the_rest_needs_no_key(locked: Api, path: str) -> None:
    assert locked.get(path).status_code != 401


@pytest.mark.parametrize(
    "headers",
    [{"X-API-Key": "s3cret"}, {"Authorization": "Bearer s3cret"}, {"authorization": "bearer   s3cret "}],
)
def test_the_key_is_taken_either_way(locked: Api, headers: dict[str, str]) -> None:
    assert locked.ask("GET", "/v1/trending", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ""}, {"X-API-Key": "s3cret "[:-2]}, {"X-API-Key": "S3CRET"}, {"Authorization": "s3cret"},
        {"Authorization": "Basic s3cret"}, {"Authorization": "Bearer"}, {"X-API-Key": "s3cret2"},
        {"Authorization": "Bearer wrong", "X-API-Key": "s3cret"},
    ],
)  # fmt: skip
def test_anything_else_is_refused(locked: Api, headers: dict[str, str]) -> None:
    assert locked.ask("GET", "/v1/trending", headers=headers).status_code == 401


def test_a_refused_post_stores_nothing(locked: Api) -> None:
    assert locked.post("/v1/users", {"user_id": "u1"}).status_code == 401
    assert locked.log.stored == []


def test_without_a_key_in_the_settings_everybody_may_call(api: Api) -> None:
    assert api.get("/v1/trending").status_code == 200


def counted(api: Api) -> dict[str, float]:
    lines = [line for line in api.get("/metrics").text.splitlines() if "request_seconds_count" in line]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_calls_are_counted_by_endpoint_and_status(api: Api) -> None:
    api.get("/v1/users/u1/feed")
    api.get("/v1/users/u2/feed")
    api.get("/v1/users/u2/feed", n=0)
    found = counted(api)
    assert found['freshet_request_seconds_count{endpoint="feed",status="200"}'] == 2
    assert found['freshet_request_seconds_count{endpoint="feed",status="422"}'] == 1


def test_unknown_paths_share_one_series(api: Api) -> None:
    for n in range(5):
        api.get(f"/nowhere/{n}")
    assert counted(api)['freshet_request_seconds_count{endpoint="none",status="404"}'] == 5
