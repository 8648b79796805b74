"""The Feast objects say what the declarations say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pytest
from feast import FeatureService, FeatureView

from feature_repo import features, registry, views
from feature_repo.features import DECLARED, TYPES, VIEWS, entity
from operators.contract import Dtype, View

SERVICES = [s for s in vars(features).values() if isinstance(s, FeatureService)]


def test_every_declared_view_has_a_feast_view() -> None:
    main = {v.name: v for v in vars(views).values() if isinstance(v, View)}
    declared = main | registry.declared().views
    assert declared == DECLARED
    assert {v.name: v for v in vars(features).values() if isinstance(v, FeatureView)} == VIEWS
    assert set(VIEWS) == set(declared)


@pytest.mark.parametrize("name", DECLARED)
def test_fields_types_and_keys_are_the_declared_ones(name: str) -> None:
    view, declared = VIEWS[name], DECLARED[name]
    assert [(f.name, f.dtype) for f in view.features] == [(f.name, TYPES[f.dtype]) for f in declared.fields]
    assert view.entities == list(declared.entities)
    assert [entity(e).join_key for e in view.entities] == [f"{name}_id" for name in declared.entities]
    assert view.description == declared.doc
    assert view.online
    assert not view.ttl  # a row is whole and absolute: it never expires by itself


@pytest.mark.parametrize("name", DECLARED)
def test_names_are_unique_and_every_default_has_the_fields_type(name: str) -> None:
    fields = DECLARED[name].fields
    assert len({f.name for f in fields}) == len(fields)
    python: dict[str, Any] = {
        "int64": int,
        "float32": float,
        "float64": float,
        "string": str,
        "bool": bool,
        "bytes": bytes,
    }
    for f in fields:
        if f.dtype.endswith("[]"):
            assert isinstance(f.default, list)
            assert all(type(v) is python[f.dtype[:-2]] for v in f.default)
        else:
            assert type(f.default) is python[f.dtype], f.name


def test_every_dtype_has_a_feast_type() -> None:
    assert set(TYPES) == set(get_args(Dtype))


def of(service: FeatureService) -> dict[str, Sequence[str]]:
    return {p.name: [f.name for f in p.features] for p in service.feature_view_projections}


def test_services() -> None:
    main = {
        "user_feed",
        "user_session",
        "item_stats",
        "item_region_stats",
        "item_together",
        "item_explored",
        "policy_state",
    }
    assert {s.name for s in SERVICES} == main | set(registry.declared().views)
    everything = [f.name for f in views.user.fields]
    read: dict[str, list[str]] = {}
    for value in registry.declared().reads.user:
        read.setdefault(value.entity.view, []).append(value.field.name)
    # What profiles hold is read for filters alone.
    fed = [name for name in everything if name != "profile_attributes"]
    of_controls = [f.name for f in views.user_controls.fields]
    of_follows = [f.name for f in views.user_follows.fields]
    assert of(features.user_feed) == {
        "user_activity": fed, "user_controls": of_controls, "user_follows": of_follows, **read,
    }  # fmt: skip
    assert of(features.item_stats) == {"item_activity": [f.name for f in views.item.fields]}
    assert of(features.item_region_stats) == {"item_region_activity": [f.name for f in views.item_region.fields]}
    assert set(everything) - set(of(features.user_session)["user_activity"]) == {
        "vector", "vector_space", "profile_attributes", *(f.name for f in views.user.extra),
    }  # fmt: skip
