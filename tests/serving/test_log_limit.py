"""A warning at each request is logged once a minute, and counted."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from serving import process
from serving.log_limit import PER_REQUEST, OncePerMinute


def logged(limit: OncePerMinute, *records: tuple[float, int, str, tuple[object, ...]]) -> list[str]:
    """The messages that pass, of records (time, level, template, arguments)."""
    found = []
    for at, level, template, args in records:
        record = logging.LogRecord("serving.x", level, "x.py", 1, template, args, None)
        record.created = at
        if limit.filter(record):
            found.append(record.getMessage())
    return found


def warnings(times: Sequence[float], *args: object) -> list[tuple[float, int, str, tuple[object, ...]]]:
    return [(at, logging.WARNING, "%s failed: %s", args) for at in times]


def test_a_warning_of_one_kind_is_logged_once_a_minute() -> None:
    limit = OncePerMinute()
    assert logged(limit, *warnings([100, 101, 159.9], "rank", "no")) == ["rank failed: no"]
    assert logged(limit, *warnings([160], "rank", "again")) == [
        "rank failed: again (2 more like it since the last one)"
    ]
    assert logged(limit, *warnings([220.1], "rank", "at last")) == ["rank failed: at last"]


def test_kinds_are_told_apart_by_all_but_the_last_argument() -> None:
    limit = OncePerMinute()
    assert len(logged(limit, *warnings([100], "rank", "no"), *warnings([100], "filter", "no"))) == 2
    assert logged(limit, *warnings([101], "rank", "another reason")) == []


def test_what_is_no_warning_passes_and_so_does_a_clock_that_is_set_back() -> None:
    limit = OncePerMinute()
    information = (100.0, logging.INFO, "%d items", (3,))
    assert len(logged(limit, information, information)) == 2
    assert len(logged(limit, *warnings([100], "rank", "no"), *warnings([40], "rank", "no"))) == 2


def test_the_server_limits_what_it_logs_at_each_request(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    kafka = logging.getLogger("kafka").level
    limited = [logging.getLogger(name) for name in PER_REQUEST]
    try:
        root.handlers[:] = []
        process.log_to_stderr()
        for number in range(3):
            for logger in limited:
                logger.warning("cannot read it: %d", number)
            logging.getLogger("follow.loop").warning("%s: %s", "catalogue", f"error {number}")
        said = capsys.readouterr().err
    finally:
        for logger in limited:
            logger.filters.clear()
        root.handlers[:] = before
        root.setLevel(level)
        logging.getLogger("kafka").setLevel(kafka)
    assert said.count("cannot read it") == len(limited)
    assert [f"error {number}" in said for number in range(3)] == [True] * 3, "different errors of a loop are all logged"
