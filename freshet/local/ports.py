"""Finds the program that listens on a port, and free ports."""

import random
import socket

import psutil

# Below the range from which systems hand out ports to outgoing connections, so none is taken between choice and use.
_FROM, _TO = 20_000, 32_000
_FIELDS = ("kafka_port", "kafka_controller_port", "redis_port", "flink_port", "http_port")


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections of an ended server linger in TIME_WAIT; they do not hinder a new server, nor this probe.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def is_listening(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def owner(port: int) -> str:
    """`name (pid n)` of the program that listens on a port, or "" where the system does not show it."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return ""


def free_ports(host: str = "127.0.0.1") -> dict[str, int]:
    """A free port for each port setting: `Settings(home=…, **free_ports())`. Safe for tests that run in parallel."""
    chooser = random.SystemRandom()
    ports: dict[str, int] = {}
    while len(ports) < len(_FIELDS):
        port = chooser.randrange(_FROM, _TO)
        if port not in ports.values() and is_free(host, port):
            ports[_FIELDS[len(ports)]] = port
    return ports
