"""Profiles and catalogue entries: the latest one, whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.contract import Record, Signal
from operators.subject import CatalogueEntry, Profile, ProfileState
from schemas.events import Item, User
from tests.operators.signals import T0, logs, run, saved
from tests.schemas import strategies


def mixed(subjects: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Signal]]:
    said = subjects.map(lambda subject: Signal("said", T0, subject=subject))
    return st.builds(lambda a, b: [*a, *b, *a[:2]], st.lists(said, max_size=4), logs(most=4)).flatmap(st.permutations)


def applied(profiles: list[User], consent: bool = True, given: bool = False) -> ProfileState:
    """The state after these, saved and restored as it goes."""
    state = Profile().new()
    for n, each in enumerate(profiles):
        Profile().take(state, Record(each, "users", 2, n, T0 + n), consent, given)
        state = saved(Profile(), state)
    return state


@given(st.lists(strategies.users, max_size=4))
def test_profile_is_the_latest(profiles: list[User]) -> None:
    state = applied(profiles)
    last = profiles[-1] if profiles else User("u1")
    n = len(profiles) - 1
    place = (2, n, T0 + n) if profiles else (-1, -1, 0)
    assert Profile().values(state, T0) == (
        last.interests, *(str(last.attributes.get(name, "")) for name in ("country", "timezone")), True, False, *place
    )  # fmt: skip
    row = dict(zip((f.name for f in Profile().fields), Profile().values(state, T0), strict=True))
    assert Profile().of_row(None, row) == state
    assert Profile().due(state, T0) is None


@given(mixed(strategies.items))
def test_catalogue_is_the_latest_entry(signals: list[Signal]) -> None:
    state = run(CatalogueEntry(), signals, save=2)
    said = [s.subject for s in signals if isinstance(s.subject, Item)] or [Item("i1")]
    item = said[-1]
    assert CatalogueEntry().values(state, T0) == (
        item.title, item.categories, item.brand or "", -1.0 if item.price is None else item.price,
        item.created_at or 0, item.available,
    )  # fmt: skip
    assert CatalogueEntry().due(state, T0) is None


@pytest.mark.parametrize("consent", [True, False])
def test_a_deleted_profile_loses_all_but_its_consent(consent: bool) -> None:
    said = {"country": "DE", "timezone": "Europe/Berlin"}
    state = applied([User("u1", said, ["comedy"], consent), User("u1")], consent, consent)
    assert Profile().values(state, T0)[:5] == ([], "", "", consent, consent)


def test_without_consent_nothing_of_a_profile_is_kept_but_its_place() -> None:
    state = applied([User("u1", {"country": "DE", "timezone": "Europe/Berlin"}, ["comedy"], False)], consent=False)
    assert Profile().values(state, T0) == ([], "", "", False, False, 2, 0, T0)


def test_values_are_copies() -> None:
    state = applied([User("u1", interests=["comedy"])])
    Profile().values(state, T0)[0].append("drama")
    assert Profile().values(state, T0)[0] == ["comedy"]
