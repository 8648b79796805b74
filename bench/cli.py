"""The subcommands of `freshet bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter, Token

from bench.quiet import quiet

app = App(
    name="bench",
    help="Measure the stack: freshness, ingest, throughput, history, digests, feed, reactions, adding and bundles, "
    "each on stacks of its own that are stopped at the end, and filters, rules and surfaces in this process.\n\n"
    "Each prints a table with targets and the condition of the machine, draws a picture and prints one JSON line. A "
    "round that the machine disturbed is measured again. The exit status is 0 even where a target is missed, and 1 "
    "where the measurement itself is not sound; its figures are shown even so.",
)


def numbers(least: int) -> Callable[[type[Any], Sequence[Token]], tuple[int, ...]]:
    """A converter of whole numbers from `least`, separated by commas, to a tuple without repetition."""

    def convert(kind: type[Any], tokens: Sequence[Token]) -> tuple[int, ...]:
        words = [part.strip() for token in tokens for part in token.value.split(",")]
        if not all(word.isdecimal() and int(word) >= least for word in words):
            raise ValueError(f"whole numbers from {least}, separated by commas")
        return tuple(dict.fromkeys(map(int, words)))

    return convert


Numbers = Annotated[tuple[int, ...], Parameter(converter=numbers(1), n_tokens=1, negative=())]
Features = Annotated[tuple[int, ...], Parameter(converter=numbers(0), n_tokens=1, negative=())]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Nothing but the JSON line on standard output.")]
Out = Annotated[Path, Parameter(help="Folder for the picture.")]
Attempts = Annotated[int, Parameter(help="How often a round is measured at most, where the machine disturbs it.")]
Items = Annotated[int, Parameter(help="Size of the catalogue.")]
Users = Annotated[int, Parameter(help="How many people ask.")]
OUT = Path(".freshet/bench")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@app.command
def freshness(
    *, seconds: float = 90, features: Features = (0,), attempts: Attempts = 2, json: Json = False, out: Out = OUT
) -> int:
    """Produce → visible in Feast, and HTTP click → changed feed, at 300 events/s.

    Parameters
    ----------
    seconds
        How long to measure each number of features, after 20 s of warm-up.
    features
        How many features are declared besides those of the main path: 0, 8 (the repository's own), 10 or 40. Several,
        such as 0,8, are compared.
    """
    quiet()
    from bench.freshness import run

    return run(seconds, features, attempts, _say).show(out, json)


@app.command
def ingest(
    *, seconds: float = 30, connections: int = 200, attempts: Attempts = 2, json: Json = False, out: Out = OUT
) -> int:
    """`POST /v1/events` without and with 75 feeds a second, over many connections, and feeds beyond the capacity.

    Parameters
    ----------
    seconds
        How long each phase takes.
    connections
        How many clients post, and then ask for feeds, at once.
    """
    quiet()
    from bench.ingest import run

    return run(seconds, connections, attempts, _say).show(out, json)


@app.command
def throughput(
    *, rounds: int = 3, features: Features = (0,), attempts: Attempts = 2, json: Json = False, out: Out = OUT
) -> int:
    """Interactions a second through the job to Redis on one slot, compared with a bare PyFlink job.

    Parameters
    ----------
    rounds
        How many times over the 100,000 events of MovieLens are sent, each time as new ones.
    features
        How many features are declared besides those of the main path: 0, 8 (the repository's own), 10 or 40, of people,
        items and categories. Several, such as 0,40, are compared.
    """
    quiet()
    from bench.throughput import run

    return run(rounds, features, attempts, _say).show(out, json)


@app.command
def history(
    *,
    rounds: int = 3,
    events: int = 1200,
    met: Numbers = (50, 500, 5000),
    attempts: Attempts = 2,
    json: Json = False,
    out: Out = OUT,
) -> int:
    """Cost and bytes of an event, and feed latency, by how many items the person has met.

    Parameters
    ----------
    rounds
        How many rounds of events, in which the groups of people take turns.
    events
        How many events each group gets in a round.
    met
        How many items the people of each group have met.
    """
    quiet()
    from bench.history import run

    return run(rounds, events, sorted(met), attempts, _say).show(out, json)


@app.command
def feed(
    *,
    items: Numbers = (100_000,),
    users: int = 2_000,
    seconds: float = 20,
    processes: Numbers = (1,),
    attempts: Attempts = 2,
    json: Json = False,
    out: Out = OUT,
) -> int:
    """Feed latency, rate and memory over large catalogues, compared with the sum of a feed's bare parts.

    Parameters
    ----------
    items
        Size of the catalogue. Several, such as 10000,100000,1000000, are compared.
    users
        How many people ask.
    seconds
        How long each phase runs: one request at a time, eight at a time, the bare parts.
    processes
        Numbers of server processes, such as 1,2, whose rates are compared.
    """
    quiet()
    from bench.feed import run

    return run(items, users, seconds, processes, attempts, _say).show(out, json)


@app.command
def filters(
    *, items: int = 100_000, requests: int = 2_000, attempts: Attempts = 2, json: Json = False, out: Out = OUT
) -> int:
    """Feeds with filters that keep 100 % to 0.01 % of the items, and with 90 % sold out, compared with plain feeds.

    Parameters
    ----------
    items
        Size of the catalogue, which is in this process.
    requests
        How many feeds of each kind.
    """
    quiet()
    from bench.filters import run

    return run(items, requests, attempts, _say).show(out, json)


@app.command
def surfaces(
    *, items: int = 100_000, requests: int = 1_000, attempts: Attempts = 2, json: Json = False, out: Out = OUT
) -> int:
    """The answer of every surface, compared with the bare parts of its stages.

    Parameters
    ----------
    items
        Size of the catalogue, which is in this process.
    requests
        How many answers of each surface.
    """
    quiet()
    from bench.surfaces import run

    return run(items, requests, attempts, _say).show(out, json)


@app.command
def rules(
    *, items: int = 100_000, requests: int = 2_000, attempts: Attempts = 2, json: Json = False, out: Out = OUT
) -> int:
    """The pipeline with 200 rules of merchandisers in force, compared with it without any, in this process.

    Parameters
    ----------
    items
        Size of the catalogue, which is in this process.
    requests
        How many feeds of each kind.
    """
    quiet()
    from bench.rules import run

    return run(items, requests, attempts, _say).show(out, json)


@app.command
def served_rules(
    *, items: Items = 100_000, users: Users = 2_000, seconds: Annotated[float, Parameter(help="Of each kind.")] = 30.0,
    attempts: Attempts = 2, json: Json = False, out: Out = OUT,
) -> int:  # fmt: skip
    """Feeds of a running server with 200 rules of merchandisers in force, compared with feeds without any."""
    quiet()
    from bench.served_rules import run

    return run(items, users, seconds, attempts, _say).show(out, json)


@app.command
def digests(
    *, items: Items = 20_000, people: int = 1_000, attempts: Attempts = 2, json: Json = False, out: Out = OUT
) -> int:
    """People a second that digests are sent to, compared with the same answers by the pipeline alone.

    Parameters
    ----------
    people
        How many people get a digest, in each of four rounds.
    """
    quiet()
    from bench.digests import run

    return run(items, people, attempts, _say).show(out, json)


@app.command
def reactions(*, changes: int = 200, attempts: Attempts = 2, json: Json = False, out: Out = OUT) -> int:
    """How soon answers show a new item, a sold-out one and a new basket, at 100 events/s.

    Parameters
    ----------
    changes
        How many of each kind.
    """
    quiet()
    from bench.reactions import run

    return run(changes, attempts, _say).show(out, json)


@app.command
def adding(
    *,
    items: Items = 100_000,
    users: Users = 500,
    rate: Annotated[float, Parameter(help="New items a second.")] = 500,
    seconds: Annotated[float, Parameter(help="How long items are added, and how long not.")] = 60,
    attempts: Attempts = 2,
    json: Json = False,
    out: Out = OUT,
) -> int:
    """Feeds, similar lists and recall while new items are added, compared with the same without."""
    quiet()
    from bench.adding import run

    return run(items, users, rate, seconds, attempts, _say).show(out, json)


@app.command
def bundles(
    *,
    items: Items = 100_000,
    users: Users = 2_000,
    rate: Annotated[float, Parameter(help="Feeds a second.")] = 75,
    seconds: Annotated[float, Parameter(help="How long the load is steady before the third bundle is published.")] = 30,
    attempts: Attempts = 2,
    json: Json = False,
    out: Out = OUT,
) -> int:
    """Two bundles in force under load, the memory of the second, and feeds while a third one is published."""
    quiet()
    from bench.bundles import run

    return run(items, users, rate, seconds, attempts, _say).show(out, json)
