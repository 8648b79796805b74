"""Consumers that cannot be made leave nothing behind."""

from __future__ import annotations

import socket
import threading
import time

import psutil
import pytest
from kafka.errors import KafkaError

from follow import clients
from follow.connection import Connection


def test_a_broker_that_never_answers_leaves_no_thread_and_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = Connection(f"127.0.0.1:{server.getsockname()[1]}")
        left = []
        for _ in range(4):
            with pytest.raises(KafkaError):
                clients.consumer(connection, 600)
            deadline = time.monotonic() + 10
            while (now := (threading.active_count(), psutil.Process().num_fds())) > (left or [now])[0]:
                assert time.monotonic() < deadline, now
                time.sleep(0.05)
            left.append(now)
    assert left[-1] <= left[0]
