"""The result of a benchmark: a table with targets, a picture, and one JSON line."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bench.machine import Rounds

COMPARE: dict[str, Callable[[float, float], bool]] = {"≤": operator.le, "≥": operator.ge}
Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """The bound of a figure: `Target("feed_ms.p50", "≤", 8)`."""

    name: str
    sign: str
    bound: float


@dataclass
class Report:
    """Figures and samples of one benchmark.

    `samples` are milliseconds by name; each becomes `{"p50", "p99", "n"}`. `series` is a rate over time. `failures`
    are reasons for which the measurement is not sound; the figures are shown even so. `rounds` holds the conditions of
    the machine.
    """

    name: str
    samples: dict[str, Samples] = field(default_factory=dict)
    figures: dict[str, float | None] = field(default_factory=dict)
    series: Sequence[tuple[float, float]] = ()
    targets: tuple[Target, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    rounds: Rounds | None = None

    @property
    def status(self) -> int:
        """Exit status: 1 where the measurement is not sound."""
        return 1 if self.failures else 0

    def document(self) -> dict[str, Any]:
        """The content of the JSON line."""
        summaries = {name: summary(values) for name, values in self.samples.items()}
        machine = self.rounds.document() if self.rounds else {}
        failures = {"failures": self.failures} if self.failures else {}
        return {"benchmark": self.name, **summaries, **self.figures, **self.notes, **failures, **machine}

    def value(self, name: str) -> float:
        """A figure by name, `sample.p50` for one of a sample; NaN where there are no samples. Raises KeyError."""
        found: Any = self.document()
        for part in name.split("."):
            found = found[part]
        return math.nan if found is None else float(found)

    def table(self) -> Table:
        """The figures with their targets, then the notes and the conditions of the machine."""
        table = Table("figure", "value", "target", title=f"freshet bench {self.name}", title_justify="left")
        targets = {target.name: target for target in self.targets}
        names = [f"{name}.{part}" for name in self.samples for part in ("p50", "p99", "n")] + list(self.figures)
        for name in names:
            table.add_row(name, f"{self.value(name):,.6g}", self._verdict(targets.get(name)))
        machine = self.rounds.document() if self.rounds else {}
        for name, note in (self.notes | machine).items():
            if name != "rounds":
                table.add_row(name, str(note), "")
        for each in machine.get("rounds", []):
            state = f"disturbed by {', '.join(each['disturbed_by'])}" if each["disturbed_by"] else "undisturbed"
            table.add_row(f"{each['name']}, attempt {each['attempt']}", state, "" if each["kept"] else "repeated")
        for failure in self.failures:
            table.add_row("[red]not sound[/red]", failure, "")
        return table

    def _verdict(self, target: Target | None) -> str:
        if target is None:
            return ""
        met = COMPARE[target.sign](self.value(target.name), target.bound)
        return f"{target.sign} {target.bound:g} {'[green]met[/green]' if met else '[red]missed[/red]'}"

    def picture(self, path: Path) -> None:
        """Writes a PNG: the distribution of each sample, or the rate over time."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
        drawn = {name: values for name, values in self.samples.items() if len(values)}
        for name, values in drawn.items():
            ordered = np.sort(values)
            axes.plot(ordered, np.arange(1, len(ordered) + 1) / len(ordered) * 100, label=name)
        if drawn:
            axes.set(xlabel="milliseconds", ylabel="% within", xscale="log", title=f"freshet bench {self.name}")
            axes.axhline(99, color="grey", linewidth=0.5)
            axes.legend()
        elif self.series:
            seconds, rates = zip(*self.series, strict=True)
            axes.plot(seconds, rates)
            axes.set(xlabel="seconds", ylabel="events/s", title=f"freshet bench {self.name}", ylim=(0, None))
        axes.grid(alpha=0.3)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)
        pyplot.close(figure)

    def show(self, folder: Path, json_only: bool) -> int:
        """Table to stderr or stdout, picture into the folder, the JSON line to stdout. Returns the exit status."""
        picture = folder / f"{self.name}.png"
        self.picture(picture)
        console = Console(stderr=json_only, width=120)
        console.print(self.table())
        console.print(f"picture: {picture}", soft_wrap=True)
        print(json.dumps(self.document(), ensure_ascii=False), flush=True)
        return self.status


def summary(values: Samples | Sequence[float]) -> dict[str, float | None]:
    """p50 and p99 in the unit of the values, None where there are no values, and how many there are."""
    if not len(values):
        return {"p50": None, "p99": None, "n": 0}
    p50, p99 = np.percentile(np.asarray(values), [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "n": len(values)}


def ratio(above: float | None, below: float | None) -> float | None:
    """`above / below` to two places; None where one of them is missing or `below` is 0."""
    return round(above / below, 2) if above is not None and below else None


def percentile(values: Samples | Sequence[float], q: float) -> float | None:
    """The q-th percentile; None where there are no values."""
    return float(np.percentile(np.asarray(values), q)) if len(values) else None
