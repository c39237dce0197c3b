"""A whole local stack of its own for a measurement: temporary home, free ports, the same command as everybody uses."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from services.shared.runtime.process.settings import Settings
from tools.stack import local, processes

PORTS = range(18080, 28080, 40)  # where to look for a free block: below the ports that the system gives out by itself
COMMAND_SECONDS_MAX = 240


@contextmanager
def running() -> Iterator[Settings]:
    """A stack that is ready, with nothing in its log. Its settings, broker and database included; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tolqyn-bench-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user, who must get through
    ended = signal.signal(signal.SIGTERM, _interrupted)  # else the stack, in its own session, would outlive us
    given = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("TOLQYN_", "KAFKA_", "DATABASE_"))}
    os.environ |= {"TOLQYN_HOME": str(folder / "home"), "TOLQYN_PORT": str(_free_port())}
    try:
        tolqyn("up", "--detach")
        yield local.settings()
    finally:
        tolqyn("down")
        shutil.rmtree(folder)
        del os.environ["TOLQYN_HOME"], os.environ["TOLQYN_PORT"]
        os.environ |= given
        signal.signal(signal.SIGTERM, ended)


def _interrupted(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def tolqyn(*arguments: str) -> str:
    """Run the command for the stack of this environment; its output. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tools.command", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=True,
    )
    return done.stdout


def cpu_seconds(settings: Settings) -> dict[str, float]:
    """User and system seconds that every process of the stack has used so far, its children included."""
    status = local.running(settings)
    assert status is not None, "the stack runs"
    used = {}
    for entry in status.services:
        process = local.process(entry.pid, entry.created)
        if process is not None:
            used[entry.name] = sum(sum(one.cpu_times()[:2]) for one in [process, *process.children(recursive=True)])
    return used


def service_url(settings: Settings, name: str) -> str:
    """Where a service of the running stack listens."""
    status = local.running(settings)
    assert status is not None, "the stack runs"
    return next(entry.url for entry in status.services if entry.name == name)


def _free_port() -> int:
    for port in PORTS:
        if all(_is_free(port + service.offset) for service in processes.SERVICES if service.offset is not None):
            return port
    raise AssertionError("no free block of ports")


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0
