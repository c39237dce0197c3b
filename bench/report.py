"""What README and docs/performance.md show of `bench/results/latest.json`: tables and a chart, made from it and from nothing else.

`python -m bench.report` writes them; a test compares them with the file.
"""

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bench.rivals import ENTRANTS, Entrant, contestant_of
from bench.table import markdown, number
from bench.targets import TARGETS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
README, DETAILS = ROOT / "README.md", ROOT / "docs" / "performance.md"
LATEST, CHART = RESULTS / "latest.json", RESULTS / "chart.svg"
BEGIN, END = "<!-- from bench/results/latest.json: begin -->", "<!-- from bench/results/latest.json: end -->"

Result = dict[str, Any]

# The chart, in pixels.
WIDTH, LEFT, RIGHT, BAR, STEP, TOP = 760, 130, 120, 22, 36, 56


def ranked(result: Result) -> list[tuple[Entrant, Result]]:
    """The contestants that were measured, the fastest first."""
    found = [(entrant, contestant_of(entrant, result)) for entrant in ENTRANTS]
    return sorted((pair for pair in found if pair[1]), key=lambda pair: -pair[1]["records_per_second"])


def section(result: Result) -> str:
    """README's part: the chart, the table of contestants, the limit."""
    mine = result["tally"]["records_per_second"]
    rows = [
        (
            entrant.title, f"{number(one['records_per_second'])}", f"{number(one['records_per_second_min'])} - "
            f"{number(one['records_per_second_max'])}", f"{one['cpu_us_per_record']:.2f}", number(one["memory_mb"]),
            "" if entrant.name == "tally" else f"{mine / one['records_per_second']:.1f}", "yes" if one["exact"] else "**no**",
        )
        for entrant, one in ranked(result)
    ]  # fmt: skip
    heads = ("", "records/s", "lowest - highest", "CPU, µs a record", "memory, MB", "Tolqyn is faster, times", "counts right")
    fetch, java, decode = (number(result["limit"][name]["records_per_second"]) for name in ("fetch", "java_consumer", "decode"))
    bounds = (
        f"The limit here: the broker delivers {fetch} records/s to a reader of whole batches that does nothing with them, {java} "
        f"to Kafka's own Java client; decoding alone does {decode}."
    )
    picture = "![Records a second of each contestant](bench/results/chart.svg)"
    return "\n\n".join([picture, markdown(heads, rows), bounds])


def target_rows(result: Result) -> list[tuple[str, str, str, str]]:
    """Every target, what was measured, whether it holds."""
    rows = []
    for target in TARGETS:
        holds = target.holds(result)
        measured = "not measured" if holds is None else number(target.measured(result))
        bound = f"{'≥' if target.at_least else '≤'} {number(target.limit)}"
        rows.append((target.text, bound, measured, {True: "yes", False: "**no**", None: ""}[holds]))
    return rows


def details(result: Result) -> str:
    """docs/performance.md's part: everything else that was measured, and every target."""
    there = result["machine"]
    head = (
        f"Measured on {result['date']}: {there['cores']} cores ({there['cpu']}), {there['memory_gb']} GB, {there['system']}, "
        f"Python {there['python']}, broker and database on the same machine; the run took {result['seconds'] / 60:.0f} minutes."
    )
    if "again" in result:
        head += " Measured again by itself after that run: " + ", ".join(f"{n} ({day})" for n, day in result["again"].items()) + "."
    parts = [head, "### Targets", markdown(("", "target", "measured", "holds"), target_rows(result))]
    return "\n\n".join(parts + _stages(result) + _growth(result) + _whole_way(result))


def _stages(result: Result) -> list[str]:
    stages: dict[str, float] = result["stages"]
    rows = [(stage, f"{used:.2f}") for stage, used in stages.items()] + [("all of these", f"{sum(stages.values()):.2f}")]
    return ["### Where tally's time goes", markdown(("stage", "CPU, µs a record"), rows)]


def _growth(result: Result) -> list[str]:
    heads = ("records/s", "CPU, µs a record", "memory, MB", "ready after kill -9, s")
    sizes = [(f"{one['indexed']:,}", *_tally_cells(one)) for one in result["growth"]]
    workers = [(str(one["workers"]), *_tally_cells(one)) for one in result["workers"]]
    shapes = [(one["shape"], *_tally_cells(one)) for one in result["shapes"]]
    return [
        "### How tally grows",
        *(markdown((head, *heads), rows) for head, rows in (("indexed before", sizes), ("workers", workers), ("cells", shapes))),
    ]


