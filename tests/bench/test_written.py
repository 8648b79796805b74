"""Bytes of values in Redis' write commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from bench.written import NOTHING, AppendOnlyFile, Written, commands, measured
from freshet.local import redis as local
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings

RESP = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*4\r\n$4\r\nHSET\r\n$1\r\nk\r\n$5\r\nfield\r\n$3\r\nabc\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_commands_are_found_however_the_file_is_cut(size: int) -> None:
    chunks = (RESP[at : at + size] for at in range(0, len(RESP), size))
    assert list(commands(chunks)) == [[b"SELECT", b"0"], [b"HSET", b"k", b"field", b"abc"]]


@pytest.mark.parametrize(
    ("command", "values"),
    [
        ("HSET key f1 abc f2 de", 5),
        ("hmset key f1 abc", 3),
        ("SET key abcd", 4),
        ("SADD key a bc", 3),
        ("APPEND key xyz", 3),
        ("DEL key", 0),
        ("EVALSHA abc 2 k1 k2 value", 5),
    ],
)
def test_values_leave_keys_and_field_names_out(command: str, values: int) -> None:
    assert measured(command.encode().split()) == Written(1, values)


@pytest.mark.parametrize("command", ["SELECT 0", "MULTI", "EXEC"])
def test_framing_is_no_write(command: str) -> None:
    assert measured(command.encode().split()) == NOTHING


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Those of a Redis of the test's own: a job of the shared stack may write at any time."""
    settings = Settings(home=tmp_path, **free_ports())
    with Stack(settings, report=print, components=[local.Redis()]) as stack:
        stack.up()
        yield settings


@pytest.mark.integration
def test_a_real_file_gives_what_was_written_between_two_readings(settings: Settings) -> None:
    client = Redis(settings.host, settings.redis_port)
    client.set("bench-before", "x" * 1000)
    file = AppendOnlyFile(settings)
    assert file.read() == NOTHING
    received = file.net_input()
    for number in range(100):
        client.hset("bench-row", mapping={"a": b"\0\r\n" * 10, "b": str(number).zfill(5)})
        client.hgetall("bench-row")
    found = file.read()
    assert (found.commands, found.values) == (100, 100 * 35)
    assert file.net_input() - received > 100 * 35
    assert file.read() == NOTHING
    client.delete("bench-before", "bench-row")
    file.skip()
    assert file.read() == NOTHING
