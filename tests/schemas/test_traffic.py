"""The traffic file, and which variant a person belongs to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from schemas import traffic
from schemas.errors import BundleError
from schemas.traffic import Share


def test_no_file_is_no_variant(tmp_path: Path) -> None:
    assert traffic.read(tmp_path) == {}
    assert traffic.assign("u1", {}) == "default"


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "traffic.json").write_text('{"b": {"bundle": "x-1", "share": 0.25}, "shadow": {"bundle": "x-2"}}')
    assert traffic.read(tmp_path) == {"b": Share("x-1", 0.25), "shadow": Share("x-2")}
    assert traffic.named_bundles(tmp_path) == {"x-1", "x-2"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("noise", "traffic.json"), ("[]", "Expected `object`"), ('{"b": {"share": 0.1}}', "bundle"),
        ('{"b": {"bundle": "x", "shares": 0.1}}', "shares"), ('{"b": {"bundle": "x", "share": 1.1}}', "<= 1.0"),
        ('{"b": {"bundle": "x", "share": -0.1}}', ">= 0.0"), ('{"default": {"bundle": "x"}}', "no name for a variant"),
        ('{"B": {"bundle": "x"}}', "no name for a variant"), ('{"b": {"bundle": "../x"}}', "not the name of a bundle"),
        ('{"a": {"bundle": "x", "share": 0.6}, "b": {"bundle": "y", "share": 0.6}}', "add up to 1.2"),
        ("\xff", "malformed"),
    ],
)  # fmt: skip
def test_a_file_that_says_what_to_mend(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "traffic.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=f"(?i){says}"):
        traffic.read(tmp_path)


def test_shares_are_those_of_people() -> None:
    shares = {"a": Share("x", 0.1), "b": Share("y", 0.3), "none": Share("z", 0.0)}
    found = Counter(traffic.assign(f"u{n}", shares) for n in range(20_000))
    assert found["a"] == pytest.approx(2000, abs=200)
    assert found["b"] == pytest.approx(6000, abs=300)
    assert found["none"] == 0
    assert found.total() - found["default"] == found["a"] + found["b"]


def test_a_person_stays_where_they_are_when_the_last_share_grows() -> None:
    before, after = ({"a": Share("x", 0.1), "b": Share("y", share)} for share in (0.2, 0.5))
    for n in range(2000):
        if (was := traffic.assign(f"u{n}", before)) != "default":
            assert traffic.assign(f"u{n}", after) == was
