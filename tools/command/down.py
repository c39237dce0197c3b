"""`tolqyn down`: stop the local stack."""

import argparse
import signal

from services.shared.runtime.process.settings import Settings
from tools.stack import local

STOP_SECONDS_MAX = 45  # services 12 s, then servers 12 s, each at its very worst; and as much again for a loaded machine


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "down", help="stop the local stack", description="Stops all processes of the stack in TOLQYN_HOME. Its state stays."
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Stop the stack; fine if there is none."""
    settings = Settings.from_env()
    status = local.read_status(settings)
    if status is None:
        print(f"no stack is running in {settings.home}")
        return 0
    supervisor = local.process(status.supervisor_pid, status.supervisor_created)
    if supervisor is not None:
        local.stop(supervisor, signal.SIGTERM, STOP_SECONDS_MAX)
    local.stop_leftovers(settings)
    local.status_file(settings).unlink(missing_ok=True)
    print(f"the stack in {settings.home} is stopped")
    return 0
