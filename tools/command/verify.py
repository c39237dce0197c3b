"""`tolqyn verify`: recompute what is published, by another path, and compare."""

import argparse
import asyncio
import re
import sys

from services.shared.runtime.process.errors import Failure, UsageError
from tools.stack import local
from tools.verify.check import verify, verify_release

PERIOD = re.compile(r"[0-9]{4}(-Q[1-4]|-(0[1-9]|1[0-2])-([0-2][0-9]|3[01]))?")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "verify",
        help="recompute the published figures from the raw log, by another path",
        description="Counts the log again up to the published cut, in SQL that shares no code with the services, and compares all "
        "that PostgreSQL and indicators.v1 hold.",
        epilog="Exit code: 0 if all are equal; else 1, with one line per differing key: key, published, recomputed.",
    )
    parser.add_argument("period", nargs="?", metavar="PERIOD", help="compare only this period: 2025-Q2, 2025 or 2025-06-30")
    parser.add_argument("--release", metavar="NAME", help="a release such as 2025-Q2.P1, at its own cut, with its inner cells")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.period is not None and not PERIOD.fullmatch(args.period):
        raise UsageError("a period is written like 2025-Q2, 2025 or 2025-06-30")
    if args.release is not None and args.period is not None:
        raise UsageError("a release is verified whole: give its name without a period")
    if args.release is None:
        verdict = asyncio.run(verify(local.settings(), args.period, _say))
    else:
        verdict = asyncio.run(verify_release(local.settings(), args.release, _say))
    for difference in verdict.differences:
        print(difference)
    if verdict.differences:
        raise Failure(f"{len(verdict.differences)} of {verdict.figures} figures differ at publication {verdict.publication}")
    if not verdict.figures:
        raise Failure(f"publication {verdict.publication} has no figure" + (f" of {args.period}" if args.period else ""))
    print(f"{verdict.figures} figures verified at publication {verdict.publication}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
