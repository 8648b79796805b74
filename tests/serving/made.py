"""Small worlds for tests of the server: catalogues, models, people, and a server over fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import numpy as np
import numpy.typing as npt

from feature_repo.candidates import Candidates
from feature_repo.crosses import Cross
from feature_repo.inputs import INPUTS, names, stack
from feature_repo.views import OF_OTHERS, TASTE, item_region, user
from feature_repo.views import item as item_view
from operators.aggregator import ATTRIBUTES, FORMAT
from operators.contract import Row
from operators.hashes import HashLog, hash64
from operators.seen import KEEP, seen_slots
from operators.shown import NAMES as SHOWN_NAMES
from operators.space import Content
from recommend.index import ItemIndex
from recommend.item_space import ItemSpace
from recommend.model import Model, Parts
from recommend.pipeline import Pipeline
from schemas import codec
from schemas.clock import now_ms
from schemas.events import Event, Interaction, Item
from schemas.rules import RuleChange
from schemas.topics import RULES, AvroRecord, key_of, topic_of
from serving.app import create_app
from serving.catalogue import LiveCatalogue
from serving.producer import KafkaAway, Place
from serving.services import Services
from serving.settings import ServingSettings
from serving.variants import Variant

NOW = 1_767_225_600_000
DIM = 4
Score = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


class Ranker:
    """Scores by a function of the ranker's inputs; by default by the first of them, the similarity."""

    heads = ("score",)
    reads_declared = False

    def __init__(self, score: Score = lambda inputs: inputs[:, 0], crosses: Sequence[Cross] = ()) -> None:
        self._score, self._crosses = score, crosses
        self.names = names(crosses)
        self.pairs = tuple(value for cross in crosses for value in cross.values if value.second)

    def inputs(self, candidates: Candidates) -> npt.NDArray[np.float32]:
        return stack(candidates, (*INPUTS, *self._crosses))

    def run(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(self._score(inputs), np.float32)[:, None]

    def score(
        self, inputs: npt.NDArray[np.float32], objective: Mapping[str, float] | None = None
    ) -> npt.NDArray[np.float32]:
        return self._score(inputs)


def unit(vectors: Any) -> npt.NDArray[np.float32]:
    found = np.asarray(vectors, np.float32)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def model(
    of: LiveCatalogue,
    vectors: Mapping[str, Sequence[float]],
    score: Score | None = None,
    content: Mapping[str, Sequence[float]] | None = None,
    learned: Collection[str] | None = None,
    version: str = "v1",
    dim: int = DIM,
) -> Model:
    """Item id → vector, scaled to unit length; `content` the same for content tokens. Of the items of `learned` (all
    where not given) behaviour is part of the vector."""
    rows = unit(list(vectors.values())) if vectors else np.zeros((0, dim), np.float32)
    said = unit(list(content.values())) if content else np.zeros((0, dim), np.float32)
    origins = np.array([0 if learned is None or item_id in learned else 1 for item_id in vectors], np.uint64)
    index = ItemIndex(dim, None, len(rows))
    index.add(np.arange(len(rows)), rows)
    placed = np.array(of.rows_of(list(vectors)), np.int64)
    space = ItemSpace(
        f"space-{version}", rows, origins, Content(list(content or ()), said, dim), of.columns, placed, index
    )
    ranker = Ranker(score) if score else Ranker()
    parts = Parts(space, None, ranker, {"score": 1.0})  # type: ignore[arg-type]
    return Model(version, {"items": space}, space, {"home": parts, "similar": Parts(space)})


def install(of: LiveCatalogue, found: Model) -> None:
    """Joins the model and puts it alone in force."""
    of.join(found)
    of.serve(found)


def catalogue(
    items: Iterable[Item], vectors: Mapping[str, Sequence[float]] | None = None, **others: Any
) -> LiveCatalogue:
    """The items, and a model of those that have a vector; no model without vectors."""
    found = LiveCatalogue()
    if vectors is not None:
        install(found, model(found, vectors, **others))
    for item in items:
        found.put_item(item)
    return found


def pipeline(of: LiveCatalogue) -> Pipeline:
    return Pipeline(of.columns, of.model)


def popular(of: LiveCatalogue, values: Mapping[str, float], region: str = "") -> None:
    """Sets popularity, of a region where one is named."""
    for item_id, value in values.items():
        view, key = (item_region, (item_id, region)) if region else (item_view, (item_id,))
        named = {"popularity": value}
        row = Row(view.name, key, tuple(named.get(f.name, f.default) for f in view.fields))
        of.columns.put_features(row)


def person(recent: Sequence[tuple[str, str]] = (), **values: Any) -> dict[str, Any]:
    """A row of user_activity; `recent` is (event type, item), newest first, a minute apart."""
    row = {f.name: f.default for f in user.fields} | {
        "state": bytes([0x98, FORMAT]),
        "recent_items": [item for _, item in recent],
        "recent_types": [kind for kind, _ in recent],
        "recent_times": [NOW - n * 60_000 for n in range(len(recent))],
        "recent_tastes": [TASTE.get(kind, 0.0) for kind, _ in recent],
    }
    assert values.keys() <= row.keys()
    return row | values


def met(items: Iterable[str]) -> dict[str, Any]:
    """The fields of a row that say that these items have been met."""
    log = HashLog("seen", seen_slots(KEEP))
    for item in items:
        log.append(hash64(item))
    return dict(log.cells)


def click(event_id: str = "e1", user_id: str = "u1", item_id: str = "i1", at: int = NOW, **others: Any) -> Interaction:
    return Interaction(event_id, others.pop("event_type", "click"), user_id, at, item_id, **others)


# -- a server over fakes ---------------------------------------------------------------------------


class Rows:
    """The online store: rows by person, or an error while it is away."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, Any]] = {}
        self.pairs: dict[tuple[str, str, str], dict[str, Any]] = {}
        """by person, view and second key"""
        self.error: Exception | None = None
        self.reads = self.reads_of_pairs = self.reads_of_people = 0
        self.asked_of_people: list[tuple[list[str], tuple[str, ...]]] = []
        """people and fields of each read of several"""

    def read(self, user_id: str, attributes: bool = False, shown: bool = False) -> dict[str, Any] | None:
        self.reads += 1
        if self.error:
            raise self.error
        row = self.of.get(user_id)
        if row is None:
            return None
        left_out = set() if shown else set(SHOWN_NAMES)
        found = {name: value for name, value in row.items() if name not in left_out}
        return found if attributes else {**found, ATTRIBUTES: b""}

    def read_people(self, user_ids: Sequence[str], fields: Sequence[str] = OF_OTHERS) -> dict[str, dict[str, Any]]:
        self.reads_of_people += 1
        self.asked_of_people.append((list(user_ids), tuple(fields)))
        if self.error:
            raise self.error
        found = {user_id: self.of[user_id] for user_id in user_ids if user_id in self.of}
        return {user_id: {name: row[name] for name in fields} for user_id, row in found.items()}

    def read_pairs(self, user_id: str, asked: Mapping[str, Sequence[str]]) -> dict[str, dict[str, dict[str, Any]]]:
        self.reads_of_pairs += 1
        if self.error:
            raise self.error
        return {
            view: {name: row for name in names if (row := self.pairs.get((user_id, view, name))) is not None}
            for view, names in asked.items()
        }


class Log:
    """Kafka: topics of four partitions. Events whose id is in `unacknowledged` are not stored."""

    def __init__(self) -> None:
        self.stored: list[tuple[Place, Event]] = []
        self.away = False
        self.unacknowledged: set[str] = set()
        self.readers: list[Callable[[AvroRecord], object]] = []
        """are called with each event that is stored"""

    async def append(self, events: Sequence[Event]) -> list[Place | None]:
        if self.away:
            raise KafkaAway("away")
        return [self._place(event) for event in events]

    def send(self, event: Event, done: Callable[[Place | None], None]) -> None:
        if self.away:
            raise KafkaAway("away")
        done(self._place(event))

    async def close(self) -> None:
        pass

    def _place(self, event: Event) -> Place | None:
        if getattr(event, "event_id", "") in self.unacknowledged:
            return None
        topic, partition = topic_of(event), crc32(key_of(event)) % 4
        offset = sum(p.topic == topic and p.partition == partition for p, _ in self.stored)
        self.stored.append((Place(topic, partition, offset, now_ms()), event))
        place = self.stored[-1][0]
        for read in self.readers:
            read(event)
        return place


class Api:
    """The whole application over a fake store and a fake Kafka, spoken to over ASGI. Time passes for its background
    tasks only while it answers."""

    def __init__(self, bundles: Path, **settings: Any) -> None:
        self.rows, self.log = Rows(), Log()
        given = ServingSettings(bundles=bundles, **{"records": bundles.parent / "answers.db", **settings})
        app = create_app(given, lambda s: Services.of(s, lambda: self.rows, self.log), follow=False)  # type: ignore[arg-type]
        self.services: Services = app.state.services
        self.log.readers.append(self._follow)
        self._runner = asyncio.Runner()
        self._lifespan = app.router.lifespan_context(app)
        self.run(self._lifespan.__aenter__())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://server")

    def _follow(self, event: AvroRecord) -> None:
        """What the threads that follow and compile rules do, at once."""
        if isinstance(event, RuleChange):
            self.services.rules.on_record(RULES, event.name.encode(), codec.encode(event))
            self.services.rules.refresh()

    def run(self, work: Any) -> Any:
        """The result of a coroutine in the server's loop."""
        return self._runner.run(work)

    def close(self) -> None:
        self.run(self._client.aclose())
        self.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def ask(self, method: str, path: str, **others: Any) -> httpx.Response:
        return self.run(self._client.request(method, path, **others))  # type: ignore[no-any-return]

    def get(self, path: str, **query: Any) -> httpx.Response:
        """`query` beside what stands in the path: httpx would put it in the place of that."""
        path, _, given = path.partition("?")
        return self.ask("GET", path, params=httpx.QueryParams(given).merge(query) if given else query)

    def post(self, path: str, document: Any, **others: Any) -> httpx.Response:
        return self.ask("POST", path, json=document, **others)

    def stock(self, items: Iterable[Item], vectors: Mapping[str, Sequence[float]] | None = None, **others: Any) -> None:
        """Puts a catalogue and a model in force."""
        of, models = self.services.catalogue, self.services.models
        with models._lock:  # the loader looks at the folder of bundles meanwhile
            if vectors is not None:
                install(of, model(of, vectors, **others))
            for item in items:
                of.put_item(item)
            models.variants = replace(models.variants, default=Variant("default", self.pipeline()))

    def pipeline(self) -> Pipeline:
        """As the loader makes it."""
        of, rules = self.services.catalogue, self.services.rules
        return Pipeline(of.columns, of.model, rules=lambda: rules.in_force)
