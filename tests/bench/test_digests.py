"""The figures of the benchmark of digests."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.digests import MAIL, Mailed, _added, report

ROUND = Mailed(people=100, sent=100, digests_s=2.0, answers_s=1.6, answers_ms=[16.0] * 100)


def test_the_figures_are_those_of_all_rounds() -> None:
    found = report(_added(ROUND, ROUND), 5000, 100)
    document = found.document()
    assert (document["people_per_s"], document["answers_per_s"], document["digest_to_answer"]) == (50, 62.5, 1.25)
    assert (document["answer_ms"]["n"], document["items"], document["people"]) == (200, 5000, 100)
    assert found.status == 0


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Mailed(100, 98, 2.0, 1.6, [16.0], Counter({"too few items": 2})), "2 people were skipped: too few items"),
        (Mailed(100, 98, 2.0, 1.6, [16.0]), "98 digests were sent to 100 people"),
        (Mailed(100, 100, 2.0, 1.6, [16.0], degraded=3), "3 answers fell back"),
    ],
)
def test_a_run_that_leaves_somebody_out_or_falls_back_is_not_sound(other: Mailed, said: str) -> None:
    found = report(other, 5000, 100)
    assert said in found.failures
    assert found.status == 1


def test_it_sends_at_any_hour() -> None:
    assert MAIL.digest is not None
    assert MAIL.digest.quiet is None
    assert MAIL.digest.caps
