"""Profiles and catalogue entries: the latest one, whole."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from operators.contract import Signal
from operators.subject import CatalogueEntry, Profile
from schemas.events import Item, User
from tests.operators.signals import T0, logs, run, saved
from tests.schemas import strategies


def mixed(subjects: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Signal]]:
    said = subjects.map(lambda subject: Signal("said", T0, subject=subject))
    return st.builds(lambda a, b: [*a, *b, *a[:2]], st.lists(said, max_size=4), logs(most=4)).flatmap(st.permutations)


@given(mixed(strategies.users))
def test_profile_is_the_latest_said(signals: list[Signal]) -> None:
    state = run(Profile(), signals, save=2)
    said = [s.subject for s in signals if isinstance(s.subject, User)] or [User("u1")]
    expected = (said[-1].interests, str(said[-1].attributes.get("country", "")), said[-1].consent)
    assert Profile().values(state, T0) == expected
    assert Profile().values(saved(Profile(), state), T0) == expected
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


def test_a_profile_without_what_was_said_before_takes_it_back() -> None:
    said = [User("u1", {"country": "DE"}, ["comedy"], consent=False), User("u1")]
    assert Profile().values(run(Profile(), [Signal("said", T0, subject=s) for s in said]), T0) == ([], "", True)


def test_values_are_copies() -> None:
    state = run(Profile(), [Signal("said", T0, subject=User("u1", interests=["comedy"]))])
    Profile().values(state, T0)[0].append("drama")
    assert Profile().values(state, T0)[0] == ["comedy"]
