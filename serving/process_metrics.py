"""Merges the Prometheus metrics of several server processes, with the label `process`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.siblings import ProcessState

HEAD = "# HELP "


def merged(texts: Mapping[int, bytes], states: Sequence[ProcessState]) -> bytes:
    """One document from each process's metrics, by number, as generate_latest writes them, and the states of all. A
    process without metrics has only the samples of its state.

    Works on lines: parsing them takes the event loop some fifteen times as long.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for number in sorted(texts):
        for name, head, lines in _families(texts[number].decode()):
            heads[name] = head
            samples.setdefault(name, []).extend(_labelled(line, number) for line in lines)
    of_all = "".join("".join(line + "\n" for line in heads[name] + samples[name]) for name in heads)
    of_states = CollectorRegistry()
    of_states.register(_States(states))
    return generate_latest(of_states) + of_all.encode()


def _families(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Name, HELP and TYPE, and the samples of each family. The format allows each family once."""
    for block in ("\n" + text).split("\n" + HEAD)[1:]:
        lines = (HEAD + block).rstrip("\n").split("\n")
        yield block.split(" ", 1)[0], lines[:2], lines[2:]


def _labelled(line: str, number: int) -> str:
    """A sample with the label put first: `name 1.0` and `name{a="b"} 1.0` are the two forms."""
    name, space, value = line.partition(" ")
    start, brace, _ = name.partition("{")
    if brace:
        return f'{start}{{process="{number}",{line[len(start) + 1 :]}'
    return f'{name}{{process="{number}"}}{space}{value}'


class _States(Collector):
    def __init__(self, states: Sequence[ProcessState]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("freshet_process_up", "1 while the server process serves", labels=("process",))
        restarts = CounterMetricFamily(
            "freshet_process_restarts", "Times that the server process was started again", labels=("process",)
        )
        for state in self._states:
            up.add_metric([str(state.number)], float(state.state == "serving"))
            restarts.add_metric([str(state.number)], state.restarts)
        yield up
        yield restarts
