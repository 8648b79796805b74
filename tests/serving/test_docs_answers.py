"""The answers that are printed in the docs: each surface and type has one, of the fields that its schema has."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from recommend.surfaces import SURFACES
from tests.documented import CUT, DOCS, WIDTH, Call, calls, calls_of, cut, differences, rewritten, text_of
from tests.serving.made import Api

PRINTED = [call for call in calls() if call.printed is not None]
SECTIONS = re.split(r"^## ", (DOCS / "surfaces.md").read_text(), flags=re.MULTILINE)
WITHOUT = {
    "/v1/users", "/v1/users/{id}/features", "/v1/items", "/v1/impressions", "/v1/rules",
    "/v1/rules/try",
}  # fmt: skip
"""calls that answer with no recommendation, and have no printed answer"""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    api = Api(tmp_path_factory.mktemp("docs") / "bundles", api_key="key")
    found: dict[str, Any] = api.get("/openapi.json").json()
    api.close()
    return found


def operation(document: dict[str, Any], call: Call) -> tuple[str, dict[str, Any]]:
    """The path's template and the operation that a call is of; a path that is written out comes before one with an
    id."""
    path = call.path.partition("?")[0]
    for template, operations in sorted(document["paths"].items(), key=lambda each: "{" in each[0]):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and call.method.lower() in operations:
            return template, operations[call.method.lower()]
    raise AssertionError(f"{call.method} {path} is no call of the server")


def faults(value: Any, schema: dict[str, Any], document: dict[str, Any], at: str = "answer") -> list[str]:
    """In what a printed answer does not fit the schema, a line each."""
    if "$ref" in schema:
        return faults(value, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], document, at)
    if "anyOf" in schema:
        return min((faults(value, each, document, at) for each in schema["anyOf"]), key=len)
    if not schema:
        return []
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", "properties" not in schema)
        if schema.get("type") != "object":
            return [f"{at}: an object"]
        found = [f"{at}: {key} is no field" for key in value.keys() - properties - {CUT} if not others]
        if CUT not in value:
            found += [f"{at}: {key} is missing" for key in set(schema.get("required", ())) - value.keys()]
        for key in value.keys() - {CUT}:
            of_it = properties.get(key, others if isinstance(others, dict) else {})
            found += faults(value[key], of_it, document, f"{at}.{key}")
        return found
    if isinstance(value, list):
        if schema.get("type") not in ("array", None):
            return [f"{at}: a list"]
        shown = value[:-1] if value[-1:] == [CUT] else value
        return [
            each for k, one in enumerate(shown) for each in faults(one, schema.get("items", {}), document, f"{at}[{k}]")
        ]
    kinds: dict[str, Any] = {
        "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None),
    }  # fmt: skip
    kind = schema.get("type")
    if kind is not None and not isinstance(value, kinds.get(kind, ())):
        return [f"{at}: {value!r} is no {kind}"]
    return [f"{at}: {value!r} is none of {schema['enum']}"] if value not in schema.get("enum", [value]) else []


def schema_of(operation: dict[str, Any], printed: dict[str, Any]) -> dict[str, Any]:
    """The schema of the answers of the printed status: that of a problem, else of the call's success."""
    responses = operation["responses"]
    status = str(printed["status"]) if "title" in printed else next(s for s in responses if s.startswith("2"))
    (content,) = responses[status]["content"].values()
    found: dict[str, Any] = content["schema"]
    return found


@pytest.mark.parametrize("surface", [surface.name for surface in SURFACES])
def test_every_surface_has_a_call_with_an_answer_of_it(surface: str) -> None:
    (section,) = (each for each in SECTIONS if each.startswith(f"{surface}\n"))
    (call,) = calls_of("surfaces", section)
    assert call.printed is not None
    assert call.printed_value["surface"] == surface
    assert call.printed_value["degraded"] == []
    assert call.printed_value["items"]


@pytest.mark.parametrize("call", PRINTED, ids=lambda call: f"{call.page} {call.method} {call.path}"[:90])
def test_every_answer_has_the_fields_of_its_schema(document: dict[str, Any], call: Call) -> None:
    printed = call.printed_value
    _, found = operation(document, call)
    assert faults(printed, schema_of(found, printed), document) == []
    assert printed.keys() - {CUT}


@pytest.mark.parametrize("call", PRINTED, ids=lambda call: f"{call.page} {call.method} {call.path}"[:90])
def test_answers_are_short_and_say_nothing_of_the_machine(call: Call) -> None:
    assert call.printed is not None
    lines = call.printed.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= WIDTH
    assert not re.search(r"127\.0\.0\.1|localhost|/home|/root|/tmp|/work", call.printed)
    assert call.printed == text_of(call.printed_value) + "\n", "as `make docs-answers` writes it"


