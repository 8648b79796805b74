"""The types of the rows between Flink and the adapter, and the conversion of rows to records and back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from pyflink.common import Row as FlinkRow
from pyflink.common import Types
from pyflink.datastream import OutputTag

from feature_repo import item_rows
from operators.contract import NEVER, Record, Row, Signal
from schemas import messages
from schemas.clock import now_ms
from schemas.errors import EventError
from schemas.topics import REFRESH, dlq, features_key

_REFRESH = frozenset(REFRESH.values())
BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())

MESSAGE = Types.ROW([Types.STRING(), BYTES, Types.STRING(), Types.INT(), Types.LONG(), Types.LONG()])
"""(Kafka key, value, topic, partition, offset, broker's time in ms); topic "" for downstream signals"""

KEYED_MESSAGE = Types.ROW([Types.STRING(), MESSAGE])
"""What Flink's embedded keyed operators expect: the key, then what the function is given"""

FEATURES = Types.ROW([Types.STRING(), BYTES])
"""(key, value) for the topic item_features"""

DEAD = OutputTag("dead-letters", Types.ROW([Types.STRING(), BYTES, Types.STRING()]))
"""(key, value, dead-letter topic)"""

LETTER_PAYLOAD_BYTES = 512 * 1024
LETTER_TEXT = 1024
"""How much of a broken message its letter holds, in bytes of payload and characters of any text: in base64 the
largest message would not fit into another, and the job would fail on it again and again. The rest stays in Kafka."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[list[Any]]).decode


SIGNALS_AT_ONCE = 1000
"""downstream signals in one message"""


def downstream(key: str, signals: list[Signal], fields: int | None, arrived: int) -> FlinkRow:
    """Downstream signals of one key as a MESSAGE to the next operator: the first `fields` of each signal, or all, as of
    a signal with a context; `arrived` as in MESSAGE."""
    payload = _pack([signal if signal.context else signal[:fields] for signal in signals])
    return FlinkRow(key, FlinkRow(key, payload, "", 0, 0, arrived))


def all_downstream(key: str, signals: list[Signal], fields: int | None, arrived: int) -> Iterator[FlinkRow]:
    """The same of any number of signals, as several messages where one would be too long."""
    for start in range(0, len(signals), SIGNALS_AT_ONCE):
        yield downstream(key, signals[start : start + SIGNALS_AT_ONCE], fields, arrived)


def records(message: Sequence[Any], taken: int = 0) -> list[Record]:
    """The records in a MESSAGE: one event, or a key's downstream signals; none where the key is to be loaded (a
    refresh). `taken` as in Record.

    Raises EventError where the message is not an event of its key.
    """
    key, value, topic, partition, offset, arrived = message
    if not topic:
        return [Record(Signal(*fields), "", -1, -1, NEVER, taken) for fields in _unpack(value)]
    if topic in _REFRESH:
        return []
    return [Record(messages.read(topic, key, value), topic, partition, offset, arrived, taken)]


def dead_letter(message: Any, error: EventError, withheld: bool = False) -> tuple[OutputTag, FlinkRow]:
    """The JSON of a dead letter: the error and the message that caused it. Where it is `withheld`, since its person has
    not consented, the letter has the message's place in Kafka alone."""
    key, value, topic, partition, offset, arrived = message
    payload = value or b""
    if withheld:
        key, payload, error = "", b"", type(error)("not kept: the person has not consented to personalization")
    letter = {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "reason": error.reason,
        "field": error.field[:LETTER_TEXT],
        "detail": error.detail[:LETTER_TEXT],
        "arrived_at": arrived,
        "rejected_at": now_ms(),
        "payload_bytes": len(payload),
        "payload": base64.b64encode(payload[:LETTER_PAYLOAD_BYTES]).decode(),
    }
    return DEAD, FlinkRow(key[:LETTER_TEXT], json.dumps(letter).encode(), dlq(topic))


def features(row: Row, fields: Sequence[tuple[int, str]] = ()) -> FlinkRow:
    """A row for the compacted topic from which servers update their item columns. For a row of declared features it has
    the values at the places of `fields`, by name: a server may have other features declared than the job."""
    return FlinkRow(features_key(row.view, row.key), item_rows.encode(row, fields))
