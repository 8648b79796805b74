"""The job's two functions: one keyed by user, one keyed by item and whatever else features are declared of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyflink.datastream import RuntimeContext

from feature_repo import registry
from feature_repo.builders import item_operator, served, user_operator
from feature_repo.repository import Repository
from operators.contract import Operator, Record, Row, World
from operators.item import TOGETHER
from schemas.events import Interaction, User
from streams import archive, interpreter, wire, world
from streams.adapter import OperatorFunction
from streams.entry import Entry
from streams.flushing import SPREAD, Flushing

BASKETS_MS = 300
"""Flush interval of items that joined a basket, ms: what completes a cart is to be right within a second for the next
one with such a cart. Few events are purchases, so that this costs little."""


class UserFunction(OperatorFunction):
    """Runs the user operator. On-time events are flushed immediately; accepted events go to the archive."""

    name = "user"

    def open(self, context: RuntimeContext) -> None:
        super().open(context)
        self._archives = self._settings.archives
        self._counts.follow("background.errors", world.errors)

    def operator(self, found: World, declared: Repository, now: int) -> Operator[Any]:
        settings, self._world = self._settings, found
        attribution = settings.attribution(now)
        return user_operator(found, settings.lateness, declared, attribution, settings.opt_in)

    def flushing(self) -> Flushing:
        return Flushing(self._settings.write_ms, eager=True)

    def paced(self, behind_ms: int) -> None:
        interpreter.pace(behind_ms)

    def taken(self, entry: Entry, record: Record) -> None:
        event = record.event
        if isinstance(event, Interaction) and event.item_id and self._world.item(event.item_id) is None:
            self._counts.add("unlisted")
        if not self._archives:
            return
        if isinstance(event, User) and self._operator.withholds(entry.states):
            # That they have withdrawn is what training has to read; their attributes are not.
            record = record._replace(event=User(event.user_id, consent=event.consent))
        entry.accepted.append(record)

    def withholds(self, key: str, now: int, ctx: Any) -> bool:
        return self._operator.withholds(self._entry(key, now, ctx).states)

    def flushed(self, entries: Sequence[Entry], rows: Sequence[Row]) -> Iterable[Any]:
        return archive.out(record for entry in entries for record in entry.accepted)


class ItemFunction(OperatorFunction):
    """Runs the item operator. Rows that servers keep as columns go to the topic item_features as well."""

    name = "item"

    def open(self, context: RuntimeContext) -> None:
        super().open(context)
        self._columns = served(registry.load(self._settings.definitions))

    def operator(self, found: World, declared: Repository, now: int) -> Operator[Any]:
        return item_operator(found, declared)

    def flushing(self) -> Flushing:
        return Flushing(self._settings.item_write_ms, SPREAD, soon_ms=BASKETS_MS, soon=(TOGETHER,))

    def flushed(self, entries: Sequence[Entry], rows: Sequence[Row]) -> Iterator[Any]:
        for row in rows:
            if row.view in self._columns and row.values:
                yield wire.features(row, self._columns[row.view])

    def backfilled(self, epoch: int) -> bool:
        """The archive is ahead of this operator: what a savepoint found in its tails is in there."""
        return epoch != self._backfilled.epoch
