"""Tokens say where a receipt's events lie, and nothing else is one."""

from __future__ import annotations

import base64
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.tokens import MAX_LENGTH, EventPlace, InvalidToken, Token

PLACES = st.lists(
    st.builds(
        EventPlace,
        st.sampled_from(["interactions", "users"]),
        st.integers(0, 3),
        st.one_of(st.integers(0, 400), st.integers(0, 2**50)),
        st.sampled_from(["", "u1", "u2", "u3", "u4"]),
    )
)


@given(st.text(max_size=20), PLACES)
def test_a_token_comes_back_with_each_persons_last_offset(issuer: str, places: list[EventPlace]) -> None:
    found = Token.decode(Token.of(issuer, places).encode())
    assert found.issuer == issuer
    for who in ("u1", "u2", "u3", "u4", "u5"):
        own = [(p.topic, p.partition, p.offset) for p in places if p.user_id == who]
        last = {(t, p): max(o for t2, p2, o in own if (t2, p2) == (t, p)) for t, p, _ in own}
        assert {(t, p): o for t, p, o in found.wanted(who)} == last


@given(PLACES)
def test_a_token_fits_a_url(places: list[EventPlace]) -> None:
    assert Token.of("me", places).encode().replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("apart", [1, 60])
def test_the_largest_batch_of_as_many_people_names_each(apart: int) -> None:
    places = [EventPlace("interactions", n % 4, 10**9 + n * apart, f"person-{n}") for n in range(1000)]
    text = Token.of("0123abcd", places).encode()
    assert len(text) < 7_000
    token = Token.decode(text)
    for place in places:
        assert list(token.wanted(place.user_id)) == [place[:3]]
    assert sum(bool(list(token.wanted(f"stranger-{n}"))) for n in range(1000)) < 3


def test_a_token_that_would_be_too_long_has_the_last_offsets_alone() -> None:
    """Of a batch whose events lie absurdly far apart."""
    places = [EventPlace("interactions", 0, n * 10**12, f"person-{n}") for n in range(1000)]
    token = Token.decode(Token.of("0123abcd", places).encode())
    assert list(token.wanted("person-3")) == [("interactions", 0, 999 * 10**12)]


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(value)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "!!!", "ä", "A" * 5, encoded(7), encoded(["me"]), encoded(["me", {"interactions": {0: 1}}]),
        encoded(["me", {"interactions": {0: [-1]}}]), encoded(["me", {"interactions": {-1: [1]}}]),
        encoded(["me", {"interactions": {0: [2**63]}}]), encoded([1, {}]), encoded(["me", {"interactions": [1]}]),
        encoded(["me", {"interactions": {0: [1, b"abcd", b"1"]}}]),
        encoded(["me", {"interactions": {0: [1, b"abc", b"123"]}}]), encoded(["me", {}, "more"]),
        Token("me", {}).encode() + "\n",
    ],
)  # fmt: skip
def test_anything_else_is_no_token(text: str) -> None:
    with pytest.raises(InvalidToken, match="is not a token from a receipt"):
        Token.decode(text)


def test_a_token_has_a_longest_length() -> None:
    with pytest.raises(InvalidToken, match="longer"):
        Token.decode("A" * (MAX_LENGTH + 1))


@given(st.text(max_size=100))
def test_text_of_any_kind_is_a_token_or_says_that_it_is_none(text: str) -> None:
    with suppress(InvalidToken):
        assert isinstance(Token.decode(text), Token)
