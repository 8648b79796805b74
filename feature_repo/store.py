"""Feast's online store: rows written in batches, a person's row read at a request.

Writing goes straight to the online store's `online_write_batch` with values already in Feast's
protobuf: no data frame and no type inference on the way, which is most of what
`FeatureStore.write_to_online_store` spends its time on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore, FeatureView
from feast.protos.feast.types import Value_pb2 as pb
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.repo_config import RepoConfig
from feast.type_map import feast_value_type_to_python_type

from feature_repo import features
from feature_repo.crosses import NOTHING, Reads
from feature_repo.registry import EMPTY, Repository
from operators.contract import Row

FOLDER = Path(__file__).parent

PROTO: dict[str, Callable[[Any], pb.Value]] = {
    "int64": lambda v: pb.Value(int64_val=v),
    "float32": lambda v: pb.Value(float_val=v),
    "float64": lambda v: pb.Value(double_val=v),
    "string": lambda v: pb.Value(string_val=v),
    "bool": lambda v: pb.Value(bool_val=v),
    "bytes": lambda v: pb.Value(bytes_val=v),
    "int64[]": lambda v: pb.Value(int64_list_val=pb.Int64List(val=v)),
    "float32[]": lambda v: pb.Value(float_list_val=pb.FloatList(val=v)),
    "string[]": lambda v: pb.Value(string_list_val=pb.StringList(val=v)),
    "bool[]": lambda v: pb.Value(bool_list_val=pb.BoolList(val=v)),
}


def config(file: Path | None = None, timeout_s: float | None = None) -> RepoConfig:
    """The configuration in `file` (a feature_store.yaml; the repository's own by default), with
    Redis socket timeouts where given."""
    document = yaml.safe_load((file or FOLDER / "feature_store.yaml").read_text())
    if timeout_s is not None:
        document["online_store"]["connection_string"] += (
            f",socket_timeout={timeout_s},socket_connect_timeout={timeout_s}"
        )
    return RepoConfig(repo_path=FOLDER, **document)


class Writer:
    """Writes whole rows of any view, one round trip a view."""

    def __init__(self, file: Path | None = None, timeout_s: float = 5.0, declared: Repository = EMPTY) -> None:
        """`file` is a feature_store.yaml, as in `config`; `declared` is what there is beside the main path's views."""
        views = features.DECLARED | declared.views
        self._views = features.VIEWS | {name: features.feature_view(view) for name, view in declared.views.items()}
        self._store = FeatureStore(config=config(file, timeout_s))
        self._config = self._store.config
        self._online = self._store._get_provider().online_store
        self._fields = {name: [(f.name, PROTO[f.dtype]) for f in view.fields] for name, view in views.items()}
        self._join_keys = {name: [f"{e}_id" for e in view.entities] for name, view in views.items()}

    def write(self, rows: Iterable[Row]) -> None:
        """Writes the rows. Raises redis.exceptions.RedisError where the store cannot be reached;
        writing the same rows again is harmless."""
        now = datetime.now(UTC)
        by_view: dict[str, list[tuple[EntityKey, dict[str, pb.Value], datetime, datetime | None]]] = defaultdict(list)
        for row in rows:
            by_view[row.view].append(
                (
                    EntityKey(
                        join_keys=self._join_keys[row.view],
                        entity_values=[pb.Value(string_val=part) for part in row.key],
                    ),
                    {name: make(value) for (name, make), value in zip(self._fields[row.view], row.values, strict=True)},
                    now,
                    None,
                )
            )
        for name, data in by_view.items():
            self._online.online_write_batch(self._config, self._views[name], data, None)

    def close(self) -> None:
        """Closes the connections."""
        close(self._store)


class UserReader:
    """Reads a person's row through the feature service `user_feed`.

    The service says once which features of which views to read. All views of a person are one hash in Feast's Redis, so
    that a read of them is one command. `get_online_features` gives the same and resolves the service anew at each call,
    which takes longer than the read.
    """

    def __init__(self, file: Path | None = None, timeout_s: float = 0.05, reads: Reads = NOTHING) -> None:
        """`file` is a feature_store.yaml, as in `config`; `reads` is what crosses read of pairs."""
        self._store = FeatureStore(config=config(file, timeout_s))
        self._online: Any = self._store._get_provider().online_store
        main = features.user_activity.name
        asked = self._store.get_feature_service(features.user_feed.name).feature_view_projections
        found = [(view.name, feature.name) for view in asked for feature in view.features]
        self._names = [name if view == main else f"{view}:{name}" for view, name in found]
        self._hashed = [
            key
            for view in asked
            for key in self._keys(self._store.get_feature_view(view.name), [f.name for f in view.features])
        ]
        self._defaults = {f.name: f.default for f in features.DECLARED[main].fields}
        self._pairs = {}
        for name, values in reads.pairs.items():
            view, fields = features.VIEWS[name], [value.field.name for value in values]
            joins = [f"{entity}_id" for entity in view.entities]
            self._pairs[name] = joins, fields, self._keys(view, fields)

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

    def _keys(self, view: FeatureView, names: list[str]) -> list[Any]:
        """What the fields are called in a hash of Feast's Redis."""
        _, keys = self._online._generate_hset_keys_for_features(view, list(names))
        return list(keys[: len(names)])  # the last is the time of writing

    def _read(self, keys: list[EntityKey], hashed: list[Any]) -> list[list[bytes | None]]:
        config, online = self._store.config, self._online
        found = online._generate_redis_keys_for_entities(config, keys)
        return list(online._read_hash_fields(config, [(key, hashed) for key in found]))

    def close(self) -> None:
        """Closes the connections."""
        close(self._store)


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
