"""What operators look up in a Flink worker: the catalogue and the embedding space, one copy a process."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from operators.contract import Space
from operators.space import BundleSpace, EmptySpace
from schemas import bundle, codec
from schemas.errors import BundleError, EventError
from schemas.events import Item
from schemas.follow import Follower
from schemas.topics import ITEMS

log = logging.getLogger(__name__)

CATALOGUE_DEADLINE_S = 120


class LiveWorld:
    """The catalogue followed from Kafka, and the space of the bundle in force."""

    def __init__(self, kafka: str, bundles: Path) -> None:
        self.space: Space = EmptySpace()
        self._items: dict[str, Item] = {}
        self._bundles = bundles
        self._version: str | None = None
        self._checked = 0.0
        self.refresh_space()
        self._follower = Follower(kafka, [ITEMS], self._on_item, self._on_idle).start()

    def item(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    def close(self) -> None:
        """Follows no more."""
        self._follower.stop()

    def wait(self) -> None:
        """Returns when the catalogue has been read.

        Raises TimeoutError where it cannot be: an event taken without its item's categories would lack them in every
        feature for good, and no replay would come to the same. Flink tries again; the events wait in the same Kafka.
        """
        if not self._follower.caught_up.wait(CATALOGUE_DEADLINE_S):
            raise TimeoutError(f"the catalogue (topic {ITEMS}) could not be read within {CATALOGUE_DEADLINE_S} s")

    def refresh_space(self) -> None:
        """Takes a newly published bundle's space; a broken bundle leaves the old one in force, and is tried again only
        where it could not be read: what it holds will not change."""
        self._checked = time.monotonic()
        version = None
        try:
            version = bundle.current_name(self._bundles)
            if version and version != self._version:
                self.space = BundleSpace.of(bundle.load(self._bundles / version), self.item)
                self._version = version
                log.info("embedding space %s of bundle %s", self.space.id, version)
        except BundleError as error:
            self._version = version or self._version
            log.warning("bundle ignored: %s", error)
        except OSError as error:
            log.warning("bundle not read, to be tried again: %s", error)

    def _on_idle(self) -> None:
        if time.monotonic() - self._checked > 1:
            self.refresh_space()

    def _on_item(self, topic: str, key: bytes, value: bytes | None) -> None:
        try:
            item = Item(key.decode(), available=False) if value is None else codec.decode(topic, value)
        except (EventError, UnicodeDecodeError):
            return  # the job's item operator sees the same bytes and writes the dead letter
        self._items[item.item_id] = item


_lock = threading.Lock()
_worlds: dict[tuple[str, Path], LiveWorld] = {}


def shared(kafka: str, bundles: Path) -> LiveWorld:
    """The process's one world for these settings, ready to answer."""
    with _lock:
        world = _worlds.get((kafka, bundles))
        if world is None:
            world = _worlds[(kafka, bundles)] = LiveWorld(kafka, bundles)
    world.wait()
    return world
