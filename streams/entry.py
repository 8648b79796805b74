"""What an operator keeps in memory of one key."""

from __future__ import annotations

from typing import Any

from operators.contract import Record, Signal


class Entry:
    """What is kept in memory of one key, by part."""

    __slots__ = ("accepted", "boundary", "changed", "due", "news", "states", "unsaved")

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.changed: set[str] = set()
        """parts whose rows have changed since they last left"""
        self.boundary = 0
        """when those leave; 0 where there are none"""
        self.news: list[Signal] = []
        """what the next operator is told then"""
        self.accepted: list[Record] = []
        """what is archived then"""
        self.unsaved: dict[str, tuple[bytes, int]] = {}
        """encoded states whose rows have left, and as of when, until its own timer puts them into the snapshot"""
        self.due: dict[str, int] = {}
        """when each part's row next changes by itself (a tile or session ends)"""
