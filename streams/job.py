"""The main job: Kafka → user operator → item operator → online store, dead letters, item features, examples, archive.

    interactions ┐                       ┌─ accepted, examples ─► archive; topic examples
    impressions  ├─ keyed by user ─► user operator ─ signals ─ keyed by item, category … ─► item operator
    users        ┘                                    ▲
    items ────────────────────────────────────────────┘

Two Python operators and no more: each crossing between Java and Python costs as much as an update.
`python -m streams.job` runs it in a mini cluster of its own; `flink run` takes the same module.
"""

from __future__ import annotations

import logging
from typing import Any

from pyflink.common import Configuration, Types
from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment

from schemas.topics import EVENT_TOPICS, EXAMPLES, ITEM_FEATURES, ITEMS, JOB_GROUP, REFRESH, USER_KEYED, dlq
from streams import archive, examples
from streams.event_clock import ItemEventClock, UserEventClock
from streams.functions import ItemFunction, UserFunction
from streams.settings import JobSettings
from streams.wire import DEAD, FEATURES, KEYED_MESSAGE, MESSAGE

FUNCTIONS = {
    ("user", "wall"): UserFunction,
    ("item", "wall"): ItemFunction,
    ("user", "event"): UserEventClock,
    ("item", "event"): ItemEventClock,
}
"""by operator and clock"""


def configuration(settings: JobSettings) -> Configuration:
    """Flink's options for this job; a cluster's own apply where this sets none."""
    options = {
        "python.execution-mode": "thread",
        "pipeline.name": "freshet",
        "pipeline.object-reuse": "true",
        # The default holds a record back for up to 100 ms to fill a network buffer. With 0 each is sent at once, and no
        # thread wakes up every millisecond to send it; its cost is negligible against what Python takes for a record.
        "execution.buffer-timeout.interval": "0 ms",
        "table.local-time-zone": "UTC",
        "state.backend.type": settings.state_backend,
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "200 ms",
        "restart-strategy.exponential-delay.max-backoff": "10 s",
    }
    if settings.checkpoints:
        options |= {
            "execution.checkpointing.interval": f"{int(settings.checkpoint_seconds * 1000)} ms",
            "execution.checkpointing.min-pause": "500 ms",
            "execution.checkpointing.dir": settings.checkpoints,
            "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            "execution.checkpointing.num-retained": "2",
        }
    if settings.savepoint:
        options["execution.state-recovery.path"] = settings.savepoint
    if settings.flink_port:
        options["rest.port"] = str(settings.flink_port)
        options["rest.bind-address"] = "127.0.0.1"
        # Blobs and shuffles have ports of no fixed number, on all addresses where nothing is said.
        options["jobmanager.bind-host"] = options["taskmanager.bind-host"] = "127.0.0.1"
        options["jobmanager.rpc.address"] = options["taskmanager.host"] = "127.0.0.1"
        options["metrics.fetcher.update-interval"] = "1000"
    if settings.jars:
        options["pipeline.jars"] = settings.jars
    found = Configuration()
    for name, value in options.items():
        found.set_string(name, value)
    return found


