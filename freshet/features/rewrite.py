"""Makes the running job write the rows of all keys again, after the store has lost its data.

The job writes a row when it changes. The topics in `schemas.topics.REFRESH` make it load a key and write all of its
rows from Flink's state; the keys are read from the event topics, which keep every event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from freshet.settings import Settings

if TYPE_CHECKING:
    from feature_repo.repository import Repository
    from follow.to_end import Message
    from operators.contract import World


def keys(messages: Iterable[Message], world: World, repository: Repository) -> dict[str, set[str]]:
    """Operator → the keys of the messages in the event topics. Keys of rejected messages may be among them; they have
    no state, and the job writes nothing for them."""
    from feature_repo.builders import user_operator
    from operators.contract import Record, Signal
    from operators.gate import Admissions, Gate
    from schemas import messages as contract
    from schemas import topics
    from schemas.errors import EventError
    from schemas.events import Item

    class Admitted:
        def __init__(self) -> None:
            self.watermark, self.did, self.shown, self.profile = 0, Admissions(), Admissions(), dict[str, Any]()

    operator, gate = user_operator(world, None, repository), Gate(world, None)
    found: dict[str, set[str]] = {name: set() for name in topics.REFRESH}
    states: dict[str, Admitted] = {}
    for message in messages:
        try:
            event = contract.read(message.topic, message.key, message.value)
            if isinstance(event, Item):
                found["item"].add(event.item_id)
                # Of every version: rows are kept also of categories and brands that no item has any more.
                about = Signal("view", 0, event.item_id, categories=event.categories, brand=event.brand or "")
                found["item"].update(operator.listeners(about))
                continue
            found["user"].add(event.user_id)
            for signal in gate.take(states.setdefault(event.user_id, Admitted()), Record(event)):
                found["item"].update(operator.listeners(signal))
        except EventError:
            continue  # a dead letter
    return found


def known(settings: Settings) -> dict[str, set[str]]:
    """`keys` of everything that Kafka holds now. Raises KafkaUnreadable."""
    from feature_repo import registry
    from follow import to_end
    from schemas.topics import EVENT_TOPICS
    from streams import world

    found = world.shared(settings.connection, settings.bundles)
    return keys(to_end.read(settings.connection, EVENT_TOPICS), found, registry.declared())


def send(settings: Settings, chosen: Mapping[str, Collection[str]]) -> None:
    """Makes the job load these keys of each operator and write their rows. Raises BrokerGone."""
    from freshet.data.producer import Producer
    from schemas.topics import REFRESH

    with Producer(settings) as producer:
        for operator, found in chosen.items():
            for key in found:
                producer.send(REFRESH[operator], key.encode(), b"")
        producer.flush()
