"""Logs of hashes: what they hold, in which cells, through saving and restoring."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.cells import changed
from operators.hashes import BLOCK, CHUNK, SHORT, WIDTH, HashLog, hash64
from schemas.errors import StateError


def filled(n: int, slots: int = 0) -> HashLog:
    log = HashLog("log", slots)
    for k in range(n):
        log.append(hash64(f"i{k}"))
    return log


@pytest.mark.parametrize("n", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + BLOCK + 1])
def test_a_log_comes_back_from_its_cells(n: int) -> None:
    log = filled(n)
    again = HashLog.of(dict(log.cells), "log")
    assert again == log
    assert list(again.hashes) == [hash64(f"i{k}") for k in range(n)]
    assert again.cells == log.cells
    again.append(7)
    assert HashLog.of(dict(again.cells), "log") == again


@given(st.integers(0, 4 * CHUNK), st.integers(0, 3 * CHUNK), st.integers(1, 2 * CHUNK))
def test_the_last_hashes_are_read_without_the_first(n: int, dropped: int, keep: int) -> None:
    log = filled(n)
    log.drop_before(min(dropped, n))
    assert log.first <= dropped < log.first + CHUNK or log.first == min(dropped, n) // CHUNK * CHUNK
    again = HashLog.of(dict(log.cells), "log", keep=max(1, min(keep, len(log))))
    assert list(again.hashes)[-keep:] == [hash64(f"i{k}") for k in range(n)][-min(keep, len(log)) or n :]


def test_what_has_not_changed_is_the_same_object() -> None:
    log = filled(2 * CHUNK + 1)
    before = dict(log.cells)
    log.append(1)
    assert changed(before, log.cells).keys() == {"log"}
    assert all(before[name] is cell for name, cell in log.cells.items() if name != "log")


def test_membership_can_begin_anywhere() -> None:
    log = filled(CHUNK + 10)
    log.drop_before(CHUNK)
    assert log.contains(hash64(f"i{CHUNK + 3}"))
    assert not log.contains(hash64("i3"))
    assert not log.contains(hash64(f"i{CHUNK + 3}"), since=CHUNK + 4)


@pytest.mark.parametrize("n", [2, SHORT, SHORT + 1])
def test_bytes_across_two_hashes_are_no_hash(n: int) -> None:
    log = filled(n)
    packed = log.hashes.tobytes()
    across = {int.from_bytes(packed[at : at + WIDTH], "little") for at in range(len(packed) - WIDTH) if at % WIDTH}
    assert not any(log.contains(each) for each in across - set(log.hashes))
    first = next(iter(across))
    log.append(first)
    assert log.contains(first)
    assert log.contains(first, since=n)


@pytest.mark.parametrize("name", ["log", "log_0", "log_1"])
@pytest.mark.parametrize("how", ["missing", "short", "long"])
def test_a_cell_that_does_not_belong_is_refused(name: str, how: str) -> None:
    cells = dict(filled(2 * CHUNK + 1).cells)
    cells[name] = {"missing": b"", "short": cells[name][:-8], "long": cells[name] + bytes(8)}[how]
    if (name, how) == ("log", "missing"):
        assert len(HashLog.of(cells, "log")) == 0, "an empty log has no cells"
        return
    with pytest.raises(StateError, match=name):
        HashLog.of(cells, "log")


def test_changes_between_encodings() -> None:
    one, two = b"1", b"2"
    assert changed({}, {"a": one}) == {"a": one}
    assert changed({"a": one}, {"a": bytes([49])}) == {}
    assert changed({"a": one, "b": two}, {"a": two}) == {"a": two, "b": None}
    assert changed({"a": one, "b": two}, {"c": two, "b": two}) == {"c": two, "a": None}
