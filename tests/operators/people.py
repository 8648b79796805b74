"""One person behind the user operator, for tests of what has a row of its own in their key."""

from __future__ import annotations

from typing import Any

from feature_repo.builders import user_operator
from operators.contract import Record, Row
from operators.driver import Driver
from tests.operators.records import World
from tests.operators.signals import MadeSpace


class KeyedPerson:
    """The user operator behind its gate, and the rows as the store has them."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Any, ...]] = {}
        self.written: list[str] = []
        self._driver = Driver(user_operator(World(MadeSpace("one"))), self._emit)
        self.states = self._driver.states

    def _emit(self, row: Row, at: int) -> None:
        self.written.append(row.view)
        if row.values:
            self.rows[row.view] = row.values
        else:
            self.rows.pop(row.view, None)

    def take(self, record: Record) -> None:
        self._driver.take("u1", record)
