"""A backfill as a batch job of Flink: each key's archived events in their order, on as many machines as there are.

    archive ─ keyed by user ─► user operator ─ signals ─ keyed by item, category … ─► item operator
                                    └──────── rows, states at the end ────────────────┴─► Parquet

Flink sorts what it keys by time in batch mode, so that a key's events come one after another, and then no more: an
operator holds the state of one key. The same driver takes them as in a backfill within one process
(training/backfill.py), which this one is for where that would take too long.

`python -m streams.backfill` runs it in a mini cluster of its own; `flink run` takes the same module.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from cyclopts import App
from pyflink.common import Row as FlinkRow
from pyflink.common import Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import (
    DataStream,
    KeyedProcessFunction,
    OutputTag,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.table import StreamTableEnvironment

from feature_repo import registry
from feature_repo.builders import declared_alone
from operators import cells
from operators.contract import Record, Row, owner
from operators.driver import Driver
from operators.time import END
from schemas.archived import RANK, decode
from schemas.errors import EventError, NoConsent
from streams import archive, interpreter, wire, world
from streams.job import configuration, described, keyed
from streams.settings import JobSettings
from streams.wire import BYTES, KEYED_MESSAGE

ROWS = OutputTag("rows", Types.ROW_NAMED(["view", "at", "row"], [Types.STRING(), Types.LONG(), BYTES]))
STATES = OutputTag(
    "states",
    Types.ROW_NAMED(["operator", "key", "part", "state"], [Types.STRING(), Types.STRING(), Types.STRING(), BYTES]),
)
OUTPUTS = {
    "rows": (ROWS, {"view": "STRING", "at": "BIGINT", "row": "BYTES"}),
    "states": (STATES, {"operator": "STRING", "key": "STRING", "part": "STRING", "state": "BYTES"}),
}
"""folder → what it is made of and its files' columns; `row` is the row's key and values in msgpack"""

_pack = msgspec.msgpack.Encoder().encode
log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """What to read, and where to leave what comes of it."""

    events: str
    """the folder of archived events, a URI"""
    out: str
    """the folder for `rows` and `states`, a URI"""
    output: str
    """what to leave there: "rows" or "states", one of OUTPUTS"""
    until: int
    """epoch ms; rows that change by themselves do so until then"""
    states: frozenset[int] = frozenset()
    """features, by their states' keys; all that are declared where empty"""


class Order(TimestampAssigner):  # type: ignore[misc]
    """The place of an archived event among those of its key, as `training/archive.py` orders them."""

    def extract_timestamp(self, value: Any, record_timestamp: int) -> int:
        _, _, topic, _, offset, taken = value[1]
        # 41 bits, 2 and 20: within a millisecond, every 1,048,576 messages of a partition, one may come before another.
        return int(taken << 22 | RANK[topic] << 20 | offset & 0xFFFFF)


class BackfillFunction(KeyedProcessFunction):  # type: ignore[misc]
    """Runs the operator called `name` ("user" or "item"), with what is declared alone, over one key after another."""

    def __init__(self, name: str, settings: JobSettings, asked: Asked) -> None:
        self._name = name
        self._settings = settings
        self._asked = asked

    def open(self, context: RuntimeContext) -> None:
        interpreter.share()
        settings = self._settings
        declared = registry.load(settings.definitions)
        if self._asked.states:
            declared = declared.only(self._asked.states)
        found = world.shared(settings.connection, settings.bundles)
        operators = declared_alone(found, declared, settings.opt_in)
        (self._operator,) = (operator for operator in operators if operator.name == self._name)
        self._rows: list[tuple[OutputTag, FlinkRow]] = []
        emit = self._emit if self._asked.output == "rows" else None
        self._driver = Driver(self._operator, emit, emits=lambda part: owner(part) != "")

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        key = value[0]
        try:
            for record in _records(value):
                for signal in self._driver.take(key, record):
                    for listener in self._operator.listeners(signal):
                        yield wire.downstream(listener, [signal], None, record.taken)
        except NoConsent:
            pass
        except EventError as error:  # rules may have changed since; a replay leaves it out as well
            log.warning("an archived event of %s is left out: %s", key, error)
        yield from self._left()
        ctx.timer_service().register_event_time_timer(END)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """The key's end: what changes by itself, and its states but those that are over."""
        until = self._asked.until
        self._driver.forget(until)
        self._driver.finish(until)
        yield from self._left()
        for (key, part), state in self._driver.states.items() if self._asked.output == "states" else ():
            # The users' own part too: it holds their profiles, which a backfill that goes on from here needs.
            if owner(part) or self._name == "user":
                yield STATES, FlinkRow(self._name, key, part, cells.pack(self._operator.encode(part, state)))
        self._driver.states.clear()

    def _emit(self, row: Row, at: int) -> None:
        self._rows.append((ROWS, FlinkRow(row.view, at, _pack((row.key, row.values)))))

    def _left(self) -> list[tuple[OutputTag, FlinkRow]]:
        found, self._rows = self._rows, []
        return found


