"""`freshet replay`: sends the interactions of a file at a chosen rate, optionally with current timestamps."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter, Token
from rich.console import Console

from freshet.commands.refused import report
from freshet.data import files
from freshet.data.dead_letters import SentPlaces
from freshet.data.pace import wait_until
from freshet.data.producer import Producer
from freshet.data.rejections import RejectedLine, RejectedLines, collected
from freshet.errors import InputError
from freshet.settings import Settings
from schemas import codec, json_lines, json_reader, topics
from schemas.clock import now_ms
from schemas.errors import EventError
from schemas.events import Interaction

_LAG_WORTH_A_WORD = 1.0


def rate(text: str) -> float:
    """Events a second from `300`, `300/s` or `18000/min`. Raises ValueError."""
    number, _, unit = text.partition("/")
    found = float(number) / {"": 1, "s": 1, "min": 60}[unit.strip()]
    if not 0 < found < float("inf"):
        raise ValueError(text)
    return found


def _rate(kind: type, tokens: list[Token] | tuple[Token, ...]) -> float:
    try:
        return rate(tokens[0].value)
    except (ValueError, KeyError):
        raise ValueError("a rate is a positive number of events a second, such as 300/s") from None


def replay(
    *,
    interactions: Path,
    rate: Annotated[float | None, Parameter(converter=_rate, n_tokens=1)] = None,
    speed: float | None = None,
    now: Annotated[bool, Parameter(negative=())] = False,
    limit: int | None = None,
    rejects: Path | None = None,
    wait: bool = True,
) -> int:
    """Send a file of interactions in the order of their times, paced. Exit status 1 if a line was rejected, or if the
    job rejected an event.

    Parameters
    ----------
    interactions
        A file of JSON lines, plain or gzip.
    rate
        Events a second, as in `--rate 300/s`, evenly spaced.
    speed
        Instead of a rate: the pace of the events' own timestamps, this many times as fast.
    now
        Shift all timestamps by the same amount, so that the last event of the file has the time at which the replay
        starts. Without it, events keep their timestamps.
    limit
        Stop after this many events.
    rejects
        Write each rejected line's number and reason to this file, as JSON lines.
    wait
        Wait until a checkpoint of the running job covers what was sent, and report the messages that it rejected.
    """
    files.check(interactions)
    if (rate is None) == (speed is None):
        raise InputError("give either --rate or --speed, not both")
    if speed is not None and speed <= 0:
        raise InputError("--speed must be positive")
    console = Console(highlight=False)
    with collected(rejects) as rejections:
        events = _read(interactions, limit, rejections)
    rejections.show(console)
    if not events:
        raise InputError(f"{interactions} has no valid interaction")
    # One that is too far behind an earlier one of the same person would be refused.
    events.sort(key=lambda event: event.timestamp)
    shift = now_ms() - max(event.timestamp for event in events) if now else 0
    first = events[0].timestamp
    sent, seconds, behind = 0, 0.0, 0.0
    settings, places, start = Settings(), SentPlaces(), now_ms()
    with Producer(settings, places.add) as producer:
        began = time.monotonic()
        for sent, event in enumerate(events, 1):
            due = (sent - 1) / rate if rate else (event.timestamp - first) / 1000 / (speed or 1)
            behind = max(behind, wait_until(began + due))
            shifted = msgspec.structs.replace(event, timestamp=event.timestamp + shift) if shift else event
            producer.send(topics.INTERACTIONS, topics.key_of(shifted), codec.encode(shifted))
        producer.flush()
        seconds = time.monotonic() - began
    console.print(f"{sent:,} events in {seconds:.1f} s ({sent / seconds:,.0f}/s), {rejections.count:,} lines rejected")
    if behind > _LAG_WORTH_A_WORD:
        console.print(f"the requested rate was not reached: up to {behind:.1f} s behind")
    refused = report(settings, places, start, console) if wait else 0
    return 1 if refused or rejections.count else 0


def _read(path: Path, limit: int | None, rejections: RejectedLines) -> list[Interaction]:
    events: list[Interaction] = []
    for line in json_lines.read(path):
        try:
            events.append(json_reader.loads(topics.INTERACTIONS, line.text))
        except EventError as error:
            rejections.add(RejectedLine.of(path, line.number, error))
        if limit and len(events) >= limit:
            break
    return events
