"""Examples on their way out of the job: nothing in them may end it."""

from __future__ import annotations

import re
from typing import Any

from streams import examples


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
