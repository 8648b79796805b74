"""Examples on their way out of the job: nothing in them may end it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from operators.attribution import MOST_ITEMS
from schemas import codec
from schemas.events import LabelledExample
from schemas.topics import EXAMPLES
from streams import examples
from streams.archive import COLUMN, ROW
from streams.counts import JobCounters

T0 = 1_767_225_600_000


class Statements:
    """SQL as it was given, of tables and of a statement set."""

    def __init__(self) -> None:
        self.sql: list[str] = []

    def execute_sql(self, sql: str) -> None:
        self.sql.append(sql)

    add_insert_sql = execute_sql


def test_no_text_can_end_the_job() -> None:
    """A cast that fails would fail again after each restore; one that is tried gives null."""
    found: Any = Statements()
    examples.archive(found, found, "file:///archive")
    (insert,) = [sql for sql in found.sql if sql.startswith("INSERT")]
    assert len(re.findall(r"\bTRY_CAST\(NULLIF\(c\[\d+\], ''\) AS DOUBLE\)", insert)) == 2
    # What is left goes from a time to a day to a text.
    assert re.sub(r"TRY_CAST\(", "", insert).count("CAST(") == 2


@pytest.mark.parametrize("n", [0, 1, 1000, 1001, 2 * MOST_ITEMS + 500])
def test_what_is_closed_at_once_leaves_in_texts_of_limited_length(n: int) -> None:
    found = [LabelledExample("r1", "u1", "i1", k, T0, complete=k % 2 == 0) for k in range(n)]
    counts = JobCounters(None)
    texts = [row[0] for _, row in examples.out(found, counts)]
    sent = [text.split(ROW) for text in texts]
    assert max(map(len, sent), default=0) <= examples.SENT_AT_ONCE
    assert len(texts) == -(-n // examples.SENT_AT_ONCE)
    values = [bytes.fromhex(line.split(COLUMN)[0]) for lines in sent for line in lines]
    assert [codec.decode(EXAMPLES, value) for value in values] == found
    assert counts._tally == ({"examples": n, "examples.incomplete": n // 2} if n else {})
