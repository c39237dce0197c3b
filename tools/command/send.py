"""`tolqyn send`: submit files of records to this local stack."""

import argparse
import asyncio
import json
import sys
from functools import partial
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from schemas.feeds import FEEDS
from services.shared.ingest.edge import number_fields
from services.shared.ingest.files import Chunk, chunks, kind_of
from services.shared.runtime.process.api_keys import ApiKeys, write_secret
from services.shared.runtime.process.errors import Failure, Unavailable, UsageError
from services.shared.runtime.process.settings import Settings
from tools.command.delivery import Delivery
from tools.stack import local

OWN_AGENCY = "local"  # the agency of a local stack's own keys


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "send",
        help="submit files of records to this local stack",
        description="Submits .ndjson, .csv and .json files (also .gz, .zst) over HTTP, a file's records in its order; waits and "
        "resends while a service is away. The last line on standard output is the summed receipt, one line of JSON.",
        epilog="Exit code: 0 if no record was rejected, 1 if some were (the rest is stored) or if sending was given up.",
    )
    parser.add_argument("--feed", required=True, choices=list(FEEDS))
    parser.add_argument("--agency", default=OWN_AGENCY, help="whose records these are (default: %(default)s)")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Send the files; returns the exit code."""
    settings = Settings.from_env()
    for path in args.files:
        kind_of(path)
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
    url, key = _service(settings, args.feed, args.agency)
    delivery = Delivery(url, key)
    try:
        asyncio.run(_send(delivery, args.feed, args.files))
    finally:
        total = delivery.total
        print(json.dumps(vars(total), ensure_ascii=False), flush=True)
    return 1 if total.rejected or total.retry else 0


async def _send(delivery: Delivery, feed: str, paths: list[Path]) -> None:
    numbers = number_fields(FEEDS[feed])
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        for path in paths:
            task = progress.add_task(path.name, total=path.stat().st_size, state="")
            place = {"file": str(path)} if len(paths) > 1 else {}
            await delivery.deliver(chunks(path, numbers), place, partial(_show, progress, task), partial(_wait, progress, task))


def _show(progress: Progress, task: TaskID, chunk: Chunk) -> None:
    progress.update(task, completed=chunk.position, state=f"{chunk.first + len(chunk.records):,} records")


def _wait(progress: Progress, task: TaskID, reason: str) -> None:
    progress.update(task, state=f"waiting: {reason}")


def _service(settings: Settings, feed: str, agency: str) -> tuple[str, str]:
    """The URL of the feed's service in this local stack, and a key for it."""
    status = local.running(settings)
    if status is None:
        raise Unavailable(f"no local stack is running in {settings.home}: `tolqyn up` first")
    url = next((service.url for service in status.services if service.name == feed), None)
    if url is None:
        raise Failure(f"this stack runs no service {feed}")
    if agency != OWN_AGENCY:
        return url, _agency_key(settings, agency, feed)
    return url, local.api_key(feed)


def _agency_key(settings: Settings, agency: str, feed: str) -> str:
    """The key of another agency for this local stack, made at its first use and kept beside the stack's own secrets."""
    keys = ApiKeys(settings.api_keys_file)
    path = settings.home / "secrets" / "agency-keys.json"
    known: dict[str, str] = orjson.loads(path.read_bytes()) if path.exists() else {}
    name = f"{agency}/{feed}"
    if name not in known or keys.find(known[name]) is None:
        _, known[name] = keys.add(agency, feed)
        write_secret(path, orjson.dumps(known, option=orjson.OPT_INDENT_2))
    return known[name]
