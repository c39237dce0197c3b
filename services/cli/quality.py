"""`tolqyn quality PERIOD`: what does not fit in the figures of a quarter, and what the published targets would take."""

import argparse
import asyncio
import sys

from services.cli import local
from services.shared.runtime.errors import Failure, UsageError
from services.shared.runtime.store import Snapshot, Store
from services.shared.statistics import calendar, plausibility
from services.shared.statistics.estimate import Absent
from services.shared.statistics.what_if import Arrival, Outlook, of_students


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "quality", help="say what does not fit in the figures of a quarter, and what the targets would take"
    )
    parser.add_argument("period", metavar="PERIOD", help="a quarter, written like 2025-Q2")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    try:
        quarter = calendar.parse_quarter(args.period)
    except ValueError as error:
        raise UsageError(str(error)) from None
    snapshot = asyncio.run(_snapshot())
    if snapshot is None or not any(period == args.period for _, period in snapshot.observations):
        raise Failure(f"nothing has been published for {args.period}")
    sys.stdout.write("\n".join(report(snapshot, quarter)) + "\n")
    return 0


async def _snapshot() -> Snapshot | None:
    async with Store.of(local.settings()) as store:
        return await store.snapshot()


def report(snapshot: Snapshot, quarter: int) -> list[str]:
    """The report, line by line."""
    period = calendar.quarter_label(quarter)
    periods = (period, period[:4])
    stated = [r for r in snapshot.references if calendar.last_quarter_of_period(r["period"]) == quarter]
    computed = [key for key in snapshot.observations if key[1] in periods]
    doubts = [finding for finding in plausibility.of_figures(snapshot.observations) if finding.period in periods]
    _, seen = of_students(snapshot.references, snapshot.observations, quarter)
    return [
        f"Quality of {period}, publication {snapshot.publication}",
        "",
        *_findings(f"Figures that offices published for it ({len(stated)})", plausibility.of_references(stated)),
        *_findings(f"Figures computed here, of the quarter and its year ({len(computed)})", doubts),
        f"Targets for foreign students, seen from the end of {period} ({len(seen)})",
        *(line for outlook in seen for line in _outlook(outlook)),
        "",
        "How the rules and the pace are defined: docs/methods/plausibility.md, docs/methods/what-if.md.",
        "Not in this report yet: completeness, timeliness, late and corrected records, sizes of revisions.",
    ]


def _findings(heading: str, findings: list[plausibility.Finding]) -> list[str]:
    lines = [f"  {f.rule}: {f.subject} of {f.period}: {f.text}" for f in findings] or ["  nothing that does not fit"]
    return [heading, *lines, ""]


def _outlook(outlook: Outlook) -> list[str]:
    target, required, arrival = outlook
    if isinstance(required, Absent):
        needs = f"no growth reaches it: {required.reason}"
    else:
        needs = f"it takes {required:+.1f} % a year from then on"
    return [
        f"  {target['value']:,.0f} by the end of {target['period']} ({target['source']}, {target['published_on']})",
        f"    {needs}; {_arrival(arrival)}",
    ]


def _arrival(arrival: Arrival | Absent) -> str:
    if isinstance(arrival, Absent):
        return f"no year at the present pace: {arrival.reason}"
    latest = "none" if arrival.latest is None else str(arrival.latest)
    return (
        f"at the present pace of {arrival.growth:+.1f} % a year ({arrival.growth_lower:+.1f} to {arrival.growth_upper:+.1f}) "
        f"it is reached in {arrival.year} (95 %: {arrival.earliest} to {latest})"
    )
