"""Feast's online store: rows written in batches, a person's row read at a request.

Rows are written in the layout of Feast's Redis store, as its `online_write_batch` does, and that is all they share:
Feast hashes the names of a view's fields anew for each row and asks the store once a view, which takes longer than
what a row has to say. A test holds the two together, byte by byte.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from operator import ne
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore
from feast.infra.online_stores.helpers import _redis_key
from feast.protos.feast.types import Value_pb2 as pb
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.repo_config import RepoConfig
from google.protobuf.timestamp_pb2 import Timestamp
from redis import Redis

from feature_repo import features
from feature_repo.reads import NO_READS, Reads
from feature_repo.redis_access import RedisAccess
from feature_repo.repository import EMPTY, Repository
from feature_repo.values import DECODE, ENCODE
from feature_repo.views import MET_BEFORE, OF_OTHERS
from operators.aggregator import ATTRIBUTES
from operators.contract import Row

FOLDER = Path(__file__).parent

KEYS_KEPT = 20_000
"""keys whose serialized form is kept"""
ROWS_KEPT = 20_000
"""rows whose values are kept, so that the next write has what has changed alone: some 6 kB each"""

log = logging.getLogger(__name__)
Rows = Mapping[str, Mapping[str, Any]]


def config(file: Path | None = None, timeout_s: float | None = None, access: RedisAccess | None = None) -> RepoConfig:
    """The configuration in `file` (a feature_store.yaml; the repository's own by default), with
    Redis socket timeouts where given, and the password and TLS of `access`, the environment's where not given."""
    document = yaml.safe_load((file or FOLDER / "feature_store.yaml").read_text())
    online = document["online_store"]
    online["connection_string"] = (access or RedisAccess()).connection_string(online["connection_string"])
    if timeout_s is not None:
        document["online_store"]["connection_string"] += (
            f",socket_timeout={timeout_s},socket_connect_timeout={timeout_s}"
        )
    return RepoConfig(repo_path=FOLDER, **document)


class Writer:
    """Writes rows of any views in one round trip; a row without values is deleted.

    It writes the fields that have changed since it wrote the row last, which is right because no other process writes
    the same keys meanwhile: Flink gives a key to one task, and a task that is restarted has a new writer. A row of
    which the store has lost fields (it was emptied, or the row expired) shows in the store's answer, and is written
    whole.
    """

    def __init__(
        self,
        file: Path | None = None,
        timeout_s: float = 5.0,
        declared: Repository = EMPTY,
        access: RedisAccess | None = None,
        *,
        clock: Callable[[], int],
    ) -> None:
        """`file` and `access` as in `config`; `declared` has the views in addition to the main path's; `clock` gives
        epoch ms, the time of a write."""
        self._clock = clock
        self._store = FeatureStore(config=config(file, timeout_s, access))
        online: Any = self._store._get_provider().online_store
        settings: Any = self._store.config.online_store
        client = online._get_client(settings)
        self._send = self._by_connection if isinstance(client, Redis) else self._by_pipeline
        self._client: Any = client
        self._connection: Any = client.connection_pool.make_connection() if isinstance(client, Redis) else None
        self._ttl = settings.key_ttl_seconds
        self._columns = {
            view.name: (
                tuple(f"{entity}_id" for entity in view.entities),
                f"_ts:{view.name}",
                _hashed(online, view.name, (field.name for field in view.fields)),
                [ENCODE[field.dtype] for field in view.fields],
            )
            for view in (features.DECLARED | declared.views).values()
        }
        self._key = lru_cache(KEYS_KEPT)(self._redis_key)
        self._written: dict[tuple[str, tuple[str, ...]], tuple[Any, ...]] = {}
        """the values last written, by view and key, the oldest first"""

    def write(self, rows: Iterable[Row]) -> None:
        """Writes the rows: whole where this writer has not written them lately, else the fields that have changed.

        Raises redis.exceptions.RedisError where the store cannot be reached; writing the same rows again is harmless.
        """
        try:
            lost = self._write(rows)
            if lost:
                log.warning("%d rows were not in the store any more; they are written anew", len(lost))
                self._write(lost)
        except BaseException:
            # What has arrived is not known, and a store that comes back may have lost all: every row is written whole.
            self._written.clear()
            raise

    def _write(self, rows: Iterable[Row]) -> list[Row]:
        """Writes the rows. Returns those of which the store had lost fields that were not written."""
        seconds, ms = divmod(self._clock(), 1000)
        at = Timestamp(seconds=seconds, nanos=ms * 1_000_000).SerializeToString()
        commands: list[tuple[Any, ...]] = []
        partial: dict[int, Row] = {}
        written = self._written
        for row in rows:
            joins, stamp, names, encoders = self._columns[row.view]
            known = (row.view, row.key)
            key, before = self._key(joins, row.key), written.pop(known, None)
            if not row.values:
                commands.append(("HDEL", key, stamp, *names))
                continue
            cells = ["HSET", key, stamp, at]
            fields: Iterable[tuple[Any, Callable[[Any], bytes], Any]] = zip(names, encoders, row.values, strict=True)
            if before is not None:
                fields = compress(fields, map(ne, row.values, before))
                partial[len(commands)] = row
            for name, encode, value in fields:
                cells.append(name)
                cells.append(encode(value))
            written[known] = row.values
            commands.append(tuple(cells))
            if self._ttl:
                commands.append(("EXPIRE", key, self._ttl))
        while len(written) > ROWS_KEPT:
            del written[next(iter(written))]
        # HSET answers how many fields are new: none of a row that is there whole.
        answers = self._send(commands) if commands else []
        lost = {(row.view, row.key): row for n, row in partial.items() if answers[n]}
        for place in lost:
            written.pop(place, None)
        return list(lost.values())

    def _by_connection(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """One server: without what a pipeline does beside sending and reading, 7 % of a small write."""
        connection: Any = self._connection
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            return [connection.read_response() for _ in commands]
        except BaseException:
            connection.disconnect()  # or the answers that are left would be taken for those of the next rows
            raise

    def _by_pipeline(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """A cluster: each to the server that has its key."""
        with self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(pipe.execute())

    def _redis_key(self, joins: tuple[str, ...], of: tuple[str, ...]) -> bytes:
        config = self._store.config
        key: bytes = _redis_key(config.project, _entity_key(joins, of), config.entity_key_serialization_version)
        return key

    def close(self) -> None:
        """Closes the connections."""
        if self._connection is not None:
            self._connection.disconnect()
        close(self._store)


class UserReader:
    """Reads a person's row through the feature service `user_feed`.

    The service says once which features of which views to read. All views of a person are one hash in Feast's Redis, so
    that a read of them is one command. `get_online_features` gives the same and resolves the service anew at each call,
    which takes longer than the read.
    """

    def __init__(
        self,
        file: Path | None = None,
        timeout_s: float = 0.05,
        reads: Reads = NO_READS,
        access: RedisAccess | None = None,
    ) -> None:
        """`file` and `access` as in `config`; `reads` is what crosses read of pairs."""
        self._store = FeatureStore(config=config(file, timeout_s, access))
        self._online: Any = self._store._get_provider().online_store
        main = features.user_activity.name
        asked = self._store.get_feature_service(features.user_feed.name).feature_view_projections
        found = [(view.name, feature.name) for view in asked for feature in view.features]
        dtypes = {(v.name, f.name): f.dtype for v in features.DECLARED.values() for f in v.fields}
        own = main, features.user_controls.name, features.user_follows.name
        shown = features.DECLARED[features.user_shown.name]
        self._shown = [(field.name, DECODE[field.dtype]) for field in shown.fields]
        self._shown_hashed = _hashed(self._online, shown.name, (field.name for field in shown.fields))
        self._decoders = [
            (name if view in own else f"{view}:{name}", DECODE[dtypes[view, name]]) for view, name in found
        ]
        self._hashed = [
            key
            for view in asked
            for key in _hashed(self._online, view.name, (feature.name for feature in view.features))
        ]
        (self._attributes,) = _hashed(self._online, main, [ATTRIBUTES])
        self._defaults = {f.name: f.default for f in features.DECLARED[main].fields}
        of_main = {f.name: f.dtype for f in features.DECLARED[main].fields}
        others = (*OF_OTHERS, *MET_BEFORE)
        keys = _hashed(self._online, main, others)
        self._others = {name: (DECODE[of_main[name]], key) for name, key in zip(others, keys, strict=True)}
        self._pairs = {}
        for name, values in reads.pairs.items():
            view, fields = features.VIEWS[name], [value.field.name for value in values]
            joins = [f"{entity}_id" for entity in view.entities]
            decoders = [(value.field.name, DECODE[value.field.dtype]) for value in values]
            self._pairs[name] = joins, decoders, _hashed(self._online, name, fields)

    def read(self, user_id: str, attributes: bool = False, shown: bool = False) -> Mapping[str, Any] | None:
        """Field name → value of `user_activity`, of `user_controls` and `user_follows` where the person has any, and
        view:field → value of what crosses read; None for a person without a row. The attributes of the profile, which
        may be large, are read where asked for, and else empty; so are the fields of `user_shown`, which else are not
        there.

        Raises redis.exceptions.RedisError where the store does not answer in time.
        """
        hashed = [*self._hashed, self._attributes] if attributes else self._hashed
        decoders = [*self._decoders, (ATTRIBUTES, DECODE["bytes"])] if attributes else self._decoders
        if shown:
            hashed, decoders = [*hashed, *self._shown_hashed], [*decoders, *self._shown]
        (packed,) = self._read([_entity_key(["user_id"], [user_id])], [hashed])
        row = _unpacked(decoders, packed)
        if "state" not in row:
            return None
        return {**self._defaults, **row}

    def read_people(self, user_ids: Sequence[str], fields: Sequence[str] = OF_OTHERS) -> Rows:
        """Fields, of OF_OTHERS and MET_BEFORE, of several people's rows, of those who have one, in one round trip:
        user id → field name → value. Raises as `read`."""
        decoders = [(name, self._others[name][0]) for name in fields]
        hashed = [self._others[name][1] for name in fields]
        keys = [_entity_key(["user_id"], [user_id]) for user_id in user_ids]
        rows = (_unpacked(decoders, each) for each in (self._read(keys, [hashed] * len(keys)) if keys else []))
        defaults = {name: self._defaults[name] for name in fields}
        return {user_id: defaults | row for user_id, row in zip(user_ids, rows, strict=True) if row}

    def read_pairs(self, user_id: str, asked: Mapping[str, Sequence[str]]) -> Mapping[str, Rows]:
        """The person's rows in views of pairs, all in one round trip: view → second key → field name → value, of those
        that there are. Raises as `read`."""
        keys, hashed = [], []
        for view, names in asked.items():
            joins, _, own = self._pairs[view]
            keys += [_entity_key(joins, [user_id, name]) for name in names]
            hashed += [own] * len(names)
        packed = iter(self._read(keys, hashed))
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for view, names in asked.items():
            rows = {name: _unpacked(self._pairs[view][1], next(packed)) for name in names}
            found[view] = {name: row for name, row in rows.items() if row}
        return found

    def _read(self, keys: list[EntityKey], hashed: list[list[Any]]) -> list[list[bytes | None]]:
        found = self._online._generate_redis_keys_for_entities(self._store.config, keys)
        return list(self._online._read_hash_fields(self._store.config, list(zip(found, hashed, strict=True))))

    def close(self) -> None:
        """Closes the connections."""
        close(self._store)


def _hashed(online: Any, view: str, names: Iterable[str]) -> list[Any]:
    """What the view's fields are called in a hash of Feast's Redis."""
    _, keys = online._generate_hset_keys_for_features(None, list(names), fv_name_override=view)
    return list(keys[:-1])  # the last is the time of writing


def _entity_key(joins: Sequence[str], values: Sequence[str]) -> EntityKey:
    return EntityKey(join_keys=joins, entity_values=[pb.Value(string_val=value) for value in values])


def _unpacked(decoders: Sequence[tuple[str, Callable[[bytes], Any]]], packed: Iterable[bytes | None]) -> dict[str, Any]:
    """Name → value of what is there; a value that is null takes no bytes."""
    return {name: decode(each) for (name, decode), each in zip(decoders, packed, strict=True) if each}


def close(store: FeatureStore) -> None:
    """Closes a Feast client's connections to Redis, which Feast itself leaves to the collector."""
    client = getattr(store._get_provider().online_store, "_client", None)
    if client is not None:
        client.close()
