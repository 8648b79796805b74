"""Draws the pictures of the pages in this folder: the values of the real operator over a few events, at each event and
from timer to timer.

    python -m docs.features.pictures

Each run writes the same bytes: no dates, no random ids, and text as paths, so that no reader needs the font.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from feature_repo.candidates import Candidates, Request
from feature_repo.columns import ItemColumns
from feature_repo.crosses import RelativePrice
from operators.contract import Record, Signal, Space, Vector
from operators.features import (
    Bounce,
    Count,
    Decay,
    DistinctCount,
    Entropy,
    Feature,
    Max,
    Mean,
    Quantiles,
    Session,
    SessionDepth,
    SessionLength,
    TimeSinceLast,
    Tumbling,
    event,
    user,
)
from operators.features import Vector as UserVector
from operators.features.entity_operator import EntityOperator
from operators.time import DAY, HOUR, MINUTE, hours, minutes
from schemas.events import Item

FOLDER = Path(__file__).parent / "pictures"
T = 1_767_225_600_000
GREY, BLUE, ORANGE, GREEN = "#7d8590", "#3b82f6", "#d97706", "#16a34a"
"""of middle lightness: they are read on white and on black"""

pyplot.rcParams.update(
    {
        "svg.hashsalt": "freshet",
        "font.size": 9,
        "text.color": GREY,
        "axes.edgecolor": GREY,
        "axes.labelcolor": GREY,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
)


class Plane:
    """Items on a plane, by the angle that their ids say."""

    id, dim = "plane", 2

    def vector(self, item_id: str) -> Vector | None:
        angle = np.deg2rad(float(item_id))
        return np.array([np.cos(angle), np.sin(angle)], np.float32)


class World:
    """A catalogue of nothing: the events here say all that is needed."""

    space: Space = Plane()

    def item(self, item_id: str) -> Item | None:
        return None


def at(minute: float, type: str = "view", item_id: str = "0", **fields: Any) -> Signal:
    """An event so many minutes after T."""
    return Signal(type, T + minutes(minute), item_id, user_id="u1", **fields)


def course(feature: Feature, signals: Sequence[Signal], until: int) -> tuple[list[int], list[tuple[Any, ...]]]:
    """The times from T to `until` at which the feature's row is written, by an event or a timer, and its values."""
    operator = EntityOperator(feature.entity, [feature], World())
    state, times, rows = operator.new(), [T], []
    rows.append(operator.row("u1", "", state, T).values)
    waiting = list(signals)
    while True:
        timer = operator.due("", state, times[-1])
        now = min(waiting[0].timestamp if waiting else until, until if timer is None else timer)
        while waiting and waiting[0].timestamp == now:
            operator.on_event("", state, Record(waiting.pop(0)))
        times.append(min(now, until))
        rows.append(operator.row("u1", "", state, times[-1]).values)
        if now >= until:
            return times, rows


def draw(axes: Axes, feature: Feature, signals: Sequence[Signal], until: int, label: str, colour: str) -> None:
    """Its first field as steps."""
    times, rows = course(feature, signals, until)
    axes.step(since(times), [row[0] for row in rows], where="post", color=colour, label=label, linewidth=1.6)


def since(times: Sequence[int], unit: int = HOUR) -> list[float]:
    return [(time - T) / unit for time in times]


def ticks(axes: Axes, signals: Sequence[Signal], unit: int = HOUR) -> None:
    """The events, along the lower edge."""
    axes.plot(
        since([s.timestamp for s in signals], unit),
        [0.0] * len(signals),
        "|",
        color=GREY,
        markersize=12,
        markeredgewidth=1.4,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
        label="events",
    )


def panels(n: int) -> tuple[Any, list[Axes]]:
    """n panels above one another, with time in common."""
    figure, axes = pyplot.subplots(n, figsize=(7.5, 1.1 + 1.9 * n), sharex=True, squeeze=False, layout="constrained")
    return figure, list(axes[:, 0])


