"""The examples, the table and the limits in docs/controls.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

from operators.controls import MOST, MOST_TEXT
from operators.time import HOUR
from recommend.controls import EXPLORE_MS
from recommend.explore import EVERY, KNOWN
from recommend.steer import INTEREST, LESS, MORE
from schemas import controls
from schemas.events import EventType, Interaction
from schemas.json_reader import parse
from schemas.topics import INTERACTIONS

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "controls.md").read_text()


def test_every_example_is_an_event() -> None:
    found = [json.loads(body) for body in re.findall(r"-d '(.*?)'\n", TEXT, re.DOTALL)]
    events = [each for body in found for each in (body if isinstance(body, list) else [body])]
    assert len(events) == 5
    for event in events:
        assert isinstance(parse(INTERACTIONS, event), Interaction)


def test_the_table_has_every_control_and_what_it_takes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`([\w.]+)` )?\|", TEXT, re.MULTILINE)
    assert {name: takes or None for name, takes in rows} == controls.TAKES


def test_the_limits_are_those_of_the_code() -> None:
    said = " ".join(TEXT.split())
    assert f"the newest {MOST} controls" in said
    assert f"no more than {MOST_TEXT:,} characters" in said
    assert EXPLORE_MS == HOUR
    assert "an hour has passed" in said
    assert (EVERY, KNOWN) == (3, 0.05)
    assert "every third slot" in said
    assert "5 % of the person's attention" in said
    assert (LESS, MORE, INTEREST) == (1, 0.5, 0.25)
    assert "falls by all of it" in said
    assert "rises by half, of an interest by a quarter" in said


def test_the_types_of_events_are_those_of_the_contract() -> None:
    events = (DOCS / "events.md").read_text()
    listed = events.split("`event_type` of an interaction is")[1].split(".")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == set(EventType.__args__)  # type: ignore[attr-defined]
    listed = events.split("`properties.control` is")[1].split("(")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == set(controls.TAKES)
