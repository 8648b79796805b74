"""What the settings put around the endpoints: other origins, and compressed answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.events import Item
from serving.settings import ServingSettings
from tests.serving.made import Api

HERE, ELSEWHERE = "https://app.example", "https://other.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}


@pytest.fixture
def open_to(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path, cors_origins=(HERE,), api_key="s3cret")
    yield api
    api.close()


def test_an_allowed_origin_may_call_and_needs_no_key_to_ask(open_to: Api) -> None:
    answer = open_to.ask("OPTIONS", "/v1/events", headers=PREFLIGHT | {"Origin": HERE})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == HERE
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    answer = open_to.ask("GET", "/v1/trending", headers={"Origin": HERE, "X-API-Key": "s3cret"})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, HERE)
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


def test_another_origin_may_not(open_to: Api) -> None:
    answer = open_to.ask("OPTIONS", "/v1/events", headers=PREFLIGHT | {"Origin": ELSEWHERE})
    assert (answer.status_code, "Access-Control-Allow-Origin" in answer.headers) == (400, False)


def test_by_default_no_origin_may(api: Api) -> None:
    answer = api.ask("OPTIONS", "/v1/events", headers=PREFLIGHT | {"Origin": HERE})
    assert answer.status_code == 204
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_CORS_ORIGINS", f"{HERE}, http://127.0.0.1:3000")
    assert ServingSettings().cors_origins == (HERE, "http://127.0.0.1:3000")


@pytest.mark.parametrize("wrong", ["app.example", "https://app.example/", "https://app.example/x", "null"])
def test_what_is_no_origin_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("FRESHET_CORS_ORIGINS", wrong)
    with pytest.raises(ValidationError, match="is no origin"):
        ServingSettings()


@pytest.mark.parametrize(("compress_from", "compressed"), [(0, False), (1000, True), (10_000_000, False)])
def test_large_answers_are_compressed_for_clients_that_read_it(
    tmp_path: Path, compress_from: int, compressed: bool
) -> None:
    api = Api(tmp_path, compress_from=compress_from)
    api.stock([Item(f"i{k}", title="the same title " * 5) for k in range(100)])
    answer = api.ask("GET", "/v1/trending?n=100", headers={"Accept-Encoding": "gzip"})
    assert (answer.headers.get("Content-Encoding") == "gzip") is compressed
    assert len(answer.json()["items"]) == 100
    plain = api.ask("GET", "/v1/trending?n=100", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    api.close()
