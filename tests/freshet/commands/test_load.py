"""`freshet import`, `replay`, `status` and `features rewrite` on a running stack."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from freshet.local.ports import free_ports
from freshet.settings import Settings
from schemas.clock import now_ms

DAY = 86_400_000


def written(path: Path, name: str, times: list[int]) -> Path:
    events = [
        {
            "event_id": f"{name}-{n}", "event_type": "click", "user_id": f"u{n % 5}", "item_id": f"i{n % 7}",
            "timestamp": at,
        }
        for n, at in enumerate(times)
    ]  # fmt: skip
    random.Random(3).shuffle(events)
    path.write_text("\n".join(map(json.dumps, events)))
    return path


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_what_the_job_refuses_is_said_and_lost_rows_come_back(tmp_path: Path) -> None:
    chosen = free_ports()
    ports = {f"FRESHET_{name.upper()}": str(port) for name, port in chosen.items()}
    env = {**os.environ, **ports, "FRESHET_HOME": str(tmp_path / "home"), "FRESHET_CHECKPOINT_SECONDS": "2"}
    env |= {"COLUMNS": "200", "FRESHET_START_TIMEOUT": "300"}
    settings = Settings(home=tmp_path / "home", **chosen)

    def freshet(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-W", "error::UserWarning:freshet", "-m", "freshet.cli", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=400)
        return done.returncode, done.stdout + done.stderr

    now = now_ms()
    with ExitStack() as opened:
        opened.callback(freshet, "down")
        code, said = freshet("up", "--only", "kafka,redis,flink")
        assert code == 0, said
        history = written(tmp_path / "history.jsonl", "h", [now - 90 * DAY + n * DAY // 2 for n in range(100)])
        code, said = freshet("import", "--interactions", str(history))
        assert code == 0, said
        assert "100 sent to interactions, 0 rejected" in said
        assert "refused" not in said

        older = written(tmp_path / "older.jsonl", "o", [now - 400 * DAY + n for n in range(30)])
        code, said = freshet("import", "--interactions", str(older))
        assert code == 1, said
        assert "30 interactions were rejected by the job: too_late" in said
        code, said = freshet("import", "--interactions", str(history), "--restart")
        assert code in (0, 1), said  # an old event is too late by now, or known under its id
        code, said = freshet("replay", "--interactions", str(older), "--rate", "1000")
        assert code == 1, said
        assert "too_late" in said
        _, said = freshet("status")
        assert "interactions.dlq: " in said
        assert "too_late" in said

        client = redis.Redis(settings.host, settings.redis_port)
        opened.callback(client.close)
        before = rows(client)
        assert len(before) >= 12
        client.flushall()
        code, said = freshet("features", "rewrite")
        assert code == 0, said
        assert "5 people and" in said
        deadline = time.monotonic() + 60
        while rows(client) != before:
            assert time.monotonic() < deadline, sorted(before.keys() ^ rows(client).keys())
            time.sleep(0.5)


def rows(client: redis.Redis) -> dict[bytes, dict[bytes, bytes]]:
    """Every row but the time of its writing."""
    return {
        key: {name: value for name, value in client.hgetall(key).items() if not name.startswith(b"_ts:")}  # type: ignore[union-attr]
        for key in client.keys("*")  # type: ignore[union-attr]
    }
