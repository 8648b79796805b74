"""What is deduplicated does not depend on whether a state was kept in memory or read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.gate import Admissions
from operators.time import hours
from schemas.errors import EventError

LATENESS = hours(24)


@given(st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.integers(0, hours(96))), max_size=40))
def test_a_state_that_was_read_back_decides_alike(messages: list[tuple[str, int]]) -> None:
    kept = Admissions()
    for name, at in messages:
        again = Admissions.of(kept.head, "did", kept.cells())
        assert again == kept
        verdicts = []
        for each in (kept, again):
            try:
                each.admit("did", LATENESS, name, at, 2**53, "event_id")
                verdicts.append("admitted")
            except EventError as error:
                verdicts.append(error.reason)
        assert verdicts[0] == verdicts[1]
