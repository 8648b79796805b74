"""What the stack knows of a component: how to prepare it, start it, tell that it is healthy, and stop it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from freshet.settings import Settings

ANSWER_S = 3.0
"""how long a component has to say that it does its work"""
Reporter = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Launch:
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


class Component(Protocol):
    name: str
    grace: float
    """Seconds between the request to stop and SIGKILL."""

    def ports(self, settings: Settings) -> Mapping[str, int]:
        """Every port that it listens on, by the field of Settings that chooses it; the first is its address."""
        ...

    def prepare(self, settings: Settings, report: Reporter) -> Launch:
        """Write its configuration, fetch what it needs, and say how to start it."""
        ...

    def is_ready(self, settings: Settings) -> bool:
        """Whether it does its work now. Returns within a few seconds.

        Raises TimeoutError where it is there and gives no answer in time, and nothing else.
        """
        ...

    def started(self, settings: Settings, report: Reporter) -> None:
        """What is to be done each time it has become healthy."""
        ...

    def before_stop(self, settings: Settings, report: Reporter) -> None:
        """What is to be done while it still runs, before it is asked to stop."""
        ...
