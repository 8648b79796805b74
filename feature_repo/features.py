"""The Feast objects, derived from `views` and `definitions`: the one file that `feast apply` scans."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, cast

from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
    ValueType,
)
from feast import types as feast_types

from feature_repo import on_demand, promotions, registry, views
from feature_repo.reads import Reads
from feature_repo.value import Value
from operators.aggregator import ATTRIBUTES
from operators.contract import Dtype, View

TYPES: dict[Dtype, feast_types.FeastType] = {
    "int64": feast_types.Int64,
    "float32": feast_types.Float32,
    "float64": feast_types.Float64,
    "string": feast_types.String,
    "bool": feast_types.Bool,
    "bytes": feast_types.Bytes,
    "int64[]": feast_types.Array(feast_types.Int64),
    "float32[]": feast_types.Array(feast_types.Float32),
    "string[]": feast_types.Array(feast_types.String),
    "bool[]": feast_types.Array(feast_types.Bool),
}


def home() -> Path:
    """The folder with the archive and the list of promoted features."""
    return Path(os.environ.get("FRESHET_HOME", "../.freshet"))


@cache
def entity(name: str) -> Entity:
    """Feast's entity of that name, with the join key `<name>_id`."""
    return Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)


def feature_view(view: View[Any]) -> FeatureView:
    """The Feast view of a declared one. Rows come from the stream; the files are their archive."""
    archive = FileSource(
        name=f"{view.name}_archive",
        path=f"{home()}/archive/{view.name}.parquet",
        timestamp_field="event_timestamp",
    )
    return FeatureView(
        name=view.name,
        entities=[entity(name) for name in view.entities],
        schema=[Field(name=f.name, dtype=TYPES[f.dtype], description=f.doc) for f in view.fields],
        source=PushSource(name=f"{view.name}_stream", batch_source=archive),
        ttl=timedelta(0),
        online=True,
        description=view.doc,
    )


user, item, region = entity("user"), entity("item"), entity("region")
user_activity = feature_view(views.user)
user_controls = feature_view(views.user_controls)
user_shown = feature_view(views.user_shown)
user_follows = feature_view(views.user_follows)
item_activity = feature_view(views.item)
item_region_activity = feature_view(views.item_region)
item_cooccurrence = feature_view(views.item_cooccurrence)
item_exploration = feature_view(views.item_exploration)
policy = entity("policy")
policy_model = feature_view(views.policy_model)

VIEWS = {
    v.name: v
    for v in (
        user_activity, user_controls, user_follows, user_shown, item_activity, item_region_activity, item_cooccurrence,
        item_exploration, policy_model,
    )
}  # fmt: skip
DECLARED = {v.name: v for v in views.ALL}

# Feast finds what a module holds by a name. Each declared view has a service, called as the view is, of what is not in
# another feature's shadow.
_declared, _promoted = registry.declared(), promotions.promoted(home())
for _entity in _declared.features:
    _view = _declared.view(_entity)
    VIEWS[_view.name], DECLARED[_view.name] = feature_view(_view), _view
    _fields = [f.name for feature in _declared.in_service(_entity, _promoted) for f in feature.fields]
    _service = FeatureService(name=_view.name, features=[VIEWS[_view.name][_fields]], description=_view.doc)
    globals().update({f"{name}_entity": entity(name) for name in _view.entities if name not in globals()})
    globals().update({_view.name: VIEWS[_view.name], f"{_view.name}_service": _service})


def projections(values: Iterable[Value]) -> list[FeatureView]:
    """The views of declared values, each with those fields alone."""
    fields: dict[str, list[str]] = {}
    for value in values:
        fields.setdefault(value.entity.view, []).append(value.field.name)
    return [VIEWS[view][names] for view, names in fields.items()]


user_feed = FeatureService(
    name="user_feed",
    features=[
        user_activity[[f.name for f in views.user.fields if f.name != ATTRIBUTES]],  # read where a filter reads them
        user_controls,
        user_follows,
        *projections(_declared.reads.user),
    ],
    description="what a feed request reads of a person",
)
user_session = FeatureService(
    name="user_session",
    features=[user_activity[[f.name for f in views.user.fields if f.dtype != "bytes" and "vector" not in f.name]]],
    description="a person's features for people to read",
)
item_stats = FeatureService(name="item_stats", features=[item_activity], description="one item")
item_region_stats = FeatureService(
    name="item_region_stats", features=[item_region_activity], description="one item in one region"
)
item_together = FeatureService(
    name="item_together", features=[item_cooccurrence], description="what one item is bought together with"
)
item_explored = FeatureService(
    name="item_explored", features=[item_exploration], description="how often one item was explored, and taken"
)
policy_state = FeatureService(
    name="policy_state", features=[policy_model], description="the linear model of one bandit policy"
)


# Feast keeps a function's source and runs that: it has to bring along what it uses.
COMPUTE = """\
def compute(inputs):
    from feature_repo import on_demand

    return on_demand.compute(inputs)
"""


def on_demand_view() -> OnDemandFeatureView:
    """The crosses that Feast can compute, by (user, item) and what is asked."""
    of = on_demand.crosses()
    reads, asked = Reads.of(of), on_demand.asked(of)
    request = [Field(name=name, dtype=TYPES["string" if name == on_demand.DEVICE else "int64"]) for name in asked]
    return OnDemandFeatureView(
        name="crosses",
        sources=[
            *projections((*reads.user, *reads.item)),
            item_activity[list(on_demand.CATALOGUE)],
            *([RequestSource(name="request", schema=request)] if request else []),
        ],
        schema=[Field(name=cross.name, dtype=TYPES["float64"], description=cross.doc) for cross in of],
        udf=cast(FunctionType, on_demand.compute),
        udf_string=COMPUTE,
        mode="python",
        description="inputs of the ranker over declared features",
    )


if on_demand.crosses():
    crosses = on_demand_view()
