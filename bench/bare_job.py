"""The bare PyFlink job that the throughput of Freshet's job is divided by: `python -m bench.bare_job`.

It is the least that a stateful Python job in thread mode does between Kafka and Redis, with the options of Freshet's
own job: read a message, decode the event, add one to a count in one dictionary a user in Flink's keyed state, and
write one hash field a row through a Redis pipeline. It does not deduplicate, order, expire or serve anything.
"""

from __future__ import annotations

import os
import time
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, KeyedStream, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.state import ValueStateDescriptor
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment
from redis import Redis

from bench.bare import FIELD, FLUSH_MS, MOST_PENDING, OPERATOR, REDIS, key_of
from schemas import codec
from schemas.topics import INTERACTIONS
from streams import interpreter
from streams.job import configuration
from streams.settings import JobSettings

MESSAGE = Types.ROW([Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE())])
KEYED_MESSAGE = Types.ROW([Types.STRING(), MESSAGE])


class Counting(KeyedProcessFunction):  # type: ignore[misc]
    """Counts a user's events by type; the row is the sum."""

    def open(self, context: RuntimeContext) -> None:
        interpreter.share()
        host, port = os.environ[REDIS].split(":")
        self._pipeline = Redis(host, int(port)).pipeline(transaction=False)
        self._state = context.get_state(ValueStateDescriptor("counts", Types.PICKLED_BYTE_ARRAY()))
        self._accepted = context.get_metrics_group().add_group("freshet").add_group(OPERATOR).counter("accepted")
        self._pending = 0

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> None:
        user_id, payload = value
        event = codec.decode(INTERACTIONS, payload)
        counts = self._state.value() or {}
        counts[event.event_type] = counts.get(event.event_type, 0) + 1
        self._state.update(counts)
        self._pipeline.hset(key_of(user_id), FIELD, sum(counts.values()))
        if not self._pending:
            ctx.timer_service().register_processing_time_timer(time.time_ns() // 1_000_000 + FLUSH_MS)
        self._pending += 1
        if self._pending >= MOST_PENDING:
            self._flush()

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> None:
        self._flush()

    def close(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._pipeline.execute()
            self._accepted.inc(self._pending)
            self._pending = 0


def main() -> None:
    settings = JobSettings()
    environment = StreamExecutionEnvironment.get_execution_environment(configuration(settings))
    environment.set_parallelism(settings.parallelism)
    tables = StreamTableEnvironment.create(environment)
    tables.execute_sql(
        "CREATE TEMPORARY TABLE events (k BYTES, v BYTES) WITH ('connector' = 'kafka',"
        f" 'topic' = '{INTERACTIONS}', 'properties.bootstrap.servers' = '{settings.kafka}',"
        " 'properties.group.id' = 'bare', 'scan.startup.mode' = 'earliest-offset',"
        " 'key.format' = 'raw', 'key.fields' = 'k', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY')"
    )
    table = tables.sql_query("SELECT k, ROW(k, v) FROM (SELECT DECODE(k, 'UTF-8') AS k, v FROM events)")
    stream = tables.to_data_stream(table)
    # The embedded keyed operator accepts the DataStream API's type alone, and Flink's own selector of the first field
    # saves the additional Python operator that `key_by` would add.
    stream._j_data_stream.getTransformation().setOutputType(KEYED_MESSAGE.get_java_type_info())
    selector, kind = get_gateway().jvm.KeyByKeySelector(), Types.ROW([Types.STRING()]).get_java_type_info()
    keyed = KeyedStream(stream._j_data_stream.keyBy(selector, kind), MESSAGE, stream)
    counted = keyed.process(Counting(), Types.STRING()).name("bare operator")
    counted._j_data_stream.sinkTo(get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink())
    environment.execute("bare")


if __name__ == "__main__":
    main()
