"""Sockets on which several processes listen."""

from __future__ import annotations

import socket


def shared(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet. Connections are distributed over all processes that bind the port so.

    Raises OSError where a program that does not share the port has it.
    """
    return _bound(host, port, share=True)


def check_free(host: str, port: int) -> None:
    """Raises OSError where any process listens on the port, also one that shares it."""
    _bound(host, port, share=False).close()


def _bound(host: str, port: int, share: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind(address)
    except BaseException:
        found.close()
        raise
    return found
