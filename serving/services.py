"""What endpoints work with: opened when the server starts, closed when it stops."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from feature_repo import registry
from feature_repo.registry import Repository
from recommend.catalogue import Catalogue
from recommend.model import Model
from recommend.pipeline import Pipeline
from schemas import bundle
from schemas.errors import BundleError
from schemas.follow import Follower
from schemas.topics import ITEM_FEATURES, ITEMS
from serving.hydrate import Hydrator
from serving.impressions import ImpressionLog
from serving.metrics import Metrics
from serving.own_events import OwnEvents
from serving.producer import EventLog
from serving.settings import ServingSettings
from serving.store import Store, UserRows

log = logging.getLogger(__name__)

POPULAR_AGE_S = 1.0


@dataclass
class Services:
    """Everything with a life of its own."""

    settings: ServingSettings
    catalogue: Catalogue
    store: Store
    own: OwnEvents
    hydrator: Hydrator
    events: EventLog
    impressions: ImpressionLog
    metrics: Metrics
    issuer: str
    declared: Repository
    pipeline: Pipeline
    _follower: Follower | None = None
    _bundles: asyncio.Task[None] | None = None
    _version: str | None = None
    _quiet_since: float = field(default_factory=time.monotonic)

    @classmethod
    def of(
        cls,
        settings: ServingSettings,
        rows: Callable[[], UserRows] | None = None,
        events: EventLog | None = None,
    ) -> Services:
        """Nothing is opened yet. Tests give their own store and log."""
        declared = registry.load(settings.definitions)
        catalogue, metrics, issuer = Catalogue(declared.reads), Metrics(), secrets.token_hex(4)
        store = Store(rows or _feast(settings, declared), settings.store_retry_ms / 1000)
        own = OwnEvents(settings.own_events_s * 1000)
        hydrator = Hydrator(
            store, own, catalogue, issuer, settings.after_wait_ms, settings.after_poll_ms, lateness=settings.lateness
        )
        events = events or EventLog(settings.kafka, settings.delivery_timeout_ms)
        impressions = ImpressionLog(
            events, settings.impressions_queue, lambda result, n: metrics.impressions.labels(result).inc(n)
        )
        generation = catalogue.generation
        pipeline = Pipeline(generation.columns, generation.model)
        return cls(settings, catalogue, store, own, hydrator, events, impressions, metrics, issuer, declared, pipeline)

    @property
    def ready(self) -> bool:
        """Whether the catalogue has been read, or cannot be for now."""
        return self.catalogue.complete or (time.monotonic() - self._quiet_since > self.settings.catalogue_wait_s)

    @property
    def degraded(self) -> list[str]:
        """Parts that are not there: `catalogue`, `model`, `store`."""
        missing = {
            "catalogue": not self.catalogue.complete,
            "model": self.pipeline.model is None,
            "store": not self.store.healthy,
        }
        return [name for name, is_missing in missing.items() if is_missing]

    async def start(self, follow: bool = True) -> None:
        """Opens everything; what cannot be opened is tried again in the background."""
        await self.store.start()
        await self.refresh_model()
        self.impressions.start()
        self._bundles = asyncio.create_task(self._watch_bundles())
        if follow:
            self._follower = Follower(
                self.settings.kafka, [ITEMS, ITEM_FEATURES], self._on_record, self._on_idle
            ).start()

    async def stop(self) -> None:
        if self._bundles:
            self._bundles.cancel()
        await self.store.stop()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._follower:
            self._follower.stop()
        self.impressions.stop()
        self.events.close()

    async def refresh_model(self) -> None:
        """Takes a newly published bundle; one that cannot be used leaves the old one in force, and is tried again only
        where it could not be read: what it holds will not change."""
        name = None
        try:
            name = bundle.current_name(self.settings.bundles)
            if name and name != self._version:
                await asyncio.to_thread(self._install, name)
                self._version = name
        except BundleError as error:
            self._version = name or self._version
            log.warning("bundle ignored: %s", error)
        except OSError as error:
            log.warning("bundle not read, to be tried again: %s", error)

    def _install(self, name: str) -> None:
        started = time.monotonic()
        model = Model.of(bundle.load(self.settings.bundles / name), self.catalogue.item, self.declared.crosses)
        self.catalogue.install(model)
        generation = self.catalogue.generation
        self.pipeline = Pipeline(generation.columns, generation.model, POPULAR_AGE_S)
        log.info("bundle %s is in force, %.1f s after it was found", name, time.monotonic() - started)

    async def _watch_bundles(self) -> None:
        while True:
            await asyncio.sleep(self.settings.bundle_poll_s)
            await self.refresh_model()
            self.metrics.items.set(self.pipeline.columns.n)
            self.metrics.store_up.set(self.store.healthy)

    def _on_record(self, topic: str, key: bytes, value: bytes | None) -> None:
        self._quiet_since = time.monotonic()
        self.catalogue.on_record(topic, key, value)

    def _on_idle(self) -> None:
        follower = self._follower
        if follower and follower.caught_up.is_set() and not self.catalogue.complete:
            self.catalogue.set_complete()
            log.info("the catalogue has been read: %d items", self.catalogue.generation.columns.n)


def _feast(settings: ServingSettings, declared: Repository) -> Callable[[], UserRows]:
    def open_rows() -> UserRows:
        from feature_repo.store import UserReader  # Feast takes seconds to import; tests do without

        return UserReader(settings.feature_store, settings.store_timeout_ms / 1000, declared.reads)

    return open_rows
