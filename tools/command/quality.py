"""`tolqyn quality PERIOD`: what is good about a quarter's figures and what is not, and what the published targets would take."""

import argparse
import asyncio
import json
import sys
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.dissemination.quality import MEASURES, QualityReport, build, has_report
from services.dissemination.wording import LANGUAGES, wording
from services.shared.runtime.postgres.store import Snapshot, Store
from services.shared.runtime.process.errors import Failure, UsageError
from services.shared.statistics.estimation.estimate import Absent
from services.shared.statistics.estimation.what_if import Arrival, Outlook, of_students
from services.shared.statistics.terms import calendar
from tools.command.export import parse_as_of
from tools.stack import local

LANGUAGE = "en"  # of the commands' own words, and of the targets' part
WIDTH_MIN = 118  # as of the bulletin: a pipe gets as many columns, no figure is cut
WIDTH_MAX = 132
STYLES = {"good": "green", "doubt": "yellow"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "quality", help="say what is good about the figures of a quarter and what is not, and what the targets would take"
    )
    parser.add_argument("period", metavar="PERIOD", help="a quarter, written like 2025-Q2")
    parser.add_argument("--json", action="store_true", help="the report as the topic quality.v1 has it, with the targets")
    parser.add_argument(
        "--as-of", metavar="T", help="the report at a publication number, or an instant such as 2026-01-31T12:00:00Z"
    )
    parser.add_argument("--lang", choices=LANGUAGES, default=LANGUAGE, help=f"language (default {LANGUAGE})")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    try:
        quarter = calendar.parse_quarter(args.period)
    except ValueError as error:
        raise UsageError(str(error)) from None
    snapshot = asyncio.run(_snapshot(None if args.as_of is None else parse_as_of(args.as_of)))
    if snapshot is None or not has_report(snapshot, args.period):
        raise Failure(f"no quality report has been published for {args.period}")
    if args.json:
        sys.stdout.write(json.dumps(as_json(snapshot, quarter), ensure_ascii=False, indent=1) + "\n")
        return 0
    terminal = Console()
    width = min(max(terminal.width, WIDTH_MIN), WIDTH_MAX)
    console = Console(file=sys.stdout, width=width, highlight=False)
    print_report(build(snapshot, args.period, args.lang), console)
    for line in targets(snapshot, quarter):
        console.print(Text(line))
    return 0


async def _snapshot(as_of: int | datetime | None) -> Snapshot | None:
    async with Store.of(local.settings()) as store:
        return await store.snapshot(as_of)


def as_json(snapshot: Snapshot, quarter: int) -> dict[str, Any]:
    """The report of a quarter with its publication and the outlook on each target."""
    _, seen = of_students(snapshot.references, snapshot.observations, quarter)
    return {
        "publication": snapshot.publication,
        "published_at": snapshot.published_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **snapshot.qualities[calendar.quarter_label(quarter)],
        "targets": [_target(outlook) for outlook in seen],
    }


def _target(outlook: Outlook) -> dict[str, Any]:
    required, arrival = outlook.growth_required, outlook.arrival
    return {
        "value": outlook.target["value"],
        "period": outlook.target["period"],
        "source": outlook.target["source"],
        "published_on": outlook.target["published_on"],
        "growth_required": {"absent": True, "reason": required.reason} if isinstance(required, Absent) else required,
        "arrival": {"absent": True, "reason": arrival.reason} if isinstance(arrival, Absent) else arrival._asdict(),
    }


def print_report(report: QualityReport, console: Console) -> None:
    """Write the report: a line per feed, the measures, what does not fit, partners' figures."""
    words = wording(report.language)
    console.print(Text(report.title, style="bold"))
    console.print(words("publication.line", number=report.publication, time=report.published_at))
    if report.banner:
        console.print(Text(f"{words('banner.heading')}. {report.banner}", style="yellow"))
    console.print()
    for feed in report.feeds:
        line = Text(f"{feed.name}: ")
        line.append(feed.verdict_text, style=STYLES.get(feed.verdict, "dim"))
        console.print(line.append(f" – {feed.says}"))
    if any(feed.measures for feed in report.feeds):
        console.print()
        console.print(_measures(report))
        console.print(words("quality.measures_lead"), style="dim")
    for part in report.findings:
        console.print()
        console.print(Text(part.heading, style="bold"))
        lines = [f"  {rule}: {figure}, {period}: {off}" for rule, figure, period, off in part.lines] or [words("quality.nothing")]
        for line_ in [*lines, *([part.more] if part.more else [])]:
            console.print(Text(line_))
    console.print()
    console.print(Text(words("quality.mirrors_heading"), style="bold"))
    for mirror in report.mirrors:
        said = mirror.says or f"{words('quality.ours')} {mirror.ours}, {words('quality.asymmetry')} {mirror.asymmetry}"
        console.print(
            Text(f"  {mirror.partner}, {mirror.period}: {mirror.figure} {mirror.theirs} ({mirror.source}); {said}"), soft_wrap=True
        )
    if report.mirrors_absent:
        console.print(Text(report.mirrors_absent))
    console.print()


def _measures(report: QualityReport) -> Table:
    words = wording(report.language)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    table.add_column(words("quality.feed"), no_wrap=True)
    for measure in MEASURES:
        table.add_column(words(f"quality.measures.{measure}"), justify="right")
    for feed in report.feeds:
        if feed.measures:
            table.add_row(feed.name, *feed.measures)
    return table


def targets(snapshot: Snapshot, quarter: int) -> list[str]:
    """What each published target would take, line by line."""
    _, seen = of_students(snapshot.references, snapshot.observations, quarter)
    return [
        f"Targets for foreign students, seen from the end of {calendar.quarter_label(quarter)} ({len(seen)})",
        *(line for outlook in seen for line in _outlook(outlook)),
        "",
        "How it is computed: docs/methods/quality.md, docs/methods/plausibility.md, docs/methods/what-if.md.",
    ]


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
