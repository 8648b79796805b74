"""The resources of endpoints: opened when the server starts, closed when it stops."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from feature_repo import registry
from feature_repo.repository import Repository
from follow.follower import PAUSE_S, Follower
from follow.loop import LoopHealth
from recommend import discovery
from recommend.item_space import ItemSpace
from recommend.pipeline import Pipeline
from recommend.surface import Surface
from recommend.surfaces import SURFACES, trending
from recommend.surfaces.trending import by
from schemas.events import Impression
from schemas.topics import INTERACTIONS, ITEM_FEATURES, ITEMS, RULES, USERS
from serving.catalogue import LiveCatalogue
from serving.hydrate import Hydrator
from serving.hydrated_once import HydratedOnce
from serving.impressions import ImpressionLog
from serving.metrics import Metrics
from serving.model_loader import ModelLoader
from serving.own_events import OwnEvents
from serving.own_shown import OwnShown
from serving.people_index import LAST, PeopleIndex
from serving.producer import EventProducer
from serving.record_store import RecordStore
from serving.recorder import Recorder
from serving.rule_book import RuleBook
from serving.rule_writer import RuleWriter
from serving.settings import ServingSettings
from serving.siblings import Siblings
from serving.store import Store, UserRows, feast_rows
from serving.variants import Variants

log = logging.getLogger(__name__)

READ_S = 5.0
"""longest wait of a background thread for the store"""


@dataclass
class Services:
    """Clients, threads and models that live as long as the server."""

    settings: ServingSettings
    catalogue: LiveCatalogue
    store: Store
    own: OwnEvents
    hydrator: Hydrator
    events: EventProducer
    impressions: ImpressionLog
    shown: OwnShown
    metrics: Metrics
    issuer: str
    declared: Repository
    models: ModelLoader
    rules: RuleBook
    recorder: Recorder
    surfaces: tuple[Surface, ...] = SURFACES
    siblings: Siblings | None = None
    """the other server processes on the port; None where there are none"""
    _follower: Follower | None = None
    _rules_follower: Follower | None = None
    _people_follower: Follower | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _quiet_since: float = math.inf
    """when reading the catalogue began, or its last record came, as of `time.monotonic`"""

    def __post_init__(self) -> None:
        self.people = PeopleIndex(self.settings.people, self._user_space, self._read_people, self.may_appear)
        self._follows_people = bool(self.settings.people) or self.recorder.is_used
        self.rule_writer = RuleWriter(self.rules, self.events)
        self.metrics.watch(self._gauges, lambda: self.background)

    @classmethod
    def of(
        cls,
        settings: ServingSettings,
        rows: Callable[[], UserRows] | None = None,
        events: EventProducer | None = None,
    ) -> Services:
        """Makes the services without opening any. Tests pass their own store and log. Raises FeatureError and
        SurfaceError where what a team declares cannot be used."""
        declared = registry.load(settings.definitions)
        catalogue, metrics, issuer = LiveCatalogue(declared.reads), Metrics(), secrets.token_hex(4)
        store = Store(rows or feast_rows(settings, declared.reads), settings.store_retry_ms / 1000)
        own = OwnEvents(settings.own_events_s * 1000)
        hydrator = HydratedOnce(
            store, own, catalogue, issuer, settings.after_wait_ms, settings.after_poll_ms,
            lateness=settings.lateness, opt_in=settings.opt_in,
            on_unreadable=lambda reason: metrics.unreadable.labels(reason).inc(),
        )  # fmt: skip
        events = events or EventProducer(settings.connection, settings.delivery_timeout_ms)
        impressions = ImpressionLog(
            events, settings.impressions_queue, lambda result, n: metrics.impressions.labels(result).inc(n)
        )
        surfaces = discovery.with_own(SURFACES, settings.surfaces)
        rules = RuleBook(catalogue.columns)
        recorder = Recorder(
            RecordStore(settings.records), catalogue, settings.record_share, settings.record_queue,
            settings.record_days, settings.record_mb << 20, lambda result, n: metrics.records.labels(result).inc(n),
        )  # fmt: skip
        models = ModelLoader(
            settings.bundles, catalogue, declared.crosses, settings.bundle_poll_s, lambda: rules.in_force
        )
        return cls(
            settings, catalogue, store, own, hydrator, events, impressions, OwnShown(settings.own_events_s), metrics,
            issuer, declared, models, rules, recorder, surfaces,
        )  # fmt: skip

    @cached_property
    def personal(self) -> Mapping[str, Surface]:
        """The surfaces that find items for a person, by name."""
        return discovery.personal(self.surfaces)

    @cached_property
    def named(self) -> Mapping[str, Surface]:
        """All surfaces, by name."""
        return {surface.name: surface for surface in self.surfaces}

    @cached_property
    def trending_by(self) -> Mapping[str, Surface]:
        """What items are trending by → the surface."""
        return by(self.named[trending.name])

    @property
    def variants(self) -> Variants:
        """The models that serve now; a request reads this once."""
        return self.models.variants

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline of the model in force."""
        return self.variants.default.pipeline

    def may_appear(self, user_id: str, row: Mapping[str, Any]) -> bool:
        """Whether answers for others may be made from this person: whether they consent, by fields of their row and by
        what is known since."""
        consents = row["consent"] and (row["consent_given"] or not self.settings.opt_in)
        return bool(consents) and not self.has_withdrawn(user_id)

    def has_withdrawn(self, user_id: str) -> bool:
        """Whether a profile that was posted to this server lately, or that it has read from Kafka, withdrew consent."""
        return user_id in self.recorder.withdrawals or self.own.has_withdrawn(user_id)

    def _user_space(self) -> ItemSpace | None:
        model = self.pipeline.model
        return model.user_space if model else None

    def _read_people(self, user_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Reads rows from another thread than the event loop's."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(self.store.people(user_ids), self._loop).result(READ_S)

    @property
    def ready(self) -> bool:
        """Whether the catalogue and the rules have been read, or reading them has timed out."""
        return self.complete or time.monotonic() - self._quiet_since > self.settings.catalogue_wait_s

    @property
    def complete(self) -> bool:
        """Whether the catalogue and the rules have been read."""
        return self.catalogue.complete and self.rules.complete

    @property
    def people_wait(self) -> int | None:
        """How many of those people are still to be read who were active before the start; None while it is not known
        who was. 0 where none are kept."""
        if self._people_follower is None or not self.settings.people:
            return 0
        return self.people.waiting if self._people_follower.caught_up.is_set() else None

    @property
    def degraded(self) -> list[str]:
        """Missing parts: `catalogue`, `rules`, `model`, `store`, background threads whose last step failed, `traffic`
        for a traffic file that cannot be used, and `variant NAME` for one whose bundle cannot."""
        missing = {
            "catalogue": not self.catalogue.complete,
            "rules": not self.rules.complete,
            "model": self.pipeline.model is None,
            "store": not self.store.healthy,
        }
        absent = [name for name, is_missing in missing.items() if is_missing]
        return absent + [loop.name for loop in self.background if not loop.up] + self.models.faults

    @property
    def background(self) -> list[LoopHealth]:
        """The health of each background thread."""
        followers = self._follower, self._rules_follower, self._people_follower
        followed = [each.health for each in followers if each]
        if self._rules_follower:
            followed += [self.rules.health, self.rule_writer.health]
        if self._people_follower and self.settings.people:
            followed.append(self.people.health)
        recorded = [self.recorder.health] if self.recorder.is_used else []
        return [*followed, self.models.health, self.impressions.health, *recorded]

    def _gauges(self) -> dict[str, float]:
        return {
            "freshet_items": self.catalogue.columns.n,
            "freshet_store_up": self.store.healthy,
            "freshet_item_rows_refused": self.catalogue.refused,
            "freshet_policy_models_dropped": self.catalogue.columns.arms.dropped,
            "freshet_people": len(self.people),
            "freshet_rules": len(self.rules.in_force.rules),
            "freshet_rules_unfit": len(self.rules.in_force.faults),
            "freshet_attributes_left_out": self.catalogue.columns.filterable.left_out,
        }

    def log_shown(self, shown: Impression) -> None:
        """Logs what a person was shown, and remembers it until the stream's row has it."""
        self.shown.add(shown)
        self.impressions.put(shown)

    def on_consent(self, user_id: str, consents: bool, at: int) -> None:
        """Somebody has given consent, or withdrawn it, by a profile posted to this server; `at` is Kafka's time, epoch
        ms. What is held of the impressions of who withdraws is dropped."""
        if not consents:
            self.shown.forget(user_id)
            self.impressions.forget(user_id)
        if self._follows_people:  # else nothing says that consent was given through another server
            withdrawals = self.recorder.withdrawals
            (withdrawals.allow if consents else withdrawals.withdraw)(user_id, at)

    async def start(self, follow: bool = True) -> None:
        """Opens all services; those that fail are retried in the background."""
        self._loop = asyncio.get_running_loop()
        await self.store.start()
        await self.refresh_model()
        self.impressions.start()
        self.models.start()
        self.recorder.start()
        self._quiet_since = time.monotonic()  # bundles and the store may have taken longer than `catalogue_wait_s`
        if follow:
            self._follower = Follower(
                self.settings.connection, [ITEMS, ITEM_FEATURES], self._on_record, self._on_caught_up, pause_s=PAUSE_S
            ).start()
            self.rules.start()
            self._rules_follower = Follower(
                self.settings.connection, [RULES], self.rules.on_record, self.rules.set_complete
            ).start()
            if self.settings.people:
                self.people.start()
            if self._follows_people:
                self._people_follower = Follower(
                    self.settings.connection, [*([INTERACTIONS] if self.settings.people else []), USERS],
                    self.on_record_of_person, self.recorder.withdrawals.set_live, last=LAST, times=True, pause_s=PAUSE_S
                ).start()  # fmt: skip

    async def stop(self) -> None:
        """Closes everything, at the same time, so that impressions wait for no thread and all have ended within the
        slowest one's limit. Raises the first error, once all have been closed."""
        threads = [self.models.stop, self.recorder.stop, *([self._follower.stop] if self._follower else [])]
        if self._rules_follower:
            threads += [self._rules_follower.stop, self.rules.stop]
        if self._people_follower:
            threads += [self._people_follower.stop, *([self.people.stop] if self.settings.people else [])]
        ended = await asyncio.gather(
            self._write_out(), self.store.stop(), *(asyncio.to_thread(stop) for stop in threads), return_exceptions=True
        )
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    async def _write_out(self) -> None:
        """Impressions first: nothing adds to them by now."""
        try:
            await asyncio.gather(self.impressions.stop(), self.rule_writer.stop())
        finally:
            await self.events.close()

    async def refresh_model(self) -> None:
        """Loads newly published and newly named bundles; the others stay in force where one is invalid."""
        await asyncio.to_thread(self.models.check)

    def _on_record(self, topic: str, key: bytes, value: bytes | None) -> None:
        if not self.catalogue.complete:  # afterwards there is always some event, and rules may be missing for good
            self._quiet_since = time.monotonic()
        self.catalogue.on_record(topic, key, value)

    def on_record_of_person(self, topic: str, key: bytes, value: bytes | None, at: int) -> None:
        """Takes a record of `interactions` or `users`, and Kafka's time of it, epoch ms."""
        self.recorder.withdrawals.on_record(topic, key, value, at)
        if self.settings.people:
            self.people.on_record(topic, key, value)

    def _on_caught_up(self) -> None:
        self.catalogue.set_complete()
        log.info("the catalogue has been read: %d items", self.catalogue.columns.n)
