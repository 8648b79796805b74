"""Schemathesis over the OpenAPI document: what it allows is accepted, what it forbids is refused, and every answer is
described."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from schemas.events import Item
from serving.app import create_app
from serving.cursors import LONGEST
from serving.parameters import FILTER_FORMAT, TOKEN_FORMAT
from serving.request_parameters import OBJECTIVE_FORMAT, TIMEZONE_FORMAT
from serving.services import Services
from serving.settings import ServingSettings
from serving.tokens import EventPlace, Token
from serving.variants import Variant
from tests.serving.made import Log, Rows, catalogue, pipeline

EXAMPLES = 10
NOW_MS = int(time.time() * 1000)
TOKENS = st.builds(
    lambda partition, offset: Token.of("me", [EventPlace("interactions", partition, offset, "u1")]).encode(),
    st.integers(0, 63), st.integers(0, 2**40),
)  # fmt: skip

FILTERS = st.sampled_from(
    ["item.price < 20", '!("c" in item.categories)', "true", 'item.title.contains("a") || has(item.brand)']
)

schemathesis.openapi.format(TOKEN_FORMAT, TOKENS)
schemathesis.openapi.format(OBJECTIVE_FORMAT, st.sampled_from(["score:1", "score:-0.5", " score : 2e-1"]))
schemathesis.openapi.format(FILTER_FORMAT, FILTERS)
schemathesis.openapi.format(TIMEZONE_FORMAT, st.sampled_from(["Europe/Berlin", "America/New_York", "UTC"]))


def api() -> Any:
    """The application over fakes, as Schemathesis loads it."""
    given = ServingSettings(bundles=Path("no-bundles"), list_users=True, after_wait_ms=1)
    app = create_app(given, lambda s: Services.of(s, Rows, Log()), follow=False)  # type: ignore[arg-type]
    services: Services = app.state.services
    asyncio.run(services.store.start())
    services.catalogue.complete = services.rules.complete = True  # else /readyz says 503
    items = [Item(f"i{k}", categories=["c"]) for k in range(30)]
    found = pipeline(catalogue(items, {item.item_id: [1, k, 0, 0] for k, item in enumerate(items)}))
    services.models.variants = replace(services.variants, default=Variant("default", found))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def fitting(body: Any) -> Any:
    """What a schema cannot say: a time is not in the future, and an impression's lists are as long as its items, and
    an undo is of another event. Values that the schema forbids stay as they are."""
    for event in body if isinstance(body, list) else [body]:
        if not isinstance(event, dict):
            continue
        for name in ("timestamp", "created_at"):
            if name in event and is_time(event[name]):
                event[name] = NOW_MS
        said = event.get("properties")
        if isinstance(said, dict) and isinstance(said.get("of"), str) and said["of"] == event.get("event_id"):
            said["of"] = "another"
        if (
            isinstance(said, dict)
            and isinstance(said.get("followed"), str)
            and said["followed"] == event.get("user_id")
        ):
            said["followed"] = "another"
        for name in ("features", "contexts"):
            if isinstance(event.get(name), str):
                del event[name]
        for name in ("explored", "images"):
            if isinstance(event.get(name), list):
                del event[name]
        given = event.get("propensities")
        if isinstance(given, list) and all(isinstance(p, (int, float)) and 0 < p <= 1 for p in given):
            del event["propensities"]
    return body


def is_time(value: Any) -> bool:
    """Whether the schema allows it and the server may not: a time in the future, or before 1990."""
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value.upper())
        except ValueError:
            return False
        return True
    return isinstance(value, (int, float)) and NOW_MS < value <= 2**53


OF_OTHER_HEADS = {"/v1/items/{id}/similar"}
"""calls whose ranker does not have the head that the document's example names"""

# Fields of a rule depend on each other, and on the attributes of items: tests/serving/test_rules.py.
schema = api().exclude(operation_id=["put_rule", "try_rules"])


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_answers_are_what_the_document_says(case: Any) -> None:
    case.body = fitting(case.body)
    cursor = case.query.get("next") if isinstance(case.query, dict) else None
    if isinstance(cursor, str) and 1 <= len(cursor) <= LONGEST:
        del case.query["next"]  # a cursor belongs to an answer before: test_paging.py
    if isinstance(case.query, dict) and case.operation.path in OF_OTHER_HEADS:
        case.query.pop("objective", None)
    case.call_and_validate()
