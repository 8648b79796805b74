"""Paths are matched by their segments as sent, so that whatever an id holds it can be asked for."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import Item
from serving.app import endpoints_of
from tests.schemas import strategies
from tests.serving.made import Api

ODD = ["a/b", "/", "a//b", "a/feed", "../x", "...", "%2F", "%", "a b", "a+b", "?q", "#f", ";", "é中😀", "feed", "\x80"]


WITH_KEY = {"/v1/users/{id}/similar-users", "/v1/items/{id}/users"}
"""which answer nobody on a server without a key: test_near_people.py"""


def paths(api: Api) -> list[tuple[str, str]]:
    """(method, path) of every endpoint with an id in its path that needs no key."""
    found = [(e.method, e.path) for e in endpoints_of(api.services) if "{id}" in e.path]
    return [each for each in found if each[1] not in WITH_KEY]


def reads_what_it_was_sent(api: Api, name: str) -> None:
    now = int(time.time() * 1000)
    event = {"event_id": name, "event_type": "click", "user_id": name, "item_id": name, "timestamp": now}
    assert api.post("/v1/items", {"item_id": name}).status_code == 202
    assert api.post("/v1/users", {"user_id": name}).status_code == 202
    assert api.post("/v1/events", event).status_code == 202
    for method, path in paths(api):
        answer = api.ask(method, path.replace("{id}", quote(name, safe="")))
        assert answer.status_code == 200, (path, name, answer.text)
        found: dict[str, Any] = answer.json()
        if found.get("user_id") is not None:  # what goes with an item is asked of nobody
            assert found["user_id"] == name
        if "recent" in found:
            assert found["recent"][0]["item_id"] == name


@pytest.mark.parametrize("name", ODD)
def test_every_id_that_is_accepted_can_be_read(api: Api, name: str) -> None:
    api.stock([Item(name)], {"other": [1, 0, 0, 0]})
    assert len(paths(api)) >= 3
    reads_what_it_was_sent(api, name)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=strategies.ids | st.sampled_from(["/", "//", "a/", "/a"]))
def test_any_id_that_the_contract_takes_can_be_read(api: Api, name: str) -> None:
    api.stock([Item(name)])
    reads_what_it_was_sent(api, name)


@pytest.mark.parametrize("name", ["a\nb", "\x00", "\t", "\x7f", "..", "."])
def test_an_id_that_cannot_be_asked_for_is_not_accepted(api: Api, name: str) -> None:
    assert api.post("/v1/items", {"item_id": name}).status_code == 422
    assert api.post("/v1/users", {"user_id": name}).status_code == 422
    assert api.log.stored == []


@pytest.mark.parametrize(
    "path",
    ["/v1/users/a/b/feed", "/v1/users//feed", "/v1/users/u1/feed/", "/v1//users/u1/feed", "/v1%2Fusers/u1/feed",
     "/v1/users/u1%2Ffeed", "/v1/users/%FF/feed", "/v1/users/u1/FEED"],
)  # fmt: skip
def test_other_paths_are_not_found(api: Api, path: str) -> None:
    answer = api.ask("GET", path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_a_method_that_a_path_does_not_have_is_answered_with_all_that_it_has(api: Api) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        answer = api.ask(method, "/v1/users")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert api.ask("GET", "/v1/events").headers["Allow"] == "OPTIONS, POST"


def test_options_lists_the_methods_of_every_path(api: Api) -> None:
    for endpoint in endpoints_of(api.services):
        answer = api.ask("OPTIONS", endpoint.path.replace("{id}", "u1"))
        assert answer.status_code == 204
        assert endpoint.method in answer.headers["Allow"]


def test_head_is_get_without_a_body(api: Api) -> None:
    assert api.ask("HEAD", "/v1/trending").status_code == 200
