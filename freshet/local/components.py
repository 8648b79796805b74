"""The interface of a component: how the stack prepares it, starts it, checks its health, and stops it."""

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
        """Every port that it listens on, by the field of Settings that sets it; the first is its address."""
        ...

    def prepare(self, settings: Settings, report: Reporter) -> Launch:
        """Writes its configuration, fetches its files, and returns the command to start it."""
        ...

    def is_ready(self, settings: Settings) -> bool:
        """Whether it is healthy now. Returns within a few seconds.

        Raises TimeoutError where it runs and does not answer in time, and nothing else.
        """
        ...

    def started(self, settings: Settings, report: Reporter) -> None:
        """Called each time it has become healthy."""
        ...

    def kept(self, settings: Settings, report: Reporter) -> None:
        """Called where it is healthy already and is left running: makes what a newer version needs of it."""
        ...

    def before_stop(self, settings: Settings, report: Reporter) -> None:
        """Called while it still runs, before it is stopped."""
        ...
