"""A person's rows in views of pairs, read for the candidates of one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.store import Store, StoreAway

Rows = Mapping[str, Mapping[str, Any]]
"""rows of a view of pairs: second key → field name → value"""


class PersonsPairs:
    """The person's rows in views of pairs: none where the store is away.

    `prefetch` reads them once the candidates are known, all views in one round trip and without blocking the event
    loop; a call gives what it has read. A call for what was not prefetched reads it there and then, and blocks.
    """

    def __init__(self, store: Store, user_id: str, consent: bool) -> None:
        self._store, self._user_id, self._consent = store, user_id, consent
        self._read: dict[str, dict[str, Mapping[str, Any] | None]] = {}
        self.degraded = False
        """whether the store did not answer"""

    @property
    def read(self) -> Mapping[str, Mapping[str, Mapping[str, Any] | None]]:
        """What was read so far: view → second key → row, None for none."""
        return self._read

    async def prefetch(self, asked: Mapping[str, Sequence[str]]) -> None:
        """Reads the rows of these second keys, by view."""
        missing = {view: [name for name in names if name not in self._known(view)] for view, names in asked.items()}
        missing = {view: names for view, names in missing.items() if names}
        if not missing or not self._consent:
            return
        try:
            found = await self._store.pairs(self._user_id, missing)
        except StoreAway:
            self.degraded = True
            found = {}
        for view, names in missing.items():
            rows = found.get(view, {})
            self._known(view).update((name, rows.get(name)) for name in names)

    def __call__(self, view: str, names: Sequence[str]) -> Rows:
        if not self._consent:
            return {}
        known = self._known(view)
        missing = [name for name in names if name not in known]
        if missing:
            try:
                rows = self._store.read_pairs(self._user_id, view, missing)
            except StoreAway:
                self.degraded = True
                rows = {}
            known.update((name, rows.get(name)) for name in missing)
        return {name: row for name in names if (row := known[name]) is not None}

    def _known(self, view: str) -> dict[str, Mapping[str, Any] | None]:
        return self._read.setdefault(view, {})
