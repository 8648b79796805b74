"""Removes the items that rules hide, that policies do not allow, and that the person has met or was shown lately."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Mask, Rows
from operators.time import DAY
from recommend.among import among
from recommend.query import Query
from recommend.rotation import since
from recommend.rules.matches import RowBits
from recommend.rules.plan import PlacedRule
from recommend.rules.ruling import REMOVED, Ruling
from recommend.stage import Filter
from schemas.rules import IMPRESSION, NotAgain


@dataclass(frozen=True, kw_only=True)
class Allowed(Filter):
    """In force on every surface. Never relaxed. A rule that fails is skipped, and a policy that fails removes all; the
    stage itself fails closed."""

    name: str = "rules"
    fails_open: bool = False
    relaxable: bool = False

    def applies(self, query: Query) -> bool:
        return bool(query.rules.rules)

    def keep(self, query: Query, rows: Rows) -> Mask:
        ruling, plan = query.ruling, query.ruling.plan
        if not plan.removes:
            return np.ones(len(rows), bool)
        bits = ruling.bits(rows)
        kept = np.ones(len(rows), bool) if plan.hide_key is None else ~bits.any_of(plan.hide_key)
        for each in plan.hides:
            if each.test is None or query.explains_all:
                _remove(query, ruling, each, rows, kept, ruling.guarded(each, ruling.about, each, rows, bits))
        for each in plan.limits:
            found = ruling.guarded(each, _not_allowed, ruling, each, rows, bits)
            if found is None:
                kept[:] = False
            _remove(query, ruling, each, rows, kept, found)
        for each in plan.not_again:
            found = ruling.guarded(each, _again, query, each, rows, bits)
            _remove(query, ruling, each, rows, kept, found)
        return kept


def _remove(query: Query, ruling: Ruling, each: PlacedRule, rows: Rows, kept: Mask, found: Mask | None) -> None:
    if found is None or not found.any():
        return
    kept &= ~found
    if query.explains_all:
        ids = query.columns.ids
        ruling.note(each, REMOVED, [ids[row] for row in rows[found].tolist()])


def _not_allowed(ruling: Ruling, each: PlacedRule, rows: Rows, bits: RowBits) -> Mask:
    """Which rows (n,) have the attribute of a policy, and not its permission."""
    limited = ruling.about(each, rows, bits)
    condition = each.compiled.condition
    if condition is not None and limited.any():
        at = np.flatnonzero(limited)
        limited[at] = ~condition.passes(ruling.request, rows[at])
    return limited


def _again(query: Query, each: PlacedRule, rows: Rows, bits: RowBits) -> Mask:
    """Which rows (n,) a rule is about, and the person has met, or was shown on the surface, within its days."""
    rule, user = each.rule, query.user
    assert isinstance(rule, NotAgain)
    start, events = query.at - rule.days * DAY, set(rule.events)
    recent = zip(user["recent_items"], user["recent_types"], user["recent_times"], strict=False)
    met = [item for item, kind, at in recent if at >= start and (not events or kind in events)]
    found: Mask = np.isin(rows, query.columns.rows(met))
    if IMPRESSION in events:
        found |= among(query.columns.hashes.take(rows), since(user, int(start), (query.rules_of,)))
    return found & query.ruling.about(each, rows, bits)
