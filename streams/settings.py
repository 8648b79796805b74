"""The job's settings, from the environment (`FRESHET_…`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from feature_repo.consent import ConsentSettings
from feature_repo.lateness import LatenessSettings
from feature_repo.redis_access import RedisAccess
from feature_repo.registry import DEFINITIONS
from follow.connection import Connection, KafkaSecurity
from operators.attribution import Attribution
from operators.time import minutes


class JobSettings(LatenessSettings, ConsentSettings):
    """Sent with the job to every task manager, so that they need no environment of their own."""

    model_config = SettingsConfigDict(env_prefix="FRESHET_", env_ignore_empty=True, extra="ignore", frozen=True)

    kafka: str = "127.0.0.1:19092"
    kafka_security: KafkaSecurity = Field(default_factory=KafkaSecurity)
    """TLS and SASL, from variables of their own (`FRESHET_KAFKA_…`)"""
    redis_access: RedisAccess = Field(default_factory=RedisAccess)
    """password and TLS of the online store, from variables of their own (`FRESHET_REDIS_…`)"""
    feature_store: Path | None = None
    """feature_store.yaml; the feature repository's own where not given"""
    bundles: Path = Path(".freshet/bundles")
    definitions: str = DEFINITIONS
    """the package whose modules declare features"""
    parallelism: int = 1

    checkpoints: str = ""
    """where checkpoints go, a URI; none are taken where empty"""
    checkpoint_seconds: float = Field(30.0, gt=0)
    """Each closes the archive's files, which holds clicks up for some 50 ms, and it is what a crash repeats."""
    savepoint: str = ""
    """checkpoint or savepoint to resume from"""
    archive: str = ""
    """where accepted events are kept in Parquet, a URI; nowhere where empty or where no checkpoints are taken"""
    seeds: Path | None = None
    """states of new features, from a backfill (streams/backfilled.py)"""
    state_backend: Literal["hashmap", "rocksdb"] = "hashmap"
    flink_port: int = 0
    """set where the job runs in a mini cluster of its own: the port of Flink's page"""
    jars: str = ""
    """connector jars, URIs joined with ";" (a cluster may have them in its lib folder)"""

    attribution_minutes: float = 30.0
    """for how long what a person does labels what they were shown; 0: nothing is labelled"""
    attribution_late_minutes: float = 5.0
    """how much longer an interaction from within that time may come"""
    write_ms: int = Field(10, gt=0)
    """rows of users reach the store at once; where events are late, and where a row changes by itself, at the next
    multiple of this"""
    item_write_ms: int = Field(3000, gt=0)
    """rows of items, which change with everybody's events, reach it so long after they have changed"""
    cached_keys: int = 50_000
    """keys whose state is kept decoded, per operator instance"""
    clock: Literal["wall", "event"] = "wall"
    """"event" makes every emission a function of the log alone: for parity tests"""
    rows_to: Path | None = None
    """write rows to this JSON-lines file instead of the online store: for parity tests"""
    bounded: bool = False
    """stop at the end of the topics as they are when the job starts"""

    def attribution(self, since: int) -> Attribution | None:
        """As these settings have it, for a job that listens since then, epoch ms; event time knows of no start."""
        if not self.attribution_minutes:
            return None
        since = since if self.clock == "wall" else 0
        return Attribution(minutes(self.attribution_minutes), minutes(self.attribution_late_minutes), since)

    @property
    def connection(self) -> Connection:
        """How Kafka is reached."""
        return Connection(self.kafka, self.kafka_security)

    @property
    def examples(self) -> str:
        """The folder of examples, beside that of events; a URI."""
        return f"{self.archive.rstrip('/').rpartition('/')[0]}/examples"

    @property
    def archives(self) -> bool:
        """Files are finished with checkpoints, so that without any there would never be one."""
        return bool(self.archive and self.checkpoints)
