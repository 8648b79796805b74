"""The OpenAPI document, made from the endpoints and their msgspec types."""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from schemas.controls import BRAND, CATEGORY, FEEDBACK, ITEM, LONGEST, OF, PROPERTIES, TAKES
from schemas.events import (
    EVENT_TYPES,
    ID_PATTERN,
    NAME_PATTERN,
    SERVERS_OWN,
    TEXT_PATTERN,
    WITHOUT_ITEM,
    Impression,
    Interaction,
)
from schemas.follows import FOLLOWS
from schemas.json_reader import TIME_FIELDS
from schemas.properties import NUMERIC_PROPERTIES, TEXT_PROPERTIES, Range
from schemas.rules import RULE_TYPES, TIMES
from serving.endpoint import Endpoint
from serving.problems import MEDIA_TYPE, ProblemDetails

REF = "#/components/schemas/{name}"
VERSION = "0.1.0"


def build(endpoints: Sequence[Endpoint], secured: bool) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    types = [ProblemDetails]
    types += [t for e in endpoints for t in (e.body, e.answer) if t is not None and t is not str]
    types = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    schema_of = dict(zip(types, schemas, strict=True))
    for name in {endpoint.body.__name__ for endpoint in endpoints if isinstance(endpoint.body, type)}:
        _widen_times(components[name]["properties"], TIME_FIELDS)
    for kind in RULE_TYPES:
        if kind.__name__ in components:
            _widen_times(components[kind.__name__]["properties"], TIMES)
    _narrow_interaction(components.get(Interaction.__name__))
    _narrow_impression(components.get(Impression.__name__))
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema_of, secured)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Freshet",
            "version": VERSION,
            "description": "Events in, personal feeds out. Errors are problem documents (RFC 9457).",
        },
        "paths": paths,
        "components": {"schemas": components},
    }
    if secured:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return document


def _narrow_interaction(component: dict[str, Any] | None) -> None:
    """Adds the rules of schemas/events.py that types do not express."""
    if component is None:
        return
    behaviour = [name for name in EVENT_TYPES if name not in WITHOUT_ITEM]
    component["anyOf"] = [
        {"properties": {"event_type": {"const": "search"}}},
        {
            "properties": {"event_type": {"enum": behaviour}, "item_id": {"type": "string"}},
            "required": ["item_id"],
        },
        *(_feedback(control, takes) for control, takes in TAKES.items()),
        {
            "properties": {
                "event_type": {"enum": sorted(FOLLOWS)},
                "item_id": {"type": "null"},
                "properties": {
                    "properties": {
                        "followed": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": ID_PATTERN}
                    },
                    "required": ["followed"],
                },
            },
            "required": ["properties"],
        },
    ]
    numbers = {name: _range(bounds) for name, bounds in NUMERIC_PROPERTIES.items()}
    texts: dict[str, Any] = {name: {"type": "string", "pattern": TEXT_PATTERN} for name in TEXT_PROPERTIES}
    texts["query"] = {"type": "string"}
    component["properties"]["properties"]["properties"] = {**numbers, **texts}


def _feedback(control: str, takes: str | None) -> dict[str, Any]:
    """What an interaction is that has a control: it has the field which the control takes, and none of the others."""
    given: dict[str, Any] = {"control": {"const": control}}
    for path in (CATEGORY, BRAND, OF):
        name = path.removeprefix(PROPERTIES)
        if path != takes:
            given[name] = False
        else:
            pattern = ID_PATTERN if path == OF else NAME_PATTERN
            given[name] = {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": pattern}
    needed = ["control", *([takes.removeprefix(PROPERTIES)] if takes and takes != ITEM else [])]
    return {
        "title": f"{FEEDBACK}: {control}",
        "properties": {
            "event_type": {"const": FEEDBACK},
            "item_id": {"type": "string" if takes == ITEM else "null"},
            "properties": {"properties": given, "required": needed},
        },
        "required": ["properties", *(["item_id"] if takes == ITEM else [])],
    }


def _range(bounds: Range) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "number", "exclusiveMinimum" if bounds.above else "minimum": bounds.least}
    return found if math.isinf(bounds.most) else {**found, "maximum": bounds.most}


def _narrow_impression(component: dict[str, Any] | None) -> None:
    if component is None:
        return
    fields = component["properties"]
    for name in SERVERS_OWN:
        fields.pop(name, None)
    fields["features"]["description"] = (
        "the ranker's inputs as served: little-endian float32, base64, equally many for each of `items`, row by row; "
        "needs `model_version`"
    )
    fields["propensities"]["description"] = "one for each of `items`"
    fields["explored"]["description"] = "positions that a bandit policy filled, ascending"
    fields["contexts"]["description"] = (
        "what a linear policy had of each of `explored`: little-endian float32 from -100 to 100, base64, row by row; "
        "needs `context_id`"
    )
    fields["images"]["description"] = "which picture was shown: one, or null, for each of `items`"
    component["dependentSchemas"] = {
        "features": {
            "anyOf": [
                {"properties": {"features": {"type": "null"}}},
                {"properties": {"model_version": {"type": "string"}}, "required": ["model_version"]},
            ]
        }
    }


def _widen_times(properties: dict[str, Any], times: Sequence[str]) -> None:
    """Allows both notations of times, of which the types have one."""
    for name in properties.keys() & set(times):
        kept = properties[name]
        text = {"type": "string", "format": "date-time"}
        properties[name] = {
            "anyOf": [text, *kept.get("anyOf", [kept])],
            "description": "ISO 8601 (UTC where it names no offset) or epoch milliseconds; answers have milliseconds",
            **{key: value for key, value in kept.items() if key == "default"},
        }


def _operation(endpoint: Endpoint, schema_of: dict[Any, Any], secured: bool) -> dict[str, Any]:
    guarded = endpoint.path.startswith("/v1/")
    found: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "responses": {
            str(status): _answer(endpoint, status, schema_of) for status in (endpoint.status, *endpoint.not_yet)
        },
    }
    places = [(p, "path" if p.path else "query") for p in endpoint.parameters]
    places += [(p, "header") for p in endpoint.headers]
    if places:
        found["parameters"] = [
            {"name": p.name, "in": place, "required": p.path or p.required, "description": p.doc, "schema": p.schema}
            for p, place in places
        ]
    if endpoint.body is not None:
        one = schema_of[endpoint.body]
        several = {"type": "array", "items": one, "minItems": 1, "maxItems": 1000}
        schema = {"oneOf": [one, several]} if endpoint.many else one
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    problem = {MEDIA_TYPE: {"schema": schema_of[ProblemDetails]}}
    common = ((401, 503) if secured else (503,)) if guarded else ()
    for status in sorted({*endpoint.problems, *common}):
        found["responses"][str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    if secured and guarded:
        found["security"] = [{"bearer": []}, {"key": []}]
    return found


def _answer(endpoint: Endpoint, status: int, schema_of: dict[Any, Any]) -> dict[str, Any]:
    description = HTTPStatus(status).phrase
    if endpoint.answer is None:
        return {"description": description}
    if endpoint.answer is str:
        return {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"description": description, "content": {"application/json": {"schema": schema_of[endpoint.answer]}}}
