"""Starts and stops the components of the local stack in order; each is healthy before the next is started."""

import fcntl
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from freshet.errors import ComponentError, NotReady, PortTaken
from freshet.features import feast
from freshet.local import ports, processes
from freshet.local.components import Component, Reporter
from freshet.local.flink import Flink
from freshet.local.kafka import Kafka
from freshet.local.redis import Redis
from freshet.local.server import Server
from freshet.settings import Settings, setting_name

_NEEDS_FEATURES = {"flink", "server"}
_POLL = 0.1


@dataclass(frozen=True, slots=True)
class Status:
    name: str
    state: str
    """running, busy (it is there and did not answer in time), unhealthy (nobody answers, or it says that it is not
    ready), crashed (we started it and it is gone) or stopped."""
    pid: int | None
    address: str
    since: float | None


class Stack:
    """Start and stop the components of one home. As a context manager it stops everything at the end."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        report: Reporter = lambda _: None,
        components: Sequence[Component] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._report = report
        self._components = list(components or (Kafka(), Redis(), Flink(), Server()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    def up(self, only: Iterable[str] | None = None, without: Iterable[str] = ()) -> None:
        """Starts missing components, in order, and returns when all are healthy.

        Raises PortTaken, NotReady, JarError, JavaError or ComponentError. Running components are left as
        they are, and those started before an error stay up (`down` ends them).
        """
        wanted = self._select(only, without)
        with self._locked():
            missing = [c for c in wanted if not self._runs(c)]
            for component in missing:
                self._clear(component)
            self._check_ports(missing)
            features_applied = False
            for component in wanted:
                if component not in missing:
                    self._await(component)
                    continue
                if component.name in _NEEDS_FEATURES and not features_applied:
                    feast.apply(self.settings, self._report)
                    features_applied = True
                self._start(component)

    def down(self, only: Iterable[str] | None = None) -> None:
        """Stops running components, in reverse order, and cleans up after crashed ones."""
        with self._locked():
            for component in reversed(self._select(only, ())):
                self._stop(component)

    def restart(self, name: str) -> None:
        """Stops a component if it runs (the job with a savepoint), and starts it."""
        self.down([name])
        self.up([name])

    def kill(self, name: str) -> None:
        """SIGKILL a component and all its children, as a crash would. The next `up` starts it again."""
        record = processes.load(self.settings.run, self._select([name], ())[0].name)
        if record:
            processes.end(record, 0, hard=True)

    def status(self) -> list[Status]:
        return [self._status(component) for component in self._components]

    def _status(self, component: Component) -> Status:
        record = processes.load(self.settings.run, component.name)
        address = f"{self.settings.host}:{next(iter(component.ports(self.settings).values()))}"
        if record is None:
            return Status(component.name, "stopped", None, address, None)
        if record.leader() is None:
            return Status(component.name, "crashed", None, address, None)
        return Status(component.name, self._health(component), record.pid, address, record.created)

    def _health(self, component: Component) -> str:
        try:
            return "running" if component.is_ready(self.settings) else "unhealthy"
        except TimeoutError:
            return "busy"

    def _select(self, only: Iterable[str] | None, without: Iterable[str]) -> list[Component]:
        known = {component.name for component in self._components}
        chosen = known if only is None else set(only)
        for name in sorted((chosen | set(without)) - known):
            raise ComponentError(
                f"no component is named {name}; there are {', '.join(c.name for c in self._components)}"
            )
        return [c for c in self._components if c.name in chosen - set(without)]

    def _runs(self, component: Component) -> bool:
        record = processes.load(self.settings.run, component.name)
        return record is not None and record.leader() is not None

    def _clear(self, component: Component) -> None:
        """Ends children that a crashed leader has left, which may still hold its ports."""
        record = processes.load(self.settings.run, component.name)
        if record:
            processes.end(record, 0, hard=True)
            processes.forget(self.settings.run, component.name)

    def _check_ports(self, components: Iterable[Component]) -> None:
        for component in components:
            for field, port in component.ports(self.settings).items():
                if not ports.is_free(self.settings.host, port):
                    raise PortTaken(component.name, port, setting_name(field), ports.owner(port))

    def _start(self, component: Component) -> None:
        began = time.monotonic()
        launch = component.prepare(self.settings, self._report)
        log = self.settings.logs / f"{component.name}.log"
        env = {**processes.base_env(), **launch.env}
        processes.spawn(component.name, launch.argv, env, log, self.settings.run)
        self._await(component)
        component.started(self.settings, self._report)
        address = f"{self.settings.host}:{next(iter(component.ports(self.settings).values()))}"
        self._report(f"{component.name} is ready on {address} ({time.monotonic() - began:.1f} s)")

    def _await(self, component: Component) -> None:
        deadline = time.monotonic() + self.settings.start_timeout
        log = self.settings.logs / f"{component.name}.log"
        while self._health(component) != "running":
            # Only after its own process is known to live does an answer on the port count as its answer.
            if not self._runs(component):
                self._clear(component)
                raise NotReady(_with_log(f"{component.name} ended while it started", processes.tail(log)))
            if time.monotonic() > deadline:
                limit = f"{self.settings.start_timeout:.0f} s (FRESHET_START_TIMEOUT)"
                raise NotReady(_with_log(f"{component.name} was not healthy within {limit}", processes.tail(log)))
            time.sleep(_POLL)

    def _stop(self, component: Component) -> None:
        record = processes.load(self.settings.run, component.name)
        if record is None:
            return
        if record.leader():
            component.before_stop(self.settings, self._report)
            polite = processes.end(record, component.grace)
            how = "stopped" if polite else f"did not stop within {component.grace:.0f} s and was killed"
        else:
            processes.end(record, 0, hard=True)
            how = "had crashed; cleaned up"
        processes.forget(self.settings.run, component.name)
        self._report(f"{component.name} {how}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """A lock, so that two commands do not start the same component twice."""
        self.settings.run.mkdir(parents=True, exist_ok=True)
        with (self.settings.run / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._report("waiting for another freshet command that uses this home")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _with_log(message: str, lines: Sequence[str]) -> str:
    return "\n  ".join([f"{message}; the end of its log:", *lines]) if lines else f"{message}; its log is empty"