def _records(message: Any) -> list[Record]:
    """Those in a MESSAGE: an archived event as JSON, or signals."""
    _, event, topic, partition, offset, taken = message
    if not topic:
        return [record._replace(taken=taken) for record in wire.records(message)]
    return [Record(decode(topic, event), topic, partition, offset, taken=taken)]


class BackfillJob:
    """Builds the graph."""

    def __init__(self, settings: JobSettings, asked: Asked) -> None:
        self._settings = settings
        self._asked = asked
        options = configuration(settings)
        options.set_string("execution.runtime-mode", "BATCH")
        options.set_string("restart-strategy.type", "none")  # whoever waits for it is to hear of it
        options.set_string("rest.bind-port", "0")  # the job's page has the usual one
        options.set_string("rest.bind-address", "127.0.0.1")
        self._env = StreamExecutionEnvironment.get_execution_environment(options)
        if "parallelism" in settings.model_fields_set:  # else it is the cluster's to say, as in `flink run -p`
            self._env.set_parallelism(settings.parallelism)
        self._tables = StreamTableEnvironment.create(self._env)

    def run(self) -> None:
        """Runs to the end of the archive."""
        order = WatermarkStrategy.no_watermarks().with_timestamp_assigner(Order())
        events = self._events().assign_timestamps_and_watermarks(order)
        users = self._operator("user", events)
        items = self._operator("item", users)
        statements = self._tables.create_statement_set()
        tag, columns = OUTPUTS[self._asked.output]
        self._table("filled", f"{self._asked.out}/{self._asked.output}", columns)
        both = users.get_side_output(tag).union(items.get_side_output(tag))
        statements.add_insert("filled", self._tables.from_data_stream(both))
        statements.attach_as_datastream()
        self._env.execute("freshet backfill")

    def _operator(self, name: str, stream: DataStream) -> DataStream:
        function = BackfillFunction(name, self._settings, self._asked)
        return keyed(stream).process(function, KEYED_MESSAGE).name(f"{name} operator")

    def _events(self) -> DataStream:
        """The archive as KEYED_MESSAGE, by user."""
        self._table("events", self._asked.events, archive.COLUMNS, "PARTITIONED BY (topic, `day`)")
        table = self._tables.sql_query(
            "SELECT k, ROW(k, v, topic, p, o, a) FROM (SELECT JSON_VALUE(event, '$.user_id') AS k,"
            " ENCODE(event, 'UTF-8') AS v, topic, `partition` AS p, `offset` AS o, taken AS a FROM events)"
        )
        stream = self._tables.to_data_stream(table)
        described(stream)
        return stream

    def _table(self, name: str, path: str, columns: Mapping[str, str], partitioned: str = "") -> None:
        kinds = ", ".join(f"`{column}` {kind}" for column, kind in columns.items())
        self._tables.execute_sql(
            f"CREATE TEMPORARY TABLE {name} ({kinds}) {partitioned} WITH ("
            f"'connector' = 'filesystem', 'path' = '{path}', 'format' = 'parquet')"
        )


def main() -> None:
    """Entry of `python -m streams.backfill` and of `flink run -pym streams.backfill`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    from streams import backfill  # workers cannot import functions of `__main__`

    def run(
        *, events: str, out: str, output: Literal["rows", "states"], until: int, state: tuple[int, ...] = ()
    ) -> None:
        """Features over archived events, in batch mode.

        Parameters
        ----------
        events
            Folder of the archived events, a URI.
        out
            Folder for rows and states, a URI.
        output
            What to leave there.
        until
            Epoch ms until which time goes on.
        state
            A feature, by its state's key; all that are declared where none is named.
        """
        backfill.BackfillJob(JobSettings(), backfill.Asked(events, out, output, until, frozenset(state))).run()

    # The client of a cluster goes on after this module; cyclopts would end the process.
    App(default_command=run)(result_action="return_value")


if __name__ == "__main__":
    main()
