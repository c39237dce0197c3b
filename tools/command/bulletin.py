"""`tolqyn bulletin PERIOD`: the bulletin as text, the same figures as on the page."""

import argparse
import asyncio
import sys
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.dissemination import bulletin as bulletins
from services.dissemination.figures import Row
from services.dissemination.layout import Bulletin, Facts
from services.dissemination.layout import Table as FigureTable
from services.dissemination.wording import LANGUAGE_DEFAULT, LANGUAGES, Wording, parse_period, wording
from services.shared.runtime.postgres.store import Snapshot, Store
from services.shared.runtime.process.errors import Failure, UsageError
from services.shared.runtime.process.settings import Settings

# Columns of a table: together, with three between them, WIDTH_MIN. A pipe or a narrower terminal gets as many: no figure is cut.
LABEL_WIDTH_MAX = 46
COMPUTED_WIDTH_MAX = 26  # a number of persons with its interval
EXTRA_WIDTH_MAX = 12
PUBLISHED_WIDTH_MAX = 16
AGREEMENT_WIDTH_MAX = 16
WIDTH_MIN = 118
WIDTH_MAX = 132  # wider lines are harder to read, not easier
STYLES = {"equal": "green", "differs": "yellow"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("bulletin", help="print the bulletin of a quarter: each figure beside the published one")
    parser.add_argument("period", metavar="PERIOD", help="a quarter, written like 2025-Q2")
    parser.add_argument("--lang", choices=LANGUAGES, default=LANGUAGE_DEFAULT, help=f"language (default {LANGUAGE_DEFAULT})")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    try:
        parse_period(args.period)
    except ValueError as error:
        raise UsageError(str(error)) from None
    snapshot = asyncio.run(_snapshot(_settings()))
    if snapshot is None or not bulletins.has_data(snapshot, args.period):
        raise Failure(f"nothing has been published for {args.period}")
    terminal = Console()
    width = min(max(terminal.width, WIDTH_MIN), WIDTH_MAX)
    print_bulletin(bulletins.build(snapshot, args.period, args.lang), Console(file=sys.stdout, width=width, highlight=False))
    return 0


def _settings() -> Settings:
    """The settings with the database of the local stack, if none is configured and one runs."""
    settings = Settings.from_env()
    if settings.database_url:
        return settings
    from tools.stack.local import running

    status = running(settings)
    if status is None:
        raise Failure("no local stack runs and DATABASE_URL is not set: start one with `tolqyn up --detach`")
    return replace(settings, database_url=status.database_url)


async def _snapshot(settings: Settings) -> Snapshot | None:
    async with Store.of(settings) as store:
        return await store.snapshot()


def print_bulletin(bulletin: Bulletin, console: Console) -> None:
    """Write the bulletin: title, publication, banner, then the tables of every section, assumptions and the legend."""
    words = wording(bulletin.language)
    console.print(Text(bulletin.title, style="bold"))
    console.print(words("publication.line", number=bulletin.publication, time=bulletin.published_at))
    console.print(bulletin.release)
    if bulletin.banner:
        console.print()
        console.print(Text(f"{words('banner.heading')}. {bulletin.banner}", style="yellow"))
    for section in bulletin.sections:
        console.print()
        console.rule(Text(section.title, style="bold"), align="left", characters="─")
        for part in section.parts:
            if isinstance(part, Facts):
                _print_facts(part, console)
            if isinstance(part, FigureTable):
                console.print()
                console.print(Text(part.caption, style="bold"))
                console.print(_table(part, words))
                if part.remark:
                    console.print(f"{part.remark}.", style="dim")
                if part.stated_by:
                    console.print(f"{words('columns.published')}: {part.stated_by}", style="dim")
        for group in section.assumptions:
            console.print()
            console.print(Text(f"{words('tables.assumptions')}: {group.estimate}", style="bold"))
            for item in group.items:
                console.print(Text(f"  [{item.rating_text}] {item.text}"))
    console.print()
    console.print(f"{words('status_legend')}: " + "; ".join(f"{code} – {meaning}" for code, meaning in bulletin.statuses))
    console.print(words("agreement.precision"))
    for source in bulletin.sources:
        console.print(source, style="dim")


def _print_facts(facts: Facts, console: Console) -> None:
    console.print()
    console.print(Text(facts.caption, style="bold"))
    width = max(len(label) for _, lines in facts.groups for label, _ in lines)
    for heading, lines in facts.groups:
        console.print(heading)
        for label, text in lines:
            console.print(Text(f"  {label:{width}}  {text}"))
    console.print(facts.source, style="dim")


def _table(table: FigureTable, words: Wording) -> Table:
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    made.add_column(table.head, max_width=LABEL_WIDTH_MAX)
    made.add_column(words("columns.computed"), justify="right", max_width=COMPUTED_WIDTH_MAX)
    if table.extra_head:
        made.add_column(table.extra_head, justify="right", max_width=EXTRA_WIDTH_MAX)
    if table.compared:
        made.add_column(words("columns.published"), justify="right", max_width=PUBLISHED_WIDTH_MAX)
        made.add_column(words("columns.agreement"), max_width=AGREEMENT_WIDTH_MAX)
    made.add_column("", justify="center")
    for row in table.rows:
        computed = row.computed + (f" ({row.interval})" if row.interval else "")
        cells: list[Text] = [_label(row, words("columns.published")), Text(computed)]
        if table.extra_head:
            cells.append(Text(row.extra))
        if table.compared:
            cells.append(Text(row.published) if row.published else Text(words("agreement.not_stated"), style="dim"))
            cells.append(Text(row.agreement_text, style=STYLES.get(row.agreement, "")))
        made.add_row(*cells, Text(row.status))
    return made


def _label(row: Row, published: str) -> Text:
    """The row's name, unit and period; below them what is to be said about the figure, and the source of the published one."""
    label = Text("  " * row.depth + row.label + (f", {row.unit}" if row.unit else "") + (f" ({row.period})" if row.period else ""))
    source = f"{published}: {row.source}" if row.source else ""
    for remark in filter(None, (row.note, source)):
        label.append("\n" + "  " * (row.depth + 1) + remark, style="dim")
    return label
