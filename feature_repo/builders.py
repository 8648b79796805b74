"""Operators of the job, built from the main path's views and the declared features of a repository."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from feature_repo.repository import EMPTY, Repository
from feature_repo.views import (
    SERVED,
    item,
    item_cooccurrence,
    item_exploration,
    item_region,
    policy_model,
    user,
    user_controls,
    user_follows,
    user_shown,
)
from operators.attribution import Attribution
from operators.contract import Operator, World
from operators.item import ItemOperator
from operators.keyed import UserOperator
from operators.time import DEFAULT_LATENESS


def served(declared: Repository) -> dict[str, tuple[tuple[int, str], ...]]:
    """Views whose rows the job sends to servers: places and names of the fields that crosses read; none for a whole
    row."""
    found: dict[str, tuple[tuple[int, str], ...]] = dict.fromkeys(SERVED, ())
    for value in declared.reads.item:
        fields = [field.name for field in declared.view(value.entity).fields]
        name = value.field.name
        found[value.entity.view] = (*found.get(value.entity.view, ()), (fields.index(name), name))
    return found


def user_operator(
    world: World,
    lateness: int | None = DEFAULT_LATENESS,
    declared: Repository = EMPTY,
    attribution: Attribution | None = None,
    opt_in: bool = False,
) -> Operator[Any]:
    """The operator behind `user_activity`, the other views of people, and what is declared of users; with
    `attribution`, behind examples too. `opt_in` as for `UserOperator`."""
    return declared.extend_user(
        UserOperator(user, world, lateness, opt_in, user_controls, user_follows, user_shown), world, attribution
    )


def item_operator(world: World, declared: Repository = EMPTY) -> Operator[Any]:
    """The operator of all views of `views.OF_SERVERS` and the declared features of all other entities."""
    operator = ItemOperator(item, item_region, world, item_cooccurrence, item_exploration, policy_model)
    return declared.extend_item(operator, world)


def declared_alone(world: World, declared: Repository, opt_in: bool = False) -> tuple[Operator[Any], Operator[Any]]:
    """The two operators with nothing but admission and what is declared, for archived events, which are admitted."""
    of_user, of_item, of_region = (replace(view, aggregations=(), extra=()) for view in (user, item, item_region))
    return (
        declared.extend_user(UserOperator(of_user, world, None, opt_in), world),
        declared.extend_item(ItemOperator(of_item, of_region, world), world),
    )
