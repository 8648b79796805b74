"""Cursors come back as they went out, or are refused with the reason."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serving.cursors import LEFT_BITS, LONGEST, MOST_GIVEN, Cursor, Cursors, InvalidCursor, digest
from serving.requested import MOST_LEFT

NOW = 1_767_225_600_000
BOUND = {"surface": digest("home"), "id": digest("u1")}
KEYED = Cursors("secret", 60)


def cursor(given: int = 20, left: int = 180, sources: int = 3) -> Cursor:
    return Cursor(
        BOUND, 1, np.arange(given, dtype=np.uint32), np.arange(left, dtype=np.uint64) << np.uint64(40),
        np.full(left, sources, np.uint32),
    )  # fmt: skip


def same(one: Cursor, other: Cursor) -> bool:
    return (one.bound, one.relaxed) == (other.bound, other.relaxed) and all(
        np.array_equal(a, b) for a, b in zip(one[2:], other[2:], strict=True)
    )


@given(
    arrays(np.uint32, st.integers(0, 50)),
    st.integers(0, 50).flatmap(
        lambda n: st.tuples(arrays(np.uint64, n).map(lambda hashes: hashes & LEFT_BITS), arrays(np.uint32, n))
    ),
    st.integers(0, 5),
)
def test_what_goes_in_comes_out(given_: np.ndarray, left: tuple[np.ndarray, np.ndarray], relaxed: int) -> None:
    made = Cursor(BOUND, relaxed, given_, *left)
    assert same(KEYED.decode(KEYED.encode(made, NOW), BOUND, NOW), made)


def test_the_largest_fits_into_a_url() -> None:
    bound = {f"parameter{k}": b"1234" for k in range(12)}
    text = KEYED.encode(cursor(MOST_GIVEN, MOST_LEFT, 200)._replace(bound=bound), NOW)
    assert len(text) <= LONGEST
    assert len(KEYED.encode(cursor(), NOW)) < 1900, "that of a second page"


@pytest.mark.parametrize("given_", [300, 500, MOST_GIVEN - 1])
def test_a_cursor_that_no_request_may_send_has_the_first_of_those_that_are_left(given_: int) -> None:
    """Sources of a surface with more than 14 retrievers take 4 bytes each; of a list of MOST_LEFT they fit."""
    assert len(KEYED.encode(cursor(given_, MOST_LEFT, 1 << 20), NOW)) <= LONGEST
    many = MOST_LEFT + 40
    wide = cursor(given_, many, 1 << 20)
    is_long = len(KEYED.encode(wide, NOW)) > LONGEST
    assert is_long == (given_ == MOST_GIVEN - 1)
    text = KEYED.next(wide, NOW)
    assert text is not None
    assert len(text) <= LONGEST
    found = KEYED.decode(text, BOUND, NOW)
    n = len(found.left)
    assert same(found, wide._replace(left=wide.left[:n], sources=wide.sources[:n]))
    if is_long:
        assert n < many
        one_more = wide._replace(left=wide.left[: n + 2], sources=wide.sources[: n + 2])
        assert len(KEYED.encode(one_more, NOW)) > LONGEST, "no more are cut than have to be"
    else:
        assert n == many


def test_the_page_that_reaches_the_most_is_the_last() -> None:
    assert KEYED.next(cursor(MOST_GIVEN, 3), NOW) is None
    assert KEYED.next(cursor(MOST_GIVEN - 1, MOST_LEFT), NOW) is not None


@given(st.integers(0, 1500), st.sampled_from("AB09_-"))
def test_one_that_was_changed_is_refused(at: int, by: str) -> None:
    text = KEYED.encode(cursor(), NOW)
    changed = text[:at] + by + text[at + 1 :]
    if changed != text:
        with pytest.raises(InvalidCursor, match="leave `next` out"):
            KEYED.decode(changed, BOUND, NOW)


@pytest.mark.parametrize("text", ["", "x", "nonsense", "ä", "A" * 40, "=" * 9])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor, match="is not a cursor"):
        KEYED.decode(text, BOUND, NOW)


def test_one_of_another_secret_is_refused() -> None:
    for other in (Cursors(None, 60), Cursors("another", 60)):
        with pytest.raises(InvalidCursor, match="not a cursor of this server"):
            KEYED.decode(other.encode(cursor(), NOW), BOUND, NOW)


def test_one_of_another_process_with_the_same_secret_is_taken() -> None:
    assert same(Cursors("secret", 60).decode(KEYED.encode(cursor(), NOW), BOUND, NOW), cursor())


def test_one_of_another_layout_is_refused() -> None:
    packed = msgspec.msgpack.encode([NOW // 1000, BOUND, 0, b"", bytes(48), bytes(6)])
    text = urlsafe_b64encode(KEYED._tag(packed) + packed).rstrip(b"=").decode()
    with pytest.raises(InvalidCursor, match="is a cursor of another version of the server; leave `next` out"):
        KEYED.decode(text, BOUND, NOW)


def test_one_that_is_too_old_is_refused() -> None:
    text = KEYED.encode(cursor(), NOW)
    assert KEYED.decode(text, BOUND, NOW + 60_000)
    with pytest.raises(InvalidCursor, match="is too old: cursors can be used for 60 s"):
        KEYED.decode(text, BOUND, NOW + 62_000)


def test_one_of_another_request_is_refused_with_what_differs() -> None:
    text = KEYED.encode(cursor(), NOW)
    for bound, names in (
        ({**BOUND, "id": digest("u2")}, "another id;"),
        ({**BOUND, "filter": digest("true")}, "another filter;"),
        ({"id": BOUND["id"]}, "another surface;"),
        ({}, "another id and another surface;"),
    ):
        with pytest.raises(InvalidCursor, match=names):
            KEYED.decode(text, bound, NOW)
