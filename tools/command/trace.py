"""`tolqyn trace`: where one record is, and what it counts in."""

import argparse
import asyncio
import json
import re
from typing import Any

from services.shared.runtime.process.errors import Failure, UsageError
from tools.stack import local
from tools.verify.trace import trace

RECORD = re.compile(r"[a-z0-9-]{1,32}/[A-Za-z0-9._:/-]{1,64}")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "trace",
        help="say where a record is in the log, and which figures contain it",
        description="Reads the partitions that the record belongs to from their beginning: its versions, what each did, what it "
        "counts as, and the published figures that contain it. Shows nothing of persons and employers.",
        epilog="Exit code: 1 if no feed has the record.",
    )
    parser.add_argument("record", metavar="RECORD", help="AGENCY/RECORD_ID; records of this stack's own keys are local/RECORD_ID")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if not RECORD.fullmatch(args.record):
        raise UsageError("a record is written AGENCY/RECORD_ID, as local/K-2025-17")
    found = asyncio.run(trace(local.settings(), args.record))
    if not found:
        raise Failure(f"no feed has a record {args.record}")
    if args.json:
        print(json.dumps({"record": args.record, "found": found}, ensure_ascii=False, indent=2))
    else:
        print("\n\n".join(_text(args.record, one) for one in found))
    return 0


def _text(record: str, found: dict[str, Any]) -> str:
    lines = [f"{record} in {found['topic']}, partition {found['partition']}"]
    for version in found["versions"]:
        words = [version["effect"], version["reason"], "" if version["published"] else "not published yet"]
        if version["set_aside"] and version["set_aside"] != version["reason"]:
            words.append(f"set aside by tally as {version['set_aside']}")
        number = f"version {version['version']}" if version["version"] != 0 else "no version"
        lines.append(
            f"  offset {version['offset']}  {version['appended_at']}  {number}  {version['action']}: "
            + ", ".join(word for word in words if word)
        )
    counts = found["counts_as"]
    if found["publication"] is None:
        return "\n".join([*lines, "nothing was published yet"])
    if counts is None:
        return "\n".join([*lines, f"counts in no figure of publication {found['publication']}"])
    days = f"on {counts['on']}" if "on" in counts else f"from {counts['from']} on"
    days += f", no longer from {counts['until']} on" if counts.get("until") else ""
    lines.append(f"counts as {' '.join(f'{k}={v}' for k, v in counts['cell'].items())}, {days}")
    if found["figures"]:
        lines.append(f"in publication {found['publication']} it is in")
        lines += [f"  {series}  {_periods(periods)}" for series, periods in found["figures"].items()]
    if found["derived"]:
        lines.append(f"publication {found['publication']} makes of it, and of others: {', '.join(found['derived'])}")
    return "\n".join(lines)


def _periods(periods: list[str]) -> str:
    if len(periods) == 1:
        return periods[0]
    return f"{periods[0]} to {periods[-1]} ({len(periods)} periods)"
