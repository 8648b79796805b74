"""Item columns over the real topics."""

from __future__ import annotations

from feast import FeatureStore

from feature_repo import registry
from feature_repo.inputs import names
from feature_repo.store import close
from follow.connection import Connection
from follow.follower import Follower
from schemas import bundle
from schemas.topics import ITEM_FEATURES
from serving.catalogue import LiveCatalogue
from tests.live import Live, until


def test_what_crosses_read_of_items_reaches_a_server_and_its_ranker(live: Live) -> None:
    """Beside Feast: the rows of the same job, over the other way."""
    declared, settings = registry.declared(), live.stack.settings
    reads, views = declared.reads.item, {value.entity.view for value in declared.reads.item}
    of = LiveCatalogue(declared.reads)
    follower = Follower(Connection(settings.kafka), [ITEM_FEATURES], of.on_record).start()
    store = FeatureStore("feature_repo", fs_yaml_file=settings.feature_store)
    try:
        assert len(views) == 1

        def same() -> bool:
            columns = of.columns
            rows = [{"item_id": item_id} for item_id in columns.ids]
            found = store.get_online_features(
                features=[value.key for value in reads], entity_rows=rows or [{"item_id": ""}]
            )
            said = found.to_dict()
            return len(rows) > 100 and all(
                columns.value(value.key).tolist()
                == [value.field.default if each is None else each for each in said[value.field.name]]
                for value in reads
            )

        assert follower.caught_up.wait(30)
        until(same, 30)
    finally:
        follower.stop()
        close(store)
    in_force = bundle.current(settings.bundles)
    assert in_force is not None
    assert in_force.manifest.rankers["feed"].inputs == list(names(declared.crosses))
    assert live.whole_feed("u1")["model_version"] == in_force.version
