"""`tolqyn dead-letters`: the records that could not be counted."""

import argparse
import asyncio
import json
from datetime import UTC, datetime

from services.shared.runtime.kafka.dead_letters import open_letters
from services.shared.runtime.kafka.redrive import plan, redrive
from tools.stack import local


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("dead-letters", help="list or redrive the records that were set aside")
    commands = parser.add_subparsers(dest="letters_command", required=True)
    listing = commands.add_parser("list", help="one line of JSON per record: where it came from, why it was set aside")
    listing.set_defaults(run=_list)
    again = commands.add_parser("redrive", help="append them to their logs again, after what was wrong has been mended")
    again.add_argument("--dry-run", action="store_true", help="only say what would be appended")
    again.set_defaults(run=_redrive)


def _list(_: argparse.Namespace) -> int:
    for letter in asyncio.run(open_letters(local.settings())):
        when = datetime.fromtimestamp(letter.set_aside_ms / 1000, UTC).isoformat(timespec="milliseconds")
        place = f"{letter.origin_topic}/{letter.origin_partition}/{letter.origin_offset}"
        size = letter.left_out or len(letter.value)
        print(json.dumps({"origin": place, "reason": letter.reason, "set_aside_at": when, "bytes": size}))
    return 0


def _redrive(args: argparse.Namespace) -> int:
    settings = local.settings()
    letters = asyncio.run(open_letters(settings))
    done = asyncio.run(plan(settings, letters) if args.dry_run else redrive(settings, letters))
    would = "would be" if args.dry_run else "were"
    print(f"{len(done.append)} records {would} appended to their logs again")
    if done.overtaken:
        print(f"{len(done.overtaken)} without a version {would} closed: their agency sent the same record again, and that counts")
    if done.left_out:
        print(f"{len(done.left_out)} are too large for a letter: only the log has them, and no service lets such records in")
    return 0
