"""`tolqyn up`: the local stack, in the foreground or in the background."""

import argparse
import asyncio
import signal
import subprocess
import sys
import time
from types import FrameType

from services.shared.runtime.process.errors import Failure
from services.shared.runtime.process.settings import Settings
from tools.stack import local
from tools.stack.embedded import jars
from tools.stack.embedded.children import dies_with_parent
from tools.stack.local import Status

READY_SECONDS_MAX = 120  # twelve seconds on two idle cores; ten times that on a machine that does much else
POLL_SECONDS = 0.1


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "up",
        help="start the local stack",
        description="Starts Kafka, PostgreSQL and all services, and restarts what dies. "
        "With KAFKA_BOOTSTRAP_SERVERS or DATABASE_URL it uses those. "
        "State lies in TOLQYN_HOME (.tolqyn), ports start at TOLQYN_PORT (8080).",
    )
    parser.add_argument("--detach", action="store_true", help="return once all is ready; the stack goes on in the background")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Start the stack, or join the one that runs. Raises Failure with the reason if it does not come up."""
    settings = Settings.from_env()
    status = local.running(settings)
    if status is not None and status.phase in {local.STARTING, local.READY}:
        print(f"the stack in {settings.home} is already running")
        _await_ready(settings, None)
        return 0
    if not settings.bootstrap_servers:
        jars.find_java()
        if not jars.folder().is_dir():
            print(f"fetching Apache Kafka {jars.KAFKA_VERSION} through Maven, once")
            jars.fetch()
    local.make_folders(settings)
    if arguments.detach:
        _await_ready(settings, _start(settings, detach=True))
        return 0
    return _foreground(settings)


def _start(settings: Settings, detach: bool) -> "subprocess.Popen[bytes]":
    with local.log_file(settings, "supervisor").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "tools.stack.supervisor"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # In the foreground the stack ends with this command, even if that is killed.
            preexec_fn=None if detach else dies_with_parent(signal.SIGTERM),  # noqa: PLW1509 - two system calls, no locks
        )


def _foreground(settings: Settings) -> int:
    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    supervisor = _start(settings, detach=False)
    try:
        _await_ready(settings, supervisor)
        print("Ctrl-C stops it.", flush=True)
        code = supervisor.wait()
        if code != 0:
            raise Failure(f"the supervisor ended with code {code}: {local.log_file(settings, 'supervisor')} says more")
    except KeyboardInterrupt:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # it is ending already
        print("\nstopping ...", flush=True)
        supervisor.terminate()
        supervisor.wait()
    return 0


def _await_ready(settings: Settings, supervisor: "subprocess.Popen[bytes] | None") -> None:
    """Follow the start (of our supervisor, or of one that is already there), print its steps, then what runs where."""
    began, step = time.monotonic(), ""
    while True:
        ended = supervisor is not None and supervisor.poll() is not None  # asked first: what it wrote last is there now
        status = local.read_status(settings)
        if status is not None and supervisor is not None and status.supervisor_pid != supervisor.pid:
            status = None  # of an earlier run
        if status is not None and status.phase == local.READY:
            break
        if ended or (status is not None and status.phase in {local.FAILED, local.STOPPING}):
            raise Failure(_why(settings, status))
        if status is not None and status.step not in {"", step}:
            step = status.step
            print(f"[{time.monotonic() - began:5.1f} s] {step}", flush=True)
        if time.monotonic() - began > READY_SECONDS_MAX:
            raise Failure(f"not ready after {READY_SECONDS_MAX} s: {_missing(status)}; it goes on starting: see `tolqyn status`")
        time.sleep(POLL_SECONDS)
    print(f"[{time.monotonic() - began:5.1f} s] ready", flush=True)
    _print_table(status)


def _why(settings: Settings, status: Status | None) -> str:
    from tools.stack.keeper import last_line

    if status is not None and status.error:
        return status.error
    if status is not None and status.phase == local.STOPPING:
        return "the stack was stopped while it was starting"
    return f"the supervisor did not start: {last_line(local.log_file(settings, 'supervisor'))}"


def _missing(status: Status | None) -> str:
    """Who is not ready, and why."""
    from tools.stack import probe

    if status is None:
        return "the supervisor has not begun"
    reasons = asyncio.run(probe.ask_all(status.services, status.database_url))
    waiting = [f"{name} ({reason})" for name, reason in reasons.items() if reason]
    return ", ".join(waiting) or status.step


def _print_table(status: Status) -> None:
    width = max(len(entry.name) for entry in status.services)
    for entry in status.services:
        print(f"  {entry.name:{width}}  {entry.pid or '-':>8}  {entry.url}")
    page = next(entry.url for entry in status.services if entry.name == "dissemination")
    print(f"bulletin: {page}/   API keys: {status.keys}", flush=True)
