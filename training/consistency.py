"""What the ranker was given when a feed was served, beside what a replay of the archive says that it was.

    archive ─┬─► each person's features after the event that the impression says was their last ─┐
             └─► columns at every change of the shown items, from `within` before to the feed ─► matrix ─► compared

An item's row reaches a server as long after an event as the job takes to write it: what a server can have known of an
item lies between two moments, and each value that the item had between them is right. So is each value of the most
popular item, beside which popularity is measured: its row travels by itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from feature_repo import views
from feature_repo.columns import ItemColumns
from feature_repo.ranking import NAMES
from feature_repo.registry import EMPTY
from feature_repo.views import item_operator, user_operator
from operators.contract import Record
from operators.history import Applied
from operators.space import BundleSpace
from operators.vector import UserVector
from schemas.bundle import Bundle
from schemas.events import Impression, Interaction, Item, User
from training.live import LiveColumns
from training.replay import Catalogue, Replay
from training.watch import Features, Watch, logged_of

ARRIVAL_MS = 999
"""the archive knows the second in which something arrived, and says its end"""

Load = Callable[[str], Bundle | None]
Archive = Callable[[], Iterable[Record]]

DEFAULTS: Features = {f.name: f.default for f in views.user.fields}
VECTOR, EMBEDDING = next((n, a) for n, a in enumerate(views.user.aggregations) if isinstance(a, UserVector))
APPLIED = next(n for n, a in enumerate(views.user.aggregations) if isinstance(a, Applied))


class Compared(NamedTuple):
    """How many values of one of the ranker's inputs were what."""

    name: str
    n: int
    equal: int
    """as the item was at the moment of the feed"""
    fresh: int
    """as it was at another moment that the server can have known"""
    unordered: int
    """not known: the item's events of one second came in an order that the archive does not keep"""
    different: int

    @property
    def share(self) -> float:
        """Of values that are equal to what a server can have known."""
        return (self.equal + self.fresh) / self.n if self.n else 1.0


@dataclass(frozen=True)
class Report:
    """What was compared, and how many impressions were not, by reason."""

    rows: list[Compared]
    impressions: int
    skipped: dict[str, int]

    @property
    def overall(self) -> Compared:
        """All inputs together."""
        sums = [sum(numbers) for numbers in zip(*(row[1:] for row in self.rows), strict=True)]
        return Compared("all", *(sums or [0] * 5))


class Spaces:
    """The bundles that were in force, as impressions name them, and the world of a replay that is in one of them."""

    def __init__(self, items: Iterable[Item], load: Load) -> None:
        self.world = Catalogue(items)
        self._load = load
        self._found: dict[str, BundleSpace | None] = {}
        self._names: dict[str, tuple[str, ...]] = {}

    def of(self, version: str) -> BundleSpace | None:
        """None where the bundle is not there any more."""
        if version not in self._found:
            bundle = self._load(version)
            self._found[version] = BundleSpace.of(bundle, self.world.item) if bundle else None
            self._names[version] = tuple(bundle.manifest.features) if bundle else ()
        return self._found[version]

    def names(self, version: str) -> tuple[str, ...]:
        """The ranker's inputs, in the order in which they are logged."""
        self.of(version)
        return self._names[version]

    def enter(self, version: str) -> bool:
        """Puts the bundle's space in force. Whether it was another one."""
        space = self.of(version)
        if space is None or space.id == self.world.space.id:
            return False
        self.world.space = space
        return True


def compare(archive: Archive, items: Iterable[Item], load: Load, within: int = 5_000, most: int = 2_000) -> Report:
    """Compares the last `most` impressions with features that the archive holds; it is read three times.

    `items` is the catalogue; `load` gives a bundle by its version, None where it is gone; `within`, ms, is how old what
    a server knows of an item may be.
    """
    spaces = Spaces(items, load)
    skipped: Counter[str] = Counter()
    chosen = _chosen(archive(), spaces, within, most, skipped)
    people = _people(archive(), spaces, chosen, within)
    skipped["the events that they knew of are not in the archive"] += len(chosen) - len(people)
    watches = [Watch(shown, people[shown.request_id]) for shown in chosen if shown.request_id in people]
    counts = np.zeros((len(NAMES), 4), np.int64)
    compared = 0
    for watch in _watched(archive(), spaces, watches, within):
        space = spaces.of(watch.shown.model_version or "")
        if space is None or any(len(frame.rows(watch.shown.items)) < len(watch.shown.items) for frame in watch.frames):
            skipped["an item is not in the catalogue"] += 1
            continue
        compared += 1
        for kind, per_input in enumerate((watch.judge(space)[None] == np.arange(4)[:, None, None]).sum(axis=1)):
            counts[:, kind] += per_input
    rows = [Compared(name, int(own.sum()), *own.tolist()) for name, own in zip(NAMES, counts, strict=True)]
    return Report(rows, compared, {reason: n for reason, n in skipped.items() if n})


