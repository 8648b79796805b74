"""The commands' producer: the first error is the one that is reported."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from freshet.data.producer import BrokerGone, Producer
from freshet.local.ports import free_ports
from freshet.settings import Settings


class Undelivered:
    """A KafkaProducer that has something under way for ever."""

    def __init__(self, **config: Any) -> None:
        pass

    def close(self, timeout: float) -> None:
        raise KafkaTimeoutError("there is something under way")


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    monkeypatch.setattr("kafka.KafkaProducer", Undelivered)
    return Producer(Settings(**free_ports()))


def test_an_error_within_is_not_hidden_by_what_is_under_way(producer: Producer) -> None:
    with pytest.raises(KeyError, match="the first"), producer:
        raise KeyError("the first")


def test_what_is_not_delivered_by_the_end_is_an_error(producer: Producer) -> None:
    with pytest.raises(BrokerGone, match="stopped acknowledging"), producer:
        pass
