"""`tolqyn simulate`: files of events, as agencies would send them, whose figures are known beforehand."""

import argparse
import json
import sys
from fractions import Fraction
from pathlib import Path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of `tolqyn`."""
    parser = subparsers.add_parser(
        "simulate",
        help="write feeds whose figures are known beforehand",
        description="Writes <feed>.ndjson for each feed: events whose totals hit a targets file exactly. "
        "The last line of output is JSON with the counts of each file.",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the files; made if missing")
    parser.add_argument(
        "--scale", default=Fraction(1, 100), type=_fraction, metavar="F",
        help="size of the border crossings, above 0 and at most 1 (default 0.01); all else is always full size",
    )  # fmt: skip
    parser.add_argument("--seed", default=7, type=int, help="the same seed gives the same bytes (default 7)")
    parser.add_argument("--targets", type=Path, metavar="FILE", help="YAML (default: 2025-Q1 and Q2 as published)")
    parser.add_argument(
        "--irregular", default=Fraction(5, 100), type=_fraction, metavar="F",
        help="share of records that arrive repeated, corrected, withdrawn or late (default 0.05)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the files. Raises UsageError, Failure."""
    from tools.simulate.generate import simulate
    from tools.simulate.targets_file import BUNDLED, load_targets

    targets = load_targets(arguments.targets or BUNDLED)
    counts = simulate(arguments.out, targets, arguments.scale, arguments.seed, arguments.irregular, sys.stderr)
    summary = {
        "out": str(arguments.out),
        "scale": float(arguments.scale),
        "seed": arguments.seed,
        "irregular": float(arguments.irregular),
        "feeds": counts,
    }
    print(json.dumps(summary))
    return 0


def _fraction(text: str) -> Fraction:
    """The decimal as written, exactly: 0.01 is a hundredth, and not the binary number nearest to it."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"not a number: {text}") from None
