"""Metrics of several processes as one document."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from follow.loop import LoopHealth
from serving.metrics import Metrics
from serving.process_metrics import merged
from serving.siblings import ProcessState


def text(requests: int) -> bytes:
    """Of a process with as many feeds answered, with every kind of metric and label values of all sorts."""
    metrics = Metrics()
    for _ in range(requests):
        metrics.requests.labels("feed", "200").observe(0.001)
    metrics.degraded.labels('a "stage" {of} some kind, \n\\').inc()
    metrics.watch(lambda: {"freshet_items": requests}, lambda: [LoopHealth("bundles", True, 0, "")])
    return metrics.text()


def test_every_sample_of_every_process_is_there_once_with_its_number() -> None:
    texts = {1: text(3), 2: text(5)}
    states = [ProcessState(1, 10, "serving"), ProcessState(2, 11, "serving", 4, "x"), ProcessState(3, None, "ended", 1)]
    found = merged(texts, states).decode()
    families = list(text_string_to_metric_families(found))
    assert len({family.name for family in families}) == len(families), "each family once"
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}
    wanted = {
        (s.name, tuple(sorted({**s.labels, "process": str(n)}.items()))): s.value
        for n, one in texts.items()
        for f in text_string_to_metric_families(one.decode())
        for s in f.samples
    }
    assert samples.items() >= wanted.items()
    of_states = {key: value for key, value in samples.items() if key not in wanted}
    assert of_states == {
        **{("freshet_process_up", (("process", str(n)),)): up for n, up in ((1, 1.0), (2, 1.0), (3, 0.0))},
        **{("freshet_process_restarts_total", (("process", str(n)),)): r for n, r in ((1, 0.0), (2, 4.0), (3, 1.0))},
    }
    types = {f.name: f.type for f in text_string_to_metric_families(texts[1].decode())}
    assert {f.name: f.type for f in families if f.name in types} == types
