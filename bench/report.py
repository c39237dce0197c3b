"""What README shows of `bench/results/latest.json`: a table and a chart, made from it and from nothing else.

`python -m bench.report` writes both; a test compares them with the file.
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
    """README's part: the table of contestants, and what else was measured against its target."""
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
    return "\n\n".join([markdown(heads, rows), bounds, markdown(("", "target", "measured", "holds"), target_rows(result))])


def target_rows(result: Result) -> list[tuple[str, str, str, str]]:
    """Every target, what was measured, whether it holds."""
    rows = []
    for target in TARGETS:
        holds = target.holds(result)
        measured = "not measured" if holds is None else number(target.measured(result))
        bound = f"{'≥' if target.at_least else '≤'} {number(target.limit)}"
        rows.append((target.text, bound, measured, {True: "yes", False: "**no**", None: ""}[holds]))
    return rows


def with_section(page: str, result: Result) -> str:
    """README with its part replaced."""
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:start]}\n\n{section(result)}\n\n{page[end:]}"


_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2328; }
.head { font-weight: 600; }
.note { font-size: 12px; fill: #59636e; }
.own { fill: #0b7285; }
.other { fill: #adb5bd; }
.axis { stroke: #adb5bd; }
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
        f'<line class="axis" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}" stroke-width="2"/>',
        f'<text x="{max(end, high) + 8:.1f}" y="{middle + 5:.0f}">{number(one["records_per_second"])}{wrong}</text>',
    ]


def write(result: Result) -> None:
    """Chart and README from a result."""
    CHART.write_text(chart(result), "utf-8")
    page = ROOT / "README.md"
    page.write_text(with_section(page.read_text("utf-8"), result), "utf-8")


if __name__ == "__main__":
    write(json.loads(LATEST.read_text("utf-8")))
