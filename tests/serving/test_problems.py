"""Errors are problem documents (RFC 9457)."""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec
import pytest

from serving import problems
from serving.problems import Fault, NotFound, Problem, ProblemDetails, Unavailable
from tests.serving.made import Api

TREE = {kind.__name__: kind for kind in Problem.__subclasses__()}


def test_the_tree_at_the_top_of_the_file_is_the_real_one() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+)\s+(\d+)", problems.__doc__ or ""))
    assert drawn == {name: str(kind.status) for name, kind in TREE.items()}


@pytest.mark.parametrize("kind", TREE.values(), ids=list(TREE))
def test_each_has_a_type_of_its_own_and_a_title(kind: type[Problem]) -> None:
    assert re.fullmatch(r"/problems/[a-z-]+", kind.type)
    assert kind.title
    assert HTTPStatus(kind.status).phrase
    assert [other for other in TREE.values() if other.type == kind.type] == [kind]


def test_a_document_has_the_members_of_the_rfc() -> None:
    answer = NotFound("No such item.", [Fault("id", "is unknown")]).response()
    assert (answer.status_code, answer.media_type) == (404, "application/problem+json")
    assert msgspec.json.decode(answer.body) == {
        "type": "/problems/not-found", "title": "There is no such thing", "status": 404, "detail": "No such item.",
        "errors": [{"name": "id", "detail": "is unknown"}],
    }  # fmt: skip


def test_unavailable_says_when_to_try_again() -> None:
    assert Unavailable("Away.", retry_after_s=7).response().headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404), ("GET", "/v1/users/u1/nothing", 404), ("GET", "/static/absent.js", 404),
        ("DELETE", "/v1/events", 405), ("GET", "/v1/events", 405), ("POST", "/v1/trending", 405),
        ("GET", "/v1/trending?n=0", 422), ("GET", "/v1/items/absent/similar", 404), ("POST", "/v1/events", 415),
    ],
)  # fmt: skip
def test_every_error_over_http_is_one(api: Api, method: str, path: str, status: int) -> None:
    answer = api.ask(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    details = msgspec.json.decode(answer.content, type=ProblemDetails)
    assert details.status == status
    assert details.title
    assert details.detail
    if status == 405:
        assert answer.headers["Allow"]


def test_what_went_wrong_within_is_not_for_callers(api: Api) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the password is secret")

    api.services.hydrator.person = broken  # type: ignore[assignment]
    answer = api.get("/v1/users/u1/feed")
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in answer.text
