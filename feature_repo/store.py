"""Feast's online store: rows written in batches, a person's row read at a request.

Writing goes straight to the online store's `online_write_batch` with values already in Feast's
protobuf: no data frame and no type inference on the way, which is most of what
`FeatureStore.write_to_online_store` spends its time on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore
from feast.protos.feast.types import Value_pb2 as pb
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.repo_config import RepoConfig
from feast.type_map import feast_value_type_to_python_type

from feature_repo import features
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

    The service says once which view and features to read; a read is then the online store's `online_read` of those.
    `get_online_features` gives the same and resolves the service anew at each call, which takes longer than the read.
    """

    def __init__(self, file: Path | None = None, timeout_s: float = 0.05) -> None:
        """`file` is a feature_store.yaml, as in `config`."""
        self._store = FeatureStore(config=config(file, timeout_s))
        self._online = self._store._get_provider().online_store
        (asked,) = self._store.get_feature_service(features.user_feed.name).feature_view_projections
        self._view = self._store.get_feature_view(asked.name)
        self._names = [feature.name for feature in asked.features]
        self._defaults = {f.name: f.default for f in features.DECLARED[features.user_activity.name].fields}

    def read(self, user_id: str) -> Mapping[str, Any] | None:
        """Field name → value; None for a person never heard of.

        Raises redis.exceptions.RedisError where the store does not answer in time.
        """
        key = EntityKey(join_keys=["user_id"], entity_values=[pb.Value(string_val=user_id)])
        # The list is the call's to change: Feast appends to it.
        ((_, found),) = self._online.online_read(self._store.config, self._view, [key], list(self._names))
        row = {name: feast_value_type_to_python_type(value) for name, value in (found or {}).items()}
        if row.get("state") is None:
            return None
        return {name: default if row.get(name) is None else row[name] for name, default in self._defaults.items()}

    def close(self) -> None:
        """Closes the connections."""
        close(self._store)


def close(store: FeatureStore) -> None:
    """Closes a Feast client's connections to Redis, which Feast itself leaves to the collector."""
    client = getattr(store._get_provider().online_store, "_client", None)
    if client is not None:
        client.close()
