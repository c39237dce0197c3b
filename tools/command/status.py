"""`tolqyn status`: what runs, where, and whether it is ready."""

import argparse
import asyncio
import json
import logging

from services.shared.runtime.process.settings import Settings
from tools.stack import local


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("status", help="say what runs, where, and whether it is ready")
    parser.add_argument("--json", action="store_true", help="for programs; holds the local database's password")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask every process and print the answers. A stack that is down is no error."""
    settings = Settings.from_env()
    status = local.running(settings)
    services = status.services if status else []
    reasons: dict[str, str] = {}
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our table says what does not answer
    if status and services:
        from tools.stack import probe

        reasons = asyncio.run(probe.ask_all(services, status.database_url))
    if arguments.json:
        said = {
            "services": [{"name": e.name, "pid": e.pid, "url": e.url, "ready": not reasons[e.name]} for e in services],
            "bootstrap_servers": status.bootstrap_servers if status else settings.bootstrap_servers,
            "database_url": status.database_url if status else settings.database_url,
            "keys": str(local.keys_file(settings)),
        }
        print(json.dumps(said, indent=2))
        return 0
    if status is None:
        print(f"no stack is running in {settings.home}")
        return 0
    print(f"the stack in {settings.home}: {status.phase}{f' ({status.step})' if status.step else ''}")
    width = max((len(entry.name) for entry in services), default=0)
    for entry in services:
        state = reasons[entry.name] or "ready"
        print(f"  {entry.name:{width}}  {entry.pid or '-':>8}  {entry.url:40}  {state}")
    return 0
