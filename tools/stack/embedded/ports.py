"""Ports of this machine: which are free, and which a local stack keeps from start to start."""

import json
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below the range from which the kernel takes ports for outgoing connections (32768 on Linux): one of those could otherwise
# sit on a kept port just when the broker restarts. Above what well-known servers use.
FREE_FIRST, FREE_LAST = 20_000, 32_000
TRIES_MAX = 200  # with 12,000 ports, two hundred misses mean that something else is wrong


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: a closed port's old connections are no hindrance
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(taken: set[int] | None = None) -> int:
    """A free loopback port that is not in `taken`."""
    for _ in range(TRIES_MAX):
        port = random.randint(FREE_FIRST, FREE_LAST)
        if port not in (taken or set()) and is_free(port):
            return port
    raise AssertionError(f"no free port between {FREE_FIRST} and {FREE_LAST} in {TRIES_MAX} tries")


def kept_ports(path: Path, names: list[str], spoken_for: range = range(0)) -> dict[str, int]:
    """A port for each name: the one kept in the JSON file at `path` while it is free, else another, which is then kept.

    Never one of `spoken_for`: ports that the caller is about to give to somebody else.
    """
    kept: dict[str, int] = json.loads(path.read_text("ascii")) if path.exists() else {}
    ports: dict[str, int] = {}
    for name in names:
        port = kept.get(name)
        if port is None or port in spoken_for or not is_free(port):
            port = free_port({*kept.values(), *ports.values(), *spoken_for})
        ports[name] = port
    part = path.with_suffix(".part")
    part.write_text(json.dumps(ports, indent=2) + "\n", "ascii")
    part.replace(path)
    return ports
