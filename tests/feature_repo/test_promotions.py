"""Promoting a feature over the one that it replaces."""

from __future__ import annotations

from pathlib import Path

from feature_repo.promotions import keep_promoted, promote, promoted
from feature_repo.repository import Repository
from operators.features import Count, Feature, event, user

view = event.event_type == "view"
click = event.event_type == "click"
purchase = event.event_type == "purchase"


def repository_of(*features: Feature) -> Repository:
    return Repository({user: features})


def test_a_service_gives_the_promoted_of_those_that_replace_one_another() -> None:
    first = Count("first", entity=user)
    second = Count("second", entity=user, events=view, replaces=first)
    third = Count("third", entity=user, events=click, replaces=second)
    other = Count("other", entity=user, events=purchase)
    repository = repository_of(first, second, third, other)

    def given(promoted: frozenset[str]) -> list[str]:
        return [feature.name for feature in repository.in_service(user, promoted)]

    assert given(frozenset()) == ["first", "other"]
    promoted = promote(repository, third, ())
    assert given(promoted) == ["third", "other"]
    promoted = promote(repository, second, promoted)
    assert given(promoted) == ["second", "other"]
    assert given(promote(repository, first, promoted)) == ["first", "other"]


def test_of_two_that_replace_the_same_one_is_given() -> None:
    first = Count("first", entity=user)
    left, right = (Count(name, entity=user, events=view, replaces=first) for name in ("left", "right"))
    repository = repository_of(first, left, right)
    promoted = promote(repository, right, promote(repository, left, {"user.gone"}))
    assert promoted == {"user.right"}
    assert [feature.name for feature in repository.in_service(user, promoted)] == ["right"]


def test_promotions_are_kept_in_the_home(tmp_path: Path) -> None:
    assert promoted(tmp_path) == frozenset()
    keep_promoted(tmp_path, {"user.second", "user.first"})
    assert promoted(tmp_path) == {"user.first", "user.second"}
    assert [path.name for path in tmp_path.iterdir()] == ["promoted.json"]
