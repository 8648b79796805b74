"""The catalogue and the space that operators look up, in a Flink worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from freshet.ports import free_ports
from streams import world


def test_no_event_is_taken_before_the_catalogue_has_been_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(world, "CATALOGUE_DEADLINE_S", 0.1)
    with pytest.raises(TimeoutError, match="topic items"):
        world.shared(f"127.0.0.1:{free_ports()['kafka_port']}", tmp_path)
