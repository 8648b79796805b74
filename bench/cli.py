"""`freshet bench`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

app = App(
    name="bench",
    help="Measure freshness, throughput and feed latency, each on a stack of its own that is stopped at the end.\n\n"
    "Prints a table with the targets, draws a picture and prints one JSON line. The exit status is 0 even where a "
    "target is missed, and 1 where the measurement itself is not sound.",
)

Json = Annotated[bool, Parameter(name="--json", negative=(), help="Nothing but the JSON line on standard output.")]
Out = Annotated[Path, Parameter(help="Folder for the picture.")]
OUT = Path(".freshet/bench")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@app.command
def freshness(*, seconds: float = 90, features: int = 0, json: Json = False, out: Out = OUT) -> int:
    """Produce → visible in Feast, and HTTP click → changed feed, at 300 events/s.

    Parameters
    ----------
    seconds
        How long to measure, after 20 s of warm-up.
    features
        How many features are declared beside those of the main path: 0, 8 (those that the repository comes with), 10
        or 40.
    """
    from bench.freshness import run

    run(seconds, features, _say).show(out, json)
    return 0


@app.command
def throughput(*, rounds: int = 3, features: int = 0, json: Json = False, out: Out = OUT) -> int:
    """Interactions a second through the job to Redis, on one slot.

    Parameters
    ----------
    rounds
        How many times over the 100,000 events of MovieLens are sent, each time as new ones.
    features
        How many features are declared beside those of the main path: 0, 8 (those that the repository comes with), 10
        or 40, of people, items and categories.
    """
    from bench.throughput import run

    run(rounds, features, _say).show(out, json)
    return 0


@app.command
def feed(*, items: int = 100_000, users: int = 2_000, seconds: float = 20, json: Json = False, out: Out = OUT) -> int:
    """Feed latency and rate over a large catalogue, beside the sum of its bare parts.

    Parameters
    ----------
    items
        Size of the catalogue.
    users
        How many people ask.
    seconds
        How long each phase runs: one request at a time, eight at a time, the bare parts.
    """
    from bench.feed import run

    run(items, users, seconds, _say).show(out, json)
    return 0
