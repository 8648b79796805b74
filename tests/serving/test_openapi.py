"""The document and the routes are made from one list, and answers are what it says they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from schemas.events import Item
from serving import openapi, tokens
from serving.app import create_app, endpoints_of
from serving.routing import Resource
from serving.services import Services
from serving.settings import ServingSettings
from tests.serving.made import Api


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    return api.get("/openapi.json").json()  # type: ignore[no-any-return]


def with_key(folder: Path) -> Api:
    """A server with an API key, which every call carries: people are named to nobody else."""
    api = Api(folder / "keyed", api_key="key")
    api._client.headers["X-API-Key"] = "key"
    return api


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): one for path, methods in document["paths"].items() for method, one in methods.items()
    }


def test_every_route_is_described_and_every_description_is_a_route(tmp_path: Path, document: dict[str, Any]) -> None:
    app = create_app(ServingSettings(bundles=tmp_path), lambda s: Services.of(s, dict), follow=False)  # type: ignore[arg-type]
    routes = {(m, r.path) for r in app.routes if isinstance(r, Resource) for m in r.endpoints if m != "HEAD"}
    assert routes == set(operations(document))


def test_names_are_unique_and_every_call_is_summed_up(document: dict[str, Any]) -> None:
    found = list(operations(document).values())
    assert len({one["operationId"] for one in found}) == len(found)
    assert all(one["summary"] for one in found)


def test_path_parameters_are_those_of_the_path(document: dict[str, Any]) -> None:
    for (_, path), one in operations(document).items():
        named = {p["name"] for p in one.get("parameters", []) if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path
        assert all(p["required"] for p in one.get("parameters", []) if p["in"] == "path")


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()), set())
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    found = references(document)
    assert found
    assert {ref.removeprefix("#/components/schemas/") for ref in found} <= set(schemas)


def test_every_parameter_says_what_the_server_takes(tmp_path: Path) -> None:
    """Defaults and limits of the document hold over HTTP."""
    api = with_key(tmp_path)
    api.stock([Item("i1")], {"i1": [1, 0, 0, 0]})
    for endpoint in endpoints_of(api.services):
        path = endpoint.path.replace("{id}", "i1")
        for parameter in endpoint.parameters:
            schema = parameter.schema
            if schema["type"] != "integer":
                continue
            for value, status in ((schema["minimum"], 200), (schema["maximum"], 200), (schema["maximum"] + 1, 422)):
                body = None if endpoint.body is None else {"items": ["i1"]}
                answer = api.ask(endpoint.method, path, params={parameter.name: value}, json=body)
                assert answer.status_code == status, (path, value)
    api.close()


def test_times_may_be_written_in_two_ways(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, field in (("Interaction", "timestamp"), ("Impression", "timestamp"), ("Item", "created_at")):
        assert [one["type"] for one in schemas[name]["properties"][field]["anyOf"]][:2] == ["string", "integer"]
    assert schemas["Item"]["properties"]["created_at"]["default"] is None
    assert schemas["RecentInteraction"]["properties"]["timestamp"] == {"type": "integer"}, "an answer has one"


def test_what_the_server_alone_says_is_not_asked_for(document: dict[str, Any]) -> None:
    asked = document["components"]["schemas"]["Impression"]["properties"]
    assert "features" in asked
    assert not {"applied_offset", "own_offsets"} & set(asked)


def test_a_score_says_what_it_is(document: dict[str, Any]) -> None:
    said = document["components"]["schemas"]["RelatedItem"]["properties"]["score"]["description"]
    assert "how many events the item has now" in said
    assert "half as much after every 7d" in said


@pytest.mark.parametrize("secured", [True, False])
def test_the_key_is_described_where_it_is_needed(api: Api, secured: bool) -> None:
    found = openapi.build(endpoints_of(api.services), secured)
    assert ("securitySchemes" in found["components"]) is secured
    for (_, path), one in operations(found).items():
        guarded = secured and path.startswith("/v1/")
        assert ("security" in one) is guarded
        assert ("401" in one["responses"]) is guarded


def test_the_answer_of_every_reading_call_has_the_members_that_are_described(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    api = with_key(tmp_path)
    api.stock([Item(f"i{k}") for k in range(3)], {f"i{k}": [1, k, 0, 0] for k in range(3)})
    api.services.catalogue.set_complete()
    api.ask("PUT", "/v1/rules/r1", params={"by": "anna"}, json={"kind": "hide", "items": ["i9"]})
    for (method, path), one in operations(document).items():
        if method != "GET" or path in ("/metrics", "/v1/users"):
            continue
        answer = api.get(path.replace("{id}", "i1").replace("{name}", "r1"))
        assert answer.status_code == 200, path
        schema = one["responses"]["200"]["content"]["application/json"]["schema"]
        described = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        assert set(described["required"]) <= set(answer.json()) <= set(described["properties"]), path
    api.close()


def test_tokens_of_many_people_pass_the_schema(api: Api, document: dict[str, Any]) -> None:
    """A receipt of a batch of 1,000 people is longer than most parameters."""
    limits = {
        parameter["schema"].get("maxLength")
        for operation in operations(document).values()
        for parameter in operation.get("parameters", [])
        if parameter["name"] == "after"
    }
    assert limits == {tokens.MAX_LENGTH}
    token = tokens.Token.of(
        "s", [tokens.EventPlace("interactions", n % 8, 10_000_000 + n, f"u{n}") for n in range(1000)]
    ).encode()
    assert 4096 < len(token) <= tokens.MAX_LENGTH
    assert api.get("/v1/users/u1/feed", after=token).status_code == 200
