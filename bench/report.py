"""What a benchmark found: a table with its targets for people, a picture, and one JSON line for programs."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

COMPARE: dict[str, Callable[[float, float], bool]] = {"≤": operator.le, "≥": operator.ge}


@dataclass(frozen=True)
class Target:
    """What a figure should be: `Target("feed_ms.p50", "≤", 8)`."""

    name: str
    sign: str
    bound: float


@dataclass
class Report:
    """Figures and samples of one benchmark.

    `samples` are milliseconds by name; each becomes `{"p50", "p99", "n"}`. `series` is a rate over time.
    """

    name: str
    samples: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    series: Sequence[tuple[float, float]] = ()
    targets: tuple[Target, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As the JSON line says it."""
        summaries = {name: summary(values) for name, values in self.samples.items()}
        return {"benchmark": self.name, **summaries, **self.figures, **self.notes}

    def value(self, name: str) -> float:
        """A figure by name, `sample.p50` for one of a sample. Raises KeyError."""
        found: Any = self.document()
        for part in name.split("."):
            found = found[part]
        return float(found)

    def table(self) -> Table:
        """The figures beside their targets."""
        table = Table("figure", "value", "target", title=f"freshet bench {self.name}", title_justify="left")
        targets = {target.name: target for target in self.targets}
        names = [f"{name}.{part}" for name in self.samples for part in ("p50", "p99", "n")] + list(self.figures)
        for name in names:
            table.add_row(name, f"{self.value(name):,.6g}", self._verdict(targets.get(name)))
        for name, note in self.notes.items():
            table.add_row(name, str(note), "")
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
        for name, values in self.samples.items():
            ordered = np.sort(values)
            axes.plot(ordered, np.arange(1, len(ordered) + 1) / len(ordered) * 100, label=name)
        if self.samples:
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

    def show(self, folder: Path, json_only: bool) -> None:
        """Table to stderr or stdout, picture into the folder, the JSON line to stdout."""
        picture = folder / f"{self.name}.png"
        self.picture(picture)
        console = Console(stderr=json_only, width=100)
        console.print(self.table())
        console.print(f"picture: {picture}", soft_wrap=True)
        print(json.dumps(self.document(), ensure_ascii=False), flush=True)


def summary(values: npt.NDArray[np.float64]) -> dict[str, float]:
    """p50 and p99 in the unit of the values, and how many there are."""
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "n": len(values)}
