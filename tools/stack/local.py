"""The local stack as other commands find it: its status file, its settings, its own API keys.

The supervisor writes `TOLQYN_HOME/run/status.json`; everyone else reads it. It holds the database's password: mode 0600.
"""

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from services.shared.runtime.process.errors import Unavailable
from services.shared.runtime.process.settings import Settings

STARTING, READY, STOPPING, FAILED = "starting", "ready", "stopping", "failed"
STOP_SECONDS_MAX = 12.0  # as the supervisor gives each process
POLL_SECONDS = 0.05
CREATED_SECONDS_MAX = 0.5  # a process whose start differs by less from what was noted is the one that was noted


@dataclass(frozen=True)
class Entry:
    """One process of the stack. `pid` is None while it does not run, and for a server that is not ours."""

    name: str
    url: str
    pid: int | None = None
    created: float = 0.0
    stop_signal: int = 15
    problem: str = ""


@dataclass(frozen=True)
class Status:
    """What the supervisor last wrote. `step` is what it does while starting, `error` why it failed."""

    supervisor_pid: int
    supervisor_created: float
    phase: str = STARTING
    step: str = ""
    error: str = ""
    services: list[Entry] = field(default_factory=list)
    bootstrap_servers: str = ""
    database_url: str = ""
    keys: str = ""


def status_file(settings: Settings) -> Path:
    return settings.home / "run" / "status.json"


def keys_file(settings: Settings) -> Path:
    """JSON {feed: key}: this stack's own API keys."""
    return settings.home / "secrets" / "keys.json"


def log_file(settings: Settings, name: str) -> Path:
    return settings.home / "logs" / f"{name}.log"


def write_status(settings: Settings, status: Status) -> None:
    """Replace the status file as a whole."""
    write_secret(status_file(settings), json.dumps(asdict(status), indent=2))


def write_secret(path: Path, text: str) -> None:
    """Replace a file as a whole; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    part.replace(path)


def read_status(settings: Settings) -> Status | None:
    """The last status that was written, or None if there is none. Its processes may be gone."""
    try:
        said = json.loads(status_file(settings).read_text("utf-8"))
    except FileNotFoundError:
        return None
    return Status(**{**said, "services": [Entry(**entry) for entry in said["services"]]})


def process(pid: int | None, created: float) -> psutil.Process | None:
    """The process with this number if it is still the one that was noted, and not a dead one that nobody has collected."""
    if pid is None:
        return None
    try:
        found = psutil.Process(pid)
        same = abs(found.create_time() - created) < CREATED_SECONDS_MAX and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return found if same else None


def running(settings: Settings) -> Status | None:
    """The status of the stack in this home if its supervisor is alive, else None."""
    status = read_status(settings)
    if status is None or process(status.supervisor_pid, status.supervisor_created) is None:
        return None
    return status


def settings() -> Settings:
    """Settings with broker and database: those of the environment, else those of the running local stack.

    Raises Unavailable if neither is there.
    """
    wanted = Settings.from_env()
    if wanted.bootstrap_servers and wanted.database_url:
        return wanted
    status = running(wanted)
    if status is None or not status.bootstrap_servers or not status.database_url:
        raise Unavailable(f"no local stack is running in {wanted.home}: `tolqyn up` first")
    return replace(
        wanted,
        bootstrap_servers=wanted.bootstrap_servers or status.bootstrap_servers,
        database_url=wanted.database_url or status.database_url,
    )


def api_key(feed: str) -> str:
    """The local stack's own key for a feed. Raises Unavailable if there is none (yet)."""
    path = keys_file(Settings.from_env())
    try:
        key: str = json.loads(path.read_text("utf-8"))[feed]
    except (FileNotFoundError, KeyError):
        raise Unavailable(f"no key for {feed} in {path}: `tolqyn up` first") from None
    return key


def make_folders(settings: Settings) -> None:
    """Make the home: others may pass through (as root, PostgreSQL may run as another user) but not look around."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o711)
    for name in ("run", "logs", "secrets", "state", "kafka", "inbox", "outbox"):
        (settings.home / name).mkdir(exist_ok=True, mode=0o700)


def stop_leftovers(settings: Settings) -> None:
    """Stop what a killed supervisor may have left: processes of the status file that are still the same. Servers last."""
    status = read_status(settings)
    if status is None:
        return
    # Kafka and PostgreSQL come first in the file: services still write while they end.
    for entry in reversed(status.services):
        found = process(entry.pid, entry.created)
        if found is None:
            continue
        stop(found, entry.stop_signal, STOP_SECONDS_MAX)


def stop(found: psutil.Process, number: int, seconds_max: float) -> None:
    """Send a signal and wait until the process is gone (a zombie is); SIGKILL if that takes too long."""
    pid, created, limit = found.pid, found.create_time(), time.monotonic() + seconds_max
    with contextlib.suppress(psutil.NoSuchProcess):
        found.send_signal(number)
    while process(pid, created) is not None:
        if time.monotonic() > limit:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.kill()
            limit = float("inf")
        time.sleep(POLL_SECONDS)
