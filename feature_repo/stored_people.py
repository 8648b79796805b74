"""The people in the online store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feast import FeatureStore
from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key_prefix

from feature_repo.redis_access import RedisAccess
from feature_repo.store import close, config

AT_ONCE = 1000
"""keys that one command looks at"""
TIMEOUT_S = 10.0


def people(file: Path | None = None, access: RedisAccess | None = None) -> Iterator[str]:
    """The ids of all people with a row, in no order, read bit by bit while others write: who is there throughout comes
    at least once, and may come twice. Arguments as of `config` (store.py).

    Raises redis.exceptions.RedisError where the store does not answer.
    """
    store = FeatureStore(config=config(file, TIMEOUT_S, access))
    online: Any = store._get_provider().online_store
    try:
        settings = store.config
        version = settings.entity_key_serialization_version
        prefix = serialize_entity_key_prefix(["user_id"], version)
        project = settings.project.encode()
        client = online._get_client(settings.online_store)
        for key in client.scan_iter(_literal(prefix) + b"*", AT_ONCE):
            if key.endswith(project):
                found = deserialize_entity_key(key[: -len(project)], version)
                if list(found.join_keys) == ["user_id"]:
                    yield found.entity_values[0].string_val
    finally:
        close(store)


def _literal(text: bytes) -> bytes:
    """As a pattern of Redis that stands for itself."""
    return b"".join(b"\\" + bytes([each]) if each in b"*?[]\\^-" else bytes([each]) for each in text)
