"""Names shared by the bare job (bench/bare_job.py) and its measurement; imports nothing of Flink."""

from __future__ import annotations

from redis import Redis

from freshet.settings import Settings

OPERATOR = "bare"
REDIS = "BENCH_REDIS"
"""environment variable: host:port of the Redis that the job writes to"""
FIELD = "events"
FLUSH_MS = 10
MOST_PENDING = 500
"""rows in one pipelined write"""
PREFIX = "bare:"


def key_of(user_id: str) -> str:
    """The Redis key of a user's row."""
    return PREFIX + user_id


def counted(settings: Settings) -> int:
    """Sum of the counts of all users' rows in Redis."""
    client = Redis(settings.host, settings.redis_port, decode_responses=True)
    keys = list(client.scan_iter(match=f"{PREFIX}*", count=1000))
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.hget(key, FIELD)
    found = sum(int(value or 0) for value in pipeline.execute())
    client.close()
    return found
