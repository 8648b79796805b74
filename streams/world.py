"""Lookups of operators in a Flink worker: catalogue entries and the embedding space, one copy a process.

The catalogue follows the topic `items`, the space is that of the bundle in force; a thread each keeps them up to date.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from follow.bundles import BundleWatch
from follow.connection import Connection
from follow.follower import Follower
from follow.loop import LoopHealth
from operators.contract import Space
from operators.space import BundleSpace, EmptySpace
from schemas import messages
from schemas.bundle import Bundle
from schemas.errors import EventError
from schemas.events import Item
from schemas.topics import ITEMS

log = logging.getLogger(__name__)

CATALOGUE_DEADLINE_S = 120


class FollowedWorld:
    """A `World` that follows Kafka and the folder of bundles."""

    def __init__(self, connection: Connection, bundles: Path) -> None:
        self.space: Space = EmptySpace()
        self._items: dict[str, Item] = {}
        self._bundles = BundleWatch(bundles, self._install)
        self._bundles.check()
        self._bundles.start()
        self._follower = Follower(connection, [ITEMS], self._on_item).start()

    def item(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    @property
    def health(self) -> list[LoopHealth]:
        """The health of each thread."""
        return [self._follower.health, self._bundles.health]

    def close(self) -> None:
        """Stops the threads."""
        self._bundles.stop()
        self._follower.stop()

    def wait(self) -> None:
        """Blocks until the catalogue has been read.

        Raises TimeoutError where it cannot be read: an event applied without its item's categories would lack them in
        every feature for good, and a replay would give other values. Flink restarts the task; the events stay in Kafka.
        """
        if not self._follower.caught_up.wait(CATALOGUE_DEADLINE_S):
            last = self._follower.health.last_error
            raise TimeoutError(
                f"the catalogue (topic {ITEMS}) could not be read within {CATALOGUE_DEADLINE_S} s"
                + (f"; the last error: {last}" if last else "")
            )

    def _install(self, bundle: Bundle) -> None:
        self.space = BundleSpace.of(bundle, self.item)
        log.info("embedding space %s of bundle %s", self.space.id, bundle.version)

    def _on_item(self, topic: str, key: bytes, value: bytes | None) -> None:
        try:
            item = messages.read(topic, key, value)
        except EventError:
            return  # the item operator reads the same message and writes the dead letter
        assert isinstance(item, Item)
        self._items[item.item_id] = item


_lock = threading.Lock()
_worlds: dict[tuple[Connection, Path], FollowedWorld] = {}


def shared(connection: Connection, bundles: Path) -> FollowedWorld:
    """The process's one world for these settings, once its catalogue has been read. Raises TimeoutError as `wait`."""
    with _lock:
        world = _worlds.get((connection, bundles))
        if world is None:
            world = _worlds[(connection, bundles)] = FollowedWorld(connection, bundles)
    world.wait()
    return world


def errors() -> int:
    """Errors so far in the threads that keep this process's worlds up to date."""
    return sum(thread.errors for found in list(_worlds.values()) for thread in found.health)