class Job:
    """Builds the graph. Splitting it from `main` lets tests run it against their own topics."""

    def __init__(self, settings: JobSettings) -> None:
        self.settings = settings
        self.env = StreamExecutionEnvironment.get_execution_environment(configuration(settings))
        self.env.set_parallelism(settings.parallelism)
        self.tables = StreamTableEnvironment.create(self.env)

    def build(self) -> None:
        """Connects the sources, both operators and the sinks."""
        users = self._operator("user", self._source("events", (*USER_KEYED, REFRESH["user"])), KEYED_MESSAGE)
        everything = users.union(self._source("catalogue", (ITEMS, REFRESH["item"])))
        items = self._operator("item", everything, FEATURES)
        dead = users.get_side_output(DEAD).union(items.get_side_output(DEAD))
        statements = self.tables.create_statement_set()
        for name, stream, columns, topics in (
            ("dead_letters", dead, ", t STRING METADATA FROM 'topic'", [dlq(t) for t in EVENT_TOPICS]),
            ("item_features", items, "", [ITEM_FEATURES]),
        ):
            self._topic(name, topics, columns)
            statements.add_insert(name, self.tables.from_data_stream(stream))
        if self.settings.archives:
            archive.attach(self.tables, statements, users.get_side_output(archive.ACCEPTED), self.settings.archive)
        self._topic("labelled", [EXAMPLES])
        examples.attach(self.tables, statements, users.get_side_output(examples.CLOSED), "labelled")
        if self.settings.archives:
            examples.archive(self.tables, statements, self.settings.examples)
        statements.attach_as_datastream()

    def run(self) -> None:
        """Runs until cancelled (or to the end of the topics, where bounded)."""
        self.env.execute("freshet")

    def _topic(self, name: str, topics: list[str], columns: str = "") -> None:
        """A table `name` that writes keys and values to topics."""
        self.tables.execute_sql(
            f"CREATE TEMPORARY TABLE {name} (k STRING, v BYTES{columns}) WITH ({self._kafka(topics)},"
            " 'key.format' = 'raw', 'key.fields' = 'k',"
            " 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY',"
            " 'properties.linger.ms' = '5')"
        )

    def _source(self, name: str, topics: tuple[str, ...]) -> DataStream:
        """Messages of the topics as KEYED_MESSAGE, keyed as in Kafka.

        The Table API's source gives a message's partition and offset; PyFlink's DataStream source gives the bytes
        alone.
        """
        bounded = ", 'scan.bounded.mode' = 'latest-offset'" if self.settings.bounded else ""
        self.tables.execute_sql(
            f"CREATE TEMPORARY TABLE {name} (k BYTES, v BYTES,"
            " topic STRING NOT NULL METADATA VIRTUAL, `partition` INT NOT NULL METADATA VIRTUAL,"
            " `offset` BIGINT NOT NULL METADATA VIRTUAL,"
            " arrived TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL) WITH ("
            f"{self._kafka(topics)}, 'properties.group.id' = '{JOB_GROUP}-{name}',"
            # Digests and their impressions are written in transactions (freshet/digests): of one that was aborted
            # nothing is read.
            " 'properties.isolation.level' = 'read_committed',"
            " 'scan.startup.mode' = 'earliest-offset', 'key.format' = 'raw', 'key.fields' = 'k',"
            f" 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY'{bounded})"
        )
        table = self.tables.sql_query(
            "SELECT k, ROW(k, v, topic, p, o, a) FROM (SELECT COALESCE(DECODE(k, 'UTF-8'), '') AS k, v,"
            " topic, `partition` AS p, `offset` AS o,"
            " 1000 * EXTRACT(EPOCH FROM arrived) + EXTRACT(MILLISECOND FROM arrived) AS a"
            f" FROM (SELECT k, v, topic, `partition`, `offset`, CAST(arrived AS TIMESTAMP(3)) AS arrived FROM {name}))"
        )
        stream = self.tables.to_data_stream(table)
        _identify(described(stream), name)
        return stream

    def _operator(self, name: str, stream: DataStream, out: Types) -> DataStream:
        function = FUNCTIONS[name, self.settings.clock]
        # What closes files at a checkpoint is chained to the operator. In a task of its own it would not hold clicks up
        # for 40 ms then, but each event would wake its thread: the 99th percentile was four times as late.
        return keyed(stream).process(function(self.settings), out).name(f"{name} operator").uid(f"{name}-operator")

    def _kafka(self, topics: tuple[str, ...] | list[str]) -> str:
        found = self.settings.connection.java()
        return f"'connector' = 'kafka', 'topic' = '{';'.join(topics)}', " + ", ".join(
            f"'properties.{name}' = {_literal(value)}" for name, value in found.items()
        )


def _literal(text: str) -> str:
    """A string of Flink's SQL, in which nothing but the quotation mark is special."""
    return "'" + text.replace("'", "''") + "'"


def described(stream: DataStream) -> Any:
    """The stream's transformation, with KEYED_MESSAGE as its declared type: rows of both APIs are the same objects, but
    the keyed Python operator only accepts the DataStream API's description of them."""
    transformation = stream._j_data_stream.getTransformation()
    transformation.setOutputType(KEYED_MESSAGE.get_java_type_info())
    return transformation


def keyed(stream: DataStream) -> KeyedStream:
    """The stream by key. That is the first field already, so Flink's own selector takes it, which saves the additional
    Python operator that `key_by` would put before it."""
    selector, kind = get_gateway().jvm.KeyByKeySelector(), Types.ROW([Types.STRING()]).get_java_type_info()
    return KeyedStream(stream._j_data_stream.keyBy(selector, kind), MESSAGE, stream)


def _identify(transformation: object, name: str, depth: int = 0) -> None:
    """Gives the transformations of a table source uids of our own, from the last to the first, so that
    their state is restored whatever else changes in the job."""
    if transformation.getUid() is None:  # type: ignore[attr-defined]
        transformation.setUid(f"{name}-{depth}")  # type: ignore[attr-defined]
    for before in transformation.getInputs():  # type: ignore[attr-defined]
        _identify(before, name, depth + 1)


def main() -> None:
    """Entry of `python -m streams.job` and of `flink run -pym streams.job`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Python's own entry module cannot be imported by workers under its name, so functions live elsewhere.
    job = Job(JobSettings())
    job.build()
    job.run()


if __name__ == "__main__":
    main()