def _chosen(
    records: Iterable[Record], spaces: Spaces, within: int, most: int, skipped: Counter[str]
) -> list[Impression]:
    """The impressions to compare, in the order of their times."""
    found: dict[str, Impression] = {}
    last = 0
    for record in records:
        last = max(last, record.arrived)
        event = record.event
        if type(event) is Impression and event.features is not None:
            found[event.request_id] = event
    chosen = []
    for shown in sorted(found.values(), key=lambda shown: shown.timestamp)[-most:]:
        version = shown.model_version or ""
        if spaces.of(version) is None:
            skipped["their bundle is gone"] += 1
        elif spaces.names(version) != NAMES or logged_of(shown).shape[1] != len(NAMES):
            skipped["their ranker had other inputs"] += 1
        elif shown.timestamp > last - ARRIVAL_MS - within:
            skipped["the archive ends with them"] += 1
        else:
            chosen.append(shown)
    return chosen


def _people(
    records: Iterable[Record], spaces: Spaces, chosen: Sequence[Impression], within: int
) -> dict[str, list[Features]]:
    """By request, the person's features as of the feed and, where time alone changed them, as of `within` before."""
    waiting: defaultdict[str, defaultdict[int, list[Impression]]] = defaultdict(lambda: defaultdict(list))
    for shown in chosen:
        waiting[shown.user_id][-1 if shown.applied_offset is None else shown.applied_offset].append(shown)
    if chosen:
        spaces.enter(chosen[0].model_version or "")
    operator = user_operator(spaces.world, None)
    states: dict[str, Any] = {}
    found: dict[str, list[Features]] = {}

    def capture(user_id: str) -> None:
        state = states.get(user_id)
        offset = -1 if state is None else state.parts[APPLIED].offset
        for shown in waiting[user_id].pop(offset, ()):
            found[shown.request_id] = _rows(operator, spaces, states.get(user_id), shown, within)

    for record in records:
        event = record.event
        if type(event) is Impression and event.model_version:
            spaces.enter(event.model_version)
        assert isinstance(event, (Interaction, Impression, User))
        if event.user_id not in waiting:
            continue
        if type(event) is Interaction:
            capture(event.user_id)
        operator.on_event("", states.setdefault(event.user_id, operator.new("")), record)
    for user_id in waiting:
        capture(user_id)
    return found


def _rows(operator: Any, spaces: Spaces, state: Any, shown: Impression, within: int) -> list[Features]:
    if state is None:
        return [DEFAULTS]
    space = spaces.of(shown.model_version or "")
    if space is not None and space.id == spaces.world.space.id:
        EMBEDDING.embed(state.parts[VECTOR], spaces.world)  # as a server does
    found: list[Features] = []
    for at in (shown.timestamp, shown.timestamp - within):
        row = operator.row(shown.user_id, "", state, max(at, state.watermark), b"")
        person = dict(zip(DEFAULTS, row.values, strict=True))
        person = person if person["consent"] else DEFAULTS | {"consent": False}
        if person not in found:
            found.append(person)
    return found


def _watched(records: Iterable[Record], spaces: Spaces, watches: Sequence[Watch], within: int) -> Iterator[Watch]:
    """The watches, each once it has seen all that a server can have known."""
    if not watches:
        return
    coming, active = list(reversed(watches)), list[Watch]()
    spaces.enter(watches[0].shown.model_version or "")
    driver = Replay(user_operator(spaces.world, None), item_operator(spaces.world))
    live = LiveColumns(driver, _columns(spaces.world), EMPTY)
    clock = 0
    for record in records:
        clock = max(clock, record.arrived - ARRIVAL_MS)
        while active and active[0].shown.timestamp < record.arrived - ARRIVAL_MS:
            yield _closed(active.pop(0), live, clock)
        while coming and coming[-1].shown.timestamp - within < record.arrived:
            watch = coming.pop()
            active.append(watch)
            watch.look(live.at(max(clock, watch.shown.timestamp - within)))
            clock = max(clock, watch.shown.timestamp - within)
        event = record.event
        if type(event) is Impression and event.model_version and spaces.enter(event.model_version):
            live = LiveColumns(driver, _columns(spaces.world), EMPTY)
            live.hear_all()
        heard = driver.feed(record) or ()
        live.hear(heard)
        if active:
            _tell(active, live.at(clock), {signal.item_id for signal in heard})
    for watch in active:
        yield _closed(watch, live, clock)


def _closed(watch: Watch, live: LiveColumns, clock: int) -> Watch:
    watch.look(live.at(max(clock, watch.shown.timestamp)))
    return watch


def _tell(active: Sequence[Watch], columns: ItemColumns, changed: set[str]) -> None:
    for watch in active:
        if changed.isdisjoint(watch.shown.items):
            watch.hear(columns.leaders)
        else:
            watch.events.update(changed)
            watch.look(columns)


def _columns(world: Catalogue) -> ItemColumns:
    """Columns of the whole catalogue in the space in force, without activity."""
    space = world.space
    columns = ItemColumns(space.dim, max(len(world.items), 1))
    known = space.row_of if isinstance(space, BundleSpace) else {}
    for item_id in dict.fromkeys((*known, *world.items)):
        columns.put_item(world.item(item_id) or Item(item_id), space.vector(item_id))
    return columns
