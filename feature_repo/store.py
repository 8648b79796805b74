"""Feast's online store: rows written in batches, a person's row read at a request.

Rows are written in the layout of Feast's Redis store, as its `online_write_batch` does, and that is all they share:
Feast hashes the names of a view's fields anew for each row and asks the store once a view, which takes longer than
what a row has to say. A test holds the two together, byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore
from feast.infra.online_stores.helpers import _redis_key
from feast.protos.feast.types import Value_pb2 as pb
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.repo_config import RepoConfig
from feast.type_map import feast_value_type_to_python_type
from google.protobuf.timestamp_pb2 import Timestamp
from redis import Redis

from feature_repo import features
from feature_repo.reads import NO_READS, Reads
from feature_repo.redis_access import RedisAccess
from feature_repo.repository import EMPTY, Repository
from feature_repo.values import ENCODE
from operators.contract import Row

FOLDER = Path(__file__).parent

KEYS_KEPT = 20_000
"""keys whose serialized form is kept"""


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
    """Writes whole rows of any views in one round trip."""

    def __init__(
        self,
        file: Path | None = None,
        timeout_s: float = 5.0,
        declared: Repository = EMPTY,
        access: RedisAccess | None = None,
    ) -> None:
        """`file` and `access` as in `config`; `declared` is what there is beside the main path's views."""
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

    def write(self, rows: Iterable[Row]) -> None:
        """Writes the rows. Raises redis.exceptions.RedisError where the store cannot be reached;
        writing the same rows again is harmless."""
        now = Timestamp()
        now.GetCurrentTime()
        written = now.SerializeToString()
        commands: list[tuple[Any, ...]] = []
        for row in rows:
            joins, at, names, encoders = self._columns[row.view]
            key = self._key(joins, row.key)
            cells = ["HSET", key, at, written]
            for name, encode, value in zip(names, encoders, row.values, strict=True):
                cells.append(name)
                cells.append(encode(value))
            commands.append(tuple(cells))
            if self._ttl:
                commands.append(("EXPIRE", key, self._ttl))
        if commands:
            self._send(commands)

    def _by_connection(self, commands: list[tuple[Any, ...]]) -> None:
        """One server: without what a pipeline does beside sending and reading, 7 % of a small write."""
        connection: Any = self._connection
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                connection.read_response()
        except BaseException:
            connection.disconnect()  # or the answers that are left would be taken for those of the next rows
            raise

    def _by_pipeline(self, commands: list[tuple[Any, ...]]) -> None:
        """A cluster: each to the server that has its key."""
        with self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            pipe.execute()

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
        self._names = [name if view == main else f"{view}:{name}" for view, name in found]
        self._hashed = [
            key
            for view in asked
            for key in _hashed(self._online, view.name, (feature.name for feature in view.features))
        ]
        self._defaults = {f.name: f.default for f in features.DECLARED[main].fields}
        self._pairs = {}
        for name, values in reads.pairs.items():
            view, fields = features.VIEWS[name], [value.field.name for value in values]
            joins = [f"{entity}_id" for entity in view.entities]
            self._pairs[name] = joins, fields, _hashed(self._online, name, fields)

    def read(self, user_id: str) -> Mapping[str, Any] | None:
        """Field name → value, and view:field → value of what crosses read; None for a person never heard of.

        Raises redis.exceptions.RedisError where the store does not answer in time.
        """
        (packed,) = self._read([_entity_key(["user_id"], [user_id])], self._hashed)
        row = _unpacked(self._names, packed)
        if "state" not in row:
            return None
        return {**self._defaults, **row}

    def read_pairs(self, user_id: str, view: str, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """The person's rows in a view of pairs, in one round trip: second key → field name → value, of those that
        there are. Raises as `read`."""
        joins, fields, hashed = self._pairs[view]
        found = self._read([_entity_key(joins, [user_id, name]) for name in names], hashed)
        rows = {name: _unpacked(fields, packed) for name, packed in zip(names, found, strict=True)}
        return {name: row for name, row in rows.items() if row}

    def _read(self, keys: list[EntityKey], hashed: list[Any]) -> list[list[bytes | None]]:
        config, online = self._store.config, self._online
        found = online._generate_redis_keys_for_entities(config, keys)
        return list(online._read_hash_fields(config, [(key, hashed) for key in found]))

    def close(self) -> None:
        """Closes the connections."""
        close(self._store)


def _hashed(online: Any, view: str, names: Iterable[str]) -> list[Any]:
    """What the view's fields are called in a hash of Feast's Redis."""
    _, keys = online._generate_hset_keys_for_features(None, list(names), fv_name_override=view)
    return list(keys[:-1])  # the last is the time of writing


def _entity_key(joins: Sequence[str], values: Sequence[str]) -> EntityKey:
    return EntityKey(join_keys=joins, entity_values=[pb.Value(string_val=value) for value in values])


def _unpacked(names: Sequence[str], packed: Iterable[bytes | None]) -> dict[str, Any]:
    """Name → value of what is there."""
    found = {}
    for name, each in zip(names, packed, strict=True):
        if each:
            value = feast_value_type_to_python_type(pb.Value.FromString(each))
            if value is not None:
                found[name] = value
    return found


def close(store: FeatureStore) -> None:
    """Closes a Feast client's connections to Redis, which Feast itself leaves to the collector."""
    client = getattr(store._get_provider().online_store, "_client", None)
    if client is not None:
        client.close()