def save(figure: Any, page: str, unit: str = "hours") -> None:
    for axes in figure.axes:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.axes[-1].set_xlabel(unit)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{page}.svg"
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    # Matplotlib ends lines in spaces, which editors and linters take away.
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))


def counts() -> None:
    signals = [at(m) for m in (10, 20, 25, 40, 50, 55, 70, 130, 140, 200)]
    figure, (axes,) = panels(1)
    for label, window, colour in (
        ("sliding, 1 h", hours(1), BLUE),
        ("Tumbling, 1 h", Tumbling(hours(1)), GREEN),
        ("Decay, half-life 1 h", Decay(hours(1)), ORANGE),
    ):
        draw(axes, Count("n", entity=user, window=window), signals, T + hours(5), label, colour)
    ticks(axes, signals)
    axes.set_ylabel("Count")
    save(figure, "counts")


def moments() -> None:
    prices = {12: 20.0, 25: 35.0, 48: 90.0, 70: 25.0, 95: 30.0, 170: 60.0, 185: 15.0}
    signals = [at(m, "purchase", properties={"price": price}) for m, price in prices.items()]
    price = event.properties.price
    figure, (axes,) = panels(1)
    for label, feature, colour in (
        ("Max, 1 h", Max("n", entity=user, of=price, window=hours(1)), GREEN),
        ("Mean, 1 h", Mean("n", entity=user, of=price, window=hours(1)), BLUE),
        ("Mean, Decay, half-life 1 h", Mean("n", entity=user, of=price, window=Decay(hours(1))), ORANGE),
    ):
        draw(axes, feature, signals, T + hours(5), label, colour)
    axes.plot([m / 60 for m in prices], list(prices.values()), "o", color=GREY, markersize=4, label="prices")
    ticks(axes, signals)
    axes.set_ylabel("price")
    save(figure, "moments")


def distinct_and_frequent() -> None:
    names = ("drama", "comedy", "news")
    came = ((5, 0), (15, 0), (30, 1), (40, 0), (55, 2), (62, 1), (75, 2), (110, 0), (125, 0), (140, 1))
    signals = [at(m, categories=(names[n],)) for m, n in came]
    figure, (axes, above) = panels(2)
    of = event.item.categories
    axes.plot([m / 60 for m, _ in came], [names[n] for _, n in came], "|", color=GREY, markersize=12, label="events")
    axes.margins(y=0.3)
    draw(above, DistinctCount("n", entity=user, of=of, window=hours(1)), signals, T + hours(4), "DistinctCount", BLUE)
    draw(above, Entropy("n", entity=user, of=of, window=hours(1)), signals, T + hours(4), "Entropy, bits", ORANGE)
    above.set_ylabel("within 1 h")
    save(figure, "distinct-and-frequent")


def quantiles() -> None:
    rng = np.random.default_rng(4)
    minute = np.sort(rng.uniform(0, 180, 60).round(1))
    seconds = rng.lognormal(3.4, 0.7, 60).round(1)
    signals = [at(m, "play", properties={"watch_seconds": float(s)}) for m, s in zip(minute, seconds, strict=True)]
    figure, (axes,) = panels(1)
    for q, colour in ((0.9, ORANGE), (0.5, BLUE)):
        of = event.properties.watch_seconds
        feature = Quantiles("n", entity=user, of=of, qs=(q,), window=hours(1))
        draw(axes, feature, signals, T + hours(5), f"{q:g} quantile, 1 h", colour)
    axes.plot(minute / 60, seconds, "o", color=GREY, markersize=3, label="values")
    ticks(axes, signals)
    axes.set_ylabel("seconds watched")
    save(figure, "quantiles")


