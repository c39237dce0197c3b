"""`tolqyn export`: the published figures, now or as they were."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime

from services.shared.runtime.postgres.store import Snapshot, Store
from services.shared.runtime.process.errors import Failure, UsageError
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.publication.sdmx_csv import to_csv, to_json
from tools.stack import local


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("export", help="print the published figures, one row per key, sorted")
    parser.add_argument("--format", choices=("csv", "json"), default="csv", help="csv is SDMX-CSV 2.0 (default)")
    parser.add_argument("--as-of", metavar="T", help="a publication number, or an instant such as 2026-01-31T12:00:00Z")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    as_of = None if args.as_of is None else parse_as_of(args.as_of)
    snapshot = asyncio.run(_snapshot(local.settings(), as_of))
    if snapshot is None:
        raise Failure("nothing was published" + ("" if as_of is None else " at that time") + " yet")
    rows = snapshot.observations.values()
    sys.stdout.write(to_csv(rows) if args.format == "csv" else to_json(rows))
    return 0


def parse_as_of(text: str) -> int | datetime:
    """A publication number or an instant; an instant without offset is UTC. Raises UsageError."""
    return int(text) if text.isdigit() else parse_instant(text, "--as-of takes a publication number or an instant")


def parse_instant(text: str, usage: str) -> datetime:
    """An instant; one without offset is UTC. Raises UsageError, which begins with `usage`."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{usage} such as 2026-01-31T12:00:00Z") from None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


async def _snapshot(settings: Settings, as_of: int | datetime | None) -> Snapshot | None:
    async with Store.of(settings) as store:
        return await store.snapshot(as_of)
