"""Codes of names: small whole numbers in the place of strings."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any


class Vocabulary(dict[Any, int]):
    """Names → dense codes; code 0 means none, so that padding is harmless. The name of a code is `names[code]`."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[Any] = [None]

    def code(self, name: Hashable) -> int:
        """The name's code; a new name gets the next code."""
        found = self.get(name)
        if found is None:
            found = self[name] = len(self.names)
            self.names.append(name)
        return found
