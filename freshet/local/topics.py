"""Creates Kafka's topics; the broker does not create topics that a client misspells."""

import sys

from follow.connection import Connection, KafkaSecurity
from freshet.errors import ComponentError
from freshet.settings import PARTITIONS
from schemas import topics

_ITEM_PARTITIONS = 4
_REFRESH_MS = 3_600_000
_EXAMPLES_MS = 7 * 86_400_000
_RULES_MS = 86_400_000
_DIGESTS_MS = 90 * 86_400_000


def layout(partitions: int) -> dict[str, tuple[int, dict[str, str]]]:
    """Every topic with its number of partitions and its configuration.

    Topics keyed by user have equal numbers of partitions, so that all of a user's events go to one subtask.
    """
    # An event carries its own time, which may be years ago (an imported log). Were the broker to stamp messages with
    # it, retention would delete old events as they arrive; so the broker's clock stamps them, and no event expires.
    kept = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
    found: dict[str, tuple[int, dict[str, str]]] = {}
    for topic in (*topics.EVENT_TOPICS, topics.ITEM_FEATURES):
        count = partitions if topic in topics.USER_KEYED else _ITEM_PARTITIONS
        compact = {"cleanup.policy": "compact"} if topic in topics.COMPACTED else {}
        found[topic] = (count, {**kept, **compact})
    for operator, topic in topics.REFRESH.items():
        found[topic] = (
            partitions if operator == "user" else _ITEM_PARTITIONS,
            {**kept, "retention.ms": str(_REFRESH_MS)},
        )
    # One partition: of changes that were made at once on several servers, all of them see the same one first. A record
    # that another has followed stays for a day, within which a change that came second is taken back.
    found[topics.RULES] = (1, {**kept, "cleanup.policy": "compact", "min.compaction.lag.ms": str(_RULES_MS)})
    # Files keep them for good.
    found[topics.EXAMPLES] = (partitions, {**kept, "retention.ms": str(_EXAMPLES_MS)})
    # Longer than any cap of a digest: what was sent is read from here.
    found[topics.DIGESTS] = (partitions, {**kept, "retention.ms": str(_DIGESTS_MS)})
    for topic in topics.EVENT_TOPICS:
        found[topics.dlq(topic)] = (1, dict(kept))
    return found


def create(connection: Connection, partitions: int = PARTITIONS) -> list[str]:
    """Creates the topics that are missing on the broker and return their names.

    Raises ComponentError if the broker refuses.
    """
    from kafka.admin import KafkaAdminClient, NewTopic
    from kafka.errors import KafkaError, TopicAlreadyExistsError

    try:
        admin = KafkaAdminClient(**connection.kafka_python(), request_timeout_ms=15_000)
        try:
            present = set(admin.list_topics())
            missing = {name: spec for name, spec in layout(partitions).items() if name not in present}
            if missing:
                admin.create_topics(
                    [NewTopic(name, count, 1, topic_configs=config) for name, (count, config) in missing.items()],
                    wait_for_metadata=True,
                )
            return list(missing)
        finally:
            admin.close()
    except TopicAlreadyExistsError:
        return []  # somebody else was quicker: what we wanted exists
    except KafkaError as error:
        raise ComponentError(f"kafka: the topics could not be created ({error})") from error


if __name__ == "__main__":
    # For a broker that is not ours to start: `python -m freshet.local.topics host:port`.
    print("created", ", ".join(create(Connection(sys.argv[1], KafkaSecurity()))) or "nothing: all topics exist")
