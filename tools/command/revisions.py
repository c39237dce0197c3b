"""`tolqyn revisions`: the revision triangle of a series, and how far its figures moved after their release."""

import argparse
import asyncio
import sys
from collections.abc import Iterable

from schemas.indicators import catalogue
from services.shared.runtime.postgres.release_store import ReleaseStore
from services.shared.runtime.process.errors import Failure, UsageError
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.observation import DIMENSIONS, series_key
from services.shared.statistics.publication.revisions import RevisionTable, revision_table
from tools.stack import local

FREQUENCIES = ("Q", "A")  # of an indicator without more: its quarterly total, if there is one


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "revisions",
        help="say how far the figures of an indicator moved after their release",
        description="Prints a row per period with its figure at each release and now, and the mean revision (MR), the mean "
        "absolute revision (MAR) and the relative mean absolute revision (RMAR): docs/methods/revisions.md.",
    )
    parser.add_argument(
        "series", metavar="INDICATOR", help="an indicator such as ARRIVALS, or a series such as Q.ARRIVALS.CN._T._T._Z"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    parts = args.series.split(".")
    if len(parts) == 1:
        if args.series not in catalogue():
            raise UsageError(f"there is no indicator {args.series}: there are {', '.join(sorted(catalogue()))}")
        wanted = [series_key(freq, args.series) for freq in FREQUENCIES]
    elif len(parts) == len(DIMENSIONS):
        wanted = [args.series]
    else:
        raise UsageError(f"a series has {len(DIMENSIONS)} parts: {'.'.join(DIMENSIONS)}")
    series, decimals, table = asyncio.run(_table(local.settings(), wanted))
    sys.stdout.write("\n".join(report(series, decimals, table)) + "\n")
    return 0


async def _table(settings: Settings, wanted: list[str]) -> tuple[str, int, RevisionTable]:
    async with ReleaseStore.of(settings) as store:
        released = await store.released_values(wanted)
        snapshot = await store.snapshot()
    series = next((one for one in wanted if one in released), None)
    if series is None or snapshot is None:
        raise Failure(f"no release has {' or '.join(wanted)} yet: `tolqyn release list`")
    now = {period: o.value for (of, period), o in snapshot.observations.items() if of == series}
    return series, catalogue()[series.split(".")[1]].decimals, revision_table(released[series], now)


def report(series: str, decimals: int, table: RevisionTable) -> list[str]:
    """The triangle as a table of text, and a line of measures for each of its columns."""

    def said(value: float | None) -> str:
        return "-" if value is None else f"{value:,.{decimals}f}"

    width = max(len(row["vintages"]) for row in table["rows"])
    head = ["period", *(f"release {n + 1}" for n in range(width)), "now"]
    rows = []
    for row in table["rows"]:
        cells = [f"{said(v['value'])} {v['release'].partition('.')[2]}" for v in row["vintages"]]
        rows.append([row["period"], *cells, *[""] * (width - len(cells)), said(row["newest"])])
    measures = []
    for m in table["measures"]:
        relative = "-" if m["RMAR"] is None else f"{m['RMAR']:.4f}"
        periods = "1 period" if m["periods"] == 1 else f"{m['periods']} periods"
        measures.append(f"release 1 to {m['to']}: {periods}, MR {m['MR']:+,.2f}, MAR {m['MAR']:,.2f}, RMAR {relative}")
    return [
        f"Revisions of {series}",
        "",
        *_aligned([head, *rows]),
        "",
        *(measures or ["nothing was released twice, or changed, yet"]),
    ]


def _aligned(rows: Iterable[list[str]]) -> list[str]:
    listed = list(rows)
    widths = [max(len(row[i]) for row in listed) for i in range(len(listed[0]))]
    return [
        "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in listed
    ]