def _tally_cells(one: Result) -> tuple[str, ...]:
    ready = one.get("restart_seconds")
    rate, cpu, memory = one["records_per_second"], one["cpu_us_per_record"], one["memory_mb"]
    return number(rate), f"{cpu:.2f}", number(memory), "" if ready is None else number(ready)


def _whole_way(result: Result) -> list[str]:
    way, live = result["end_to_end"], result["live"]
    used = sorted(way["cpu_us"].items(), key=lambda item: -item[1])
    text = f"{way['records']:,} records, from files to published figures in {way['seconds']:.1f} s."
    heads = ("", "p50, s", "p99, s", "most, s", "of")
    rows = [
        (title, f"{one['p50']:.2f}", f"{one['p99']:.2f}", f"{one['max']:.2f}", f"{one['n']:,}")
        for title, one in (("a correction", live["correction_seconds"]), ("live traffic", live["live_seconds"]))
    ]
    processes = markdown(("process", "CPU, µs a record sent"), [(name, f"{cpu:.2f}") for name, cpu in used])
    return ["### The whole way", text, processes, "### From acknowledgement to publication", markdown(heads, rows)]


def with_section(page: str, made: str) -> str:
    """A page with its generated part replaced."""
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:start]}\n\n{made}\n\n{page[end:]}"


def pages(result: Result) -> dict[Path, str]:
    """What README, docs/performance.md and the chart must be."""
    readme = with_section(README.read_text("utf-8"), section(result))
    return {README: readme, DETAILS: with_section(DETAILS.read_text("utf-8"), details(result)), CHART: chart(result)}


_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2328; }
.head { font-weight: 600; }
.note { font-size: 12px; fill: #59636e; }
.own { fill: #0b7285; }
.other { fill: #adb5bd; }
.axis { stroke: #adb5bd; }
.spread { stroke: #e8590c; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; }
.note { fill: #9198a1; }
.own { fill: #3bc9db; }
.other { fill: #6e7681; }
.axis { stroke: #6e7681; }
}
"""


def chart(result: Result) -> str:
    """Bars of records/s from zero, a linear scale; the thin line is the spread of the runs."""
    rows = ranked(result)
    height = TOP + STEP * len(rows) + 34
    scale = (WIDTH - LEFT - RIGHT) / max(one["records_per_second_max"] for _, one in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(_title(result))}</title><style>{_STYLE}</style>",
        f'<text class="head" x="8" y="22">{escape(_title(result))}</text>',
        '<text class="note" x="8" y="42">the same work, events and broker; median, line: lowest to highest run</text>',
    ]
    for place, (entrant, one) in enumerate(rows):
        parts += _bar(entrant, one, TOP + STEP * place, scale)
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{TOP - 4}" x2="{LEFT}" y2="{TOP + STEP * len(rows)}"/>')
    machine = result["machine"]
    where = f"{machine['cores']} cores, broker on the same machine, {result['date']}"
    parts.append(f'<text class="note" x="8" y="{height - 10}">{escape(where)}</text></svg>')
    return "\n".join(parts) + "\n"


def _title(result: Result) -> str:
    return f"Crossings folded to exact daily counts, records a second, on {result['machine']['cores']} cores"


def _bar(entrant: Entrant, one: Result, y: float, scale: float) -> list[str]:
    end, low, high = (LEFT + one[name] * scale for name in (
        "records_per_second", "records_per_second_min", "records_per_second_max"
    ))  # fmt: skip
    kind, middle = "own" if entrant.name == "tally" else "other", y + BAR / 2
    wrong = "" if one["exact"] else ", counts wrong"
    return [
        f'<text x="{LEFT - 8}" y="{middle + 5:.0f}" text-anchor="end">{escape(entrant.title)}</text>',
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{max(end - LEFT, 1):.1f}" height="{BAR}" rx="2"/>',
        f'<line class="spread" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}" stroke-width="2"/>',
        f'<text x="{max(end, high) + 8:.1f}" y="{middle + 5:.0f}">{number(one["records_per_second"])}{wrong}</text>',
    ]


def write(result: Result) -> None:
    """Write all of `pages`."""
    for path, text in pages(result).items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    write(json.loads(LATEST.read_text("utf-8")))