def test_the_cursor_is_the_last_field() -> None:
    answers = [call.printed_value for call in PRINTED]
    answers += [each["body"] for answer in answers for each in answer.get("answers", ()) if isinstance(each, dict)]
    paged = [[key for key in answer if key != CUT] for answer in answers if "next" in answer]
    assert len(paged) > 15
    assert all(keys[-1] == "next" for keys in paged)


def test_every_type_of_answer_is_printed(document: dict[str, Any]) -> None:
    said = {operation(document, call)[0] for call in PRINTED}
    there = {path for path in document["paths"] if path.startswith("/v1/")}
    assert there - said - {path for path in there if "{name}" in path} == WITHOUT


SENT = r"""
set -eu
make() { :; }
date() { [ "$*" = +%s ] || exit 1; command date +%s; }
curl() { printf '%s\0%s\0' "${2#localhost:8000}" "${@: -1}"; }
"""
"""path and body of each call instead of the call; of `date` what every system has"""


def test_what_the_docs_add_is_accepted_whole(api: Api) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", (DOCS / "answers.md").read_text(), re.DOTALL)
    done = subprocess.run(["bash", "-c", SENT + block], capture_output=True, text=True, check=True, timeout=60)
    said = done.stdout.split("\0")[:-1]
    people = set()
    for path, body in zip(said[::2], said[1::2], strict=True):
        documents = json.loads(body)
        receipt = api.post(path, documents).raise_for_status().json()
        assert receipt["rejected"] == []
        people |= {
            each["user_id"]
            for each in ([documents] if isinstance(documents, dict) else documents)
            if path == "/v1/events"
        }
    assert people == {
        "anna",
        "ben",
        "carla",
        "dave",
        "emil",
        "frida",
        "gina",
        "hugo",
        *(f"guest-{n}" for n in range(100)),
    }


# -- the comparison itself --------------------------------------------------------------------------

LIVE = {
    "surface": "home", "degraded": [], "next": "a" * 50, "model_version": "v1",
    "items": [
        {"item_id": "1", "score": 0.5, "reason": {"code": "popular", "text": "Popular now"}},
        {"item_id": "2", "score": 1, "reason": {"code": "new", "text": "New"}},
        {"item_id": "3", "score": 0.1, "reason": {"code": "new", "text": "New"}},
    ],
}  # fmt: skip


def test_what_is_cut_fits_what_it_was_cut_from_and_other_ids_and_scores() -> None:
    printed = cut(LIVE)
    assert (len(printed["items"]), printed["items"][-1], printed["next"]) == (3, CUT, "a" * 16 + CUT)
    assert differences(printed, LIVE) == []
    other = {**LIVE, "next": "b", "items": [{**each, "item_id": "9", "score": 7} for each in LIVE["items"]]}  # type: ignore[attr-defined]
    assert differences(printed, other) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"surface": "email"}, "answer.surface: 'home' is printed"),
        ({"degraded": ["rank"]}, "answer.degraded: 0 elements are printed"),
        ({"next": None}, "answer.next: 'aaaaaaaaaaaaaaaa...' is printed"),
        ({"model_version": 4}, "answer.model_version: 'v1' is printed"),
        ({"more": 1}, "answer: more is not printed"),
        ({"items": []}, "answer.items: 2 elements are printed"),
        ({"items": LIVE["items"][1:]}, "answer.items[0].reason.code: 'popular' is printed"),  # type: ignore[index]
        ({"items": [{"item_id": "1", "score": 0.5}] * 2}, "answer.items[0]: reason is printed"),
        ({"items": {}}, "answer.items: 2 elements are printed"),
    ],
)
def test_what_has_changed_is_said(change: dict[str, Any], said: str) -> None:
    found = differences(cut(LIVE), {**LIVE, **change})
    assert any(each.startswith(said) for each in found), found


def test_a_field_that_is_gone_is_said() -> None:
    live = {key: value for key, value in LIVE.items() if key != "surface"}
    assert differences(cut(LIVE), live) == ["answer: surface is printed, and the answer does not have it"]


def test_answers_are_written_below_their_calls_alone() -> None:
    one = "```sh\ncurl localhost:8000/v1/a\n```\n\n```json\n{}\n```\n"
    page = f"{one}\n```sh\ncurl localhost:8000/v1/b\n```\n\ntext\n\n```json\n{{}}\n```\n"
    first, second = calls_of("page", page)
    assert (first.printed_value, second.printed) == ({}, None)
    done = rewritten("page", page, {first: {"a": [1, 2, 3, 4]}, second: {"b": 1}})
    assert done == page.replace("{}", '{"a": [1, 2, 3, "..."]}', 1)


def test_an_answer_below_two_calls_is_refused() -> None:
    page = "```sh\ncurl localhost:8000/v1/a\ncurl localhost:8000/v1/b\n```\n\n```json\n{}\n```\n"
    with pytest.raises(ValueError, match="page: an answer is that of one call, and here are 2"):
        calls_of("page", page)
