"""One typed object that reads the environment: every field is `FRESHET_` and its name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from feature_repo.lateness import LatenessSettings
from feature_repo.registry import DEFINITIONS

Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0)]


class ServingSettings(LatenessSettings):
    """Addresses, limits and patience of the server."""

    model_config = SettingsConfigDict(env_prefix="FRESHET_", env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    http_port: Port = 8000
    kafka: str = Field("127.0.0.1:19092", description="bootstrap servers")
    bundles: Path = Path(".freshet/bundles")
    feature_store: Path | None = Field(None, description="feature_store.yaml; the repository's own where not given")
    definitions: str = Field(DEFINITIONS, description="the package whose modules declare features and crosses")
    api_key: SecretStr | None = Field(None, description="when set, every /v1 call must carry it")

    store_timeout_ms: Positive = Field(50, description="how long a read of the online store may take")
    store_retry_ms: Positive = Field(250, description="how often a store that is away is tried")
    delivery_timeout_ms: Positive = Field(5000, description="how long the broker has to acknowledge")
    after_wait_ms: float = Field(15, ge=0, description="how long feed?after= waits for the store")
    after_poll_ms: Positive = Field(3, description="how often it looks in the meantime")
    own_events_s: Positive = Field(600, description="how long events produced here are kept for their person")
    catalogue_wait_s: Positive = Field(5, description="start without Kafka's catalogue after this long without news")
    body_limit: int = Field(1 << 20, ge=1024, description="bytes of a request's body")
    impressions_queue: int = Field(10_000, ge=1, description="lists shown that wait for Kafka at most")
    bundle_poll_s: Positive = 1.0
