"""The server's settings: each field is read from the environment variable `FRESHET_` and its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from feature_repo.consent import ConsentSettings
from feature_repo.lateness import LatenessSettings
from feature_repo.registry import DEFINITIONS
from follow.connection import Connection, KafkaSecurity

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+")
WHERE_SHOWN = (
    "where the server has an API key (FRESHET_API_KEY), or where FRESHET_LIST_USERS=true, fit for public data "
    "only, allows everybody to read profiles"
)
"""ends a sentence about what is refused where profiles are not shown"""
Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0)]


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _origin(value: str) -> str:
    if value != "*" and not ORIGIN.fullmatch(value):
        raise ValueError(f"{value!r} is no origin: write scheme://host or scheme://host:port, without a path, or *")
    return value


Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)]


class ServingSettings(LatenessSettings, ConsentSettings):
    """Addresses, limits and time-outs of the server."""

    model_config = SettingsConfigDict(env_prefix="FRESHET_", env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    http_port: Port = 8000
    server_processes: int = Field(
        1, ge=1, le=64, description="processes on one port, each with a catalogue, an index and limits of its own"
    )
    kafka: str = Field("127.0.0.1:19092", description="bootstrap servers")
    bundles: Path = Path(".freshet/bundles")
    feature_store: Path | None = Field(None, description="feature_store.yaml; the repository's own where not given")
    definitions: str = Field(DEFINITIONS, description="the package whose modules declare features and crosses")
    surfaces: str = Field("", description="a module or package of your own surfaces, besides the built-in ones")
    api_key: SecretStr | None = Field(None, description="when set, every /v1 call must carry it")

    store_timeout_ms: Positive = Field(50, description="time-out of a read of the online store")
    store_retry_ms: Positive = Field(250, description="interval between attempts to reach a store that is away")
    delivery_timeout_ms: Positive = Field(5000, description="time-out of the broker's acknowledgement")
    after_wait_ms: float = Field(15, ge=0, description="how long feed?after= waits for the store")
    after_poll_ms: Positive = Field(3, description="interval between its reads meanwhile")
    own_events_s: Positive = Field(600, description="how long events produced here are kept for their person")
    cursor_key: SecretStr | None = Field(
        None, description="signs the cursors of pages, the same for all servers; made of the API key where not given"
    )
    cursor_s: Positive = Field(3600, description="how long a cursor can be used for the next page")
    catalogue_wait_s: Positive = Field(
        5, description="ready without the catalogue after this long without a record from Kafka"
    )
    reads_in_work: int = Field(8, ge=1, description="GET requests in work at once")
    writes_in_work: int = Field(
        64, ge=1, description="POST requests in work at once, most of which wait for the broker"
    )
    queue_limit: int = Field(
        512, ge=0, description="requests of each kind that may wait; beyond that the answer is 503"
    )
    queue_wait_ms: Positive = Field(2000, description="how long a request may wait before the answer is 503")
    keep_alive_s: int = Field(75, ge=1, description="an idle connection is closed after this long")
    body_limit: int = Field(1 << 20, ge=1024, description="bytes of a request's body, once it is decompressed")
    body_wait_s: Positive = Field(10, description="how long the body of a request may take to arrive")
    compress_from: int = Field(
        0, ge=0, description="answers of at least this many bytes are compressed for clients that accept gzip; 0: none"
    )
    cors_origins: Origins = Field(
        (), description="origins whose pages may call the API, separated by commas; * is any of them"
    )
    list_users: bool = Field(
        False, description="GET /v1/users lists profiles, and filters read their attributes, although no API key is set"
    )
    people: int = Field(
        50_000, ge=0, description="people, those who were active last, who are kept to find people alike; 0: none"
    )
    impressions_queue: int = Field(10_000, ge=1, description="impressions that wait for Kafka at most")
    record_share: float = Field(
        0, ge=0, le=1, description="share of the answers that are recorded, for `freshet explain`"
    )
    records: Path = Field(Path(".freshet/answers.db"), description="the SQLite file of recorded answers")
    record_days: Positive = Field(7, description="how long recorded answers are kept")
    record_mb: int = Field(512, ge=1, description="MiB of recorded answers that are kept")
    record_queue: int = Field(200, ge=1, description="recorded answers that wait to be encoded at most")
    bundle_poll_s: Positive = 1.0
    kafka_security: KafkaSecurity = Field(default_factory=KafkaSecurity, exclude=True)

    @property
    def shows_profiles(self) -> bool:
        """Whether callers may read profiles, which are personal data."""
        return self.api_key is not None or self.list_users

    @property
    def connection(self) -> Connection:
        """Kafka's address and security."""
        return Connection(self.kafka, self.kafka_security)
