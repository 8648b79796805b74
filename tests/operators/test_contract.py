"""What a view is made of."""

from __future__ import annotations

from operators.contract import Field, View
from operators.history import Applied, Recent


def test_a_views_fields_are_those_of_its_aggregations_in_order() -> None:
    extra = Field("state", "bytes", b"")
    view: View[object] = View("v", ("user",), (Applied(), Recent({}, 3)), extra=(extra,))
    assert [f.name for f in view.fields] == [
        "applied_partition", "applied_offset", "last_event_at", "read_partition", "read_offset",
        "recent_items", "recent_types", "recent_times",
        "recent_tastes", "state",
    ]  # fmt: skip