def last() -> None:
    signals = [at(m) for m in (10, 45, 60, 260, 270)]
    times, rows = course(TimeSinceLast("n", entity=user), signals, T + hours(8))
    figure, (axes,) = panels(1)
    axes.step(
        since(times), [row[0] / 60 for row in rows], where="post", color=BLUE, label="TimeSinceLast", linewidth=1.6
    )
    # Who reads at a known time subtracts the second field. Without an event there is nothing to subtract.
    known = [(at, row[1]) for at, row in zip(times, rows, strict=True) if row[1]]
    clock: list[int] = []
    age: list[float] = []
    for (start, seen), (end, _) in zip(known, [*known[1:], (T + hours(8), 0)], strict=True):
        clock += [start, end]
        age += [(start - seen) / MINUTE, (end - seen) / MINUTE]
    axes.plot(since(clock), age, color=ORANGE, linewidth=1, label="now - n_at")
    ticks(axes, signals)
    axes.set_ylabel("minutes")
    save(figure, "last")


def sessions() -> None:
    signals = [at(m) for m in (10, 22, 30, 50, 120, 200, 212, 240)]
    window = Session(minutes(30))
    figure, (above, axes) = panels(2)
    draw(above, SessionDepth("n", entity=user, window=window), signals, T + hours(5), "SessionDepth", BLUE)
    draw(above, Bounce("n", entity=user, window=window), signals, T + hours(5), "Bounce", ORANGE)
    draw(axes, SessionLength("n", entity=user, window=window), signals, T + hours(5), "SessionLength, s", GREEN)
    for part in (above, axes):
        ticks(part, signals)
    save(figure, "sessions")


def vectors() -> None:
    came = ((0.5, "10"), (1, "0"), (1.5, "20"), (4, "80"), (4.5, "90"), (5, "100"), (6, "90"), (9, "0"))
    signals = [Signal("view", T + round(d * DAY), item_id, user_id="u1") for d, item_id in came]
    feature = UserVector("n", entity=user, weights={"view": 1.0}, window=Decay(2 * DAY))
    times, rows = course(feature, signals, T + 11 * DAY)
    known = [(time, row[0]) for time, row in zip(times, rows, strict=True) if row[0]]
    figure, (axes,) = panels(1)
    for place, (name, colour) in enumerate((("x", BLUE), ("y", ORANGE))):
        values = [vector[place] for _, vector in known]
        axes.step(since([time for time, _ in known], DAY), values, where="post", color=colour, label=f"Vector, {name}")
    for place, (name, colour) in enumerate((("x", BLUE), ("y", ORANGE))):
        found = [float(vector[place]) for _, item_id in came if (vector := Plane().vector(item_id)) is not None]
        axes.plot([d for d, _ in came], found, "o", color=colour, markersize=3.5, label=f"item, {name}")
    ticks(axes, signals, DAY)
    axes.set_ylabel("component")
    save(figure, "vectors", "days")


def crosses() -> None:
    prices = {12: 20.0, 48: 80.0, 70: 30.0, 130: 15.0, 185: 10.0}
    signals = [at(m, "purchase", properties={"price": price}) for m, price in prices.items()]
    usual = Mean("usual", entity=user, of=event.properties.price, window=Decay(hours(1)))
    cross = RelativePrice("n", of=usual)
    columns = ItemColumns(0, 2)
    for item in (Item("dear", price=60.0), Item("cheap", price=15.0)):
        columns.put_item(item, None)
    times, rows = course(usual, signals, T + hours(5))
    found = [
        cross(Candidates(Request({cross.values[0].key: row[0]}, columns, time), np.array([0, 1])))
        for time, row in zip(times, rows, strict=True)
    ]
    figure, (above, axes) = panels(2)
    above.step(since(times), [row[0] for row in rows], where="post", color=BLUE, label="the usual price", linewidth=1.6)
    above.plot([m / 60 for m in prices], list(prices.values()), "o", color=GREY, markersize=4, label="prices paid")
    for place, (label, colour) in enumerate((("a candidate at 60", ORANGE), ("a candidate at 15", GREEN))):
        axes.step(
            since(times), [float(f[place]) for f in found], where="post", color=colour, label=label, linewidth=1.6
        )
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set_ylabel("RelativePrice")
    for part in (above, axes):
        ticks(part, signals)
    save(figure, "crosses")


if __name__ == "__main__":
    for page in (counts, moments, distinct_and_frequent, quantiles, last, sessions, vectors, crosses):
        page()
