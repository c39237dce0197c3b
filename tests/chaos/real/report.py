"""What a run says: on the terminal, in `.tolqyn-chaos.json`, and in docs/guarantees.md."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from tests.chaos.real.run import Run
from tests.chaos.real.verdict import WORDS

RESULT = Path(".tolqyn-chaos.json")  # the last run of this checkout; not in git
DOCUMENT = Path("docs/guarantees.md")
BEGIN, END = "<!-- from make chaos: begin -->", "<!-- from make chaos: end -->"
PROBLEMS_SHOWN = 40


def summary(run: Run) -> dict[str, Any]:
    """All that the tables show."""
    verdict = run.verdict
    assert verdict is not None
    return {
        "seed": run.seed,
        "schedule": run.kind,
        "passed": not run.problems,
        "seconds": round(run.seconds),
        "settled_after_seconds": round(run.settle_seconds, 1),
        "records": verdict.records,
        "publications_recomputed": verdict.publications,
        "findings": {word: verdict.count(word) for word in WORDS},
        "faults": _groups(run, lambda o: o.fault if o.fault != "kill" else f"kill -9: {_kind(o.target)}"),
        "services": _groups(run, lambda o: o.target, only="kill"),
        "problems": run.problems,
        "notes": run.notes,
    }


def _kind(target: str) -> str:
    return {"kafka": "broker", "postgresql": "database"}.get(target, "services")


def _groups(run: Run, name: Any, only: str = "") -> list[dict[str, Any]]:
    groups: dict[str, list[Any]] = {}
    for outcome in run.outcomes:
        if not only or outcome.fault == only:
            groups.setdefault(name(outcome), []).append(outcome)
    found = []
    for label, some in sorted(groups.items()):
        times = [o.recovery for o in some if o.recovery is not None]
        found.append(
            {
                "name": label,
                "struck": len(some),
                "undone_median": int(median(o.undone for o in some)),
                "median": round(median(times), 1) if times else None,
                "worst": round(max(times), 1) if times else None,
                "limit": max(o.limit for o in some),
            }
        )
    return found


def table(result: dict[str, Any]) -> str:
    """As Markdown, which reads well on a terminal too."""
    records, findings = result["records"], result["findings"]
    lines = [
        f"Seed {result['seed']}, {result['schedule']} schedule, {result['seconds']} s: "
        + ("**passed**." if result["passed"] else "**failed**."),
        "",
        "| records | |",
        "|---|---|",
        *(f"| {name} | {n:,} |" for name, n in records.items()),
        *(f"| **{word}** | **{n}** |" for word, n in findings.items()),
        f"| publications recomputed at their cut | {result['publications_recomputed']} |",
        f"| settled after the last fault | {result['settled_after_seconds']} s |",
        "",
        *_times("fault", result["faults"]),
        "",
        *_times("service, after kill -9", result["services"]),
    ]
    return "\n".join(lines)


def _times(title: str, rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"| {title} | struck | not yet counted then, median | recovery, median | worst | limit |", "|---|---|---|---|---|---|"]
    for row in rows:
        seconds = [f"{row[n]} s" if row[n] is not None else "never" for n in ("median", "worst")]
        lines.append(
            f"| {row['name']} | {row['struck']} | {row['undone_median']} | {seconds[0]} | {seconds[1]} | {row['limit']:.0f} s |"
        )
    return lines


def show(result: dict[str, Any]) -> None:
    print("\n" + table(result) + "\n")
    for note in result["notes"]:
        print(f"note: {note}")
    for problem in result["problems"][:PROBLEMS_SHOWN]:
        print(f"PROBLEM: {problem}")
    if len(result["problems"]) > PROBLEMS_SHOWN:
        print(f"and {len(result['problems']) - PROBLEMS_SHOWN} more: {RESULT}")
    print("real faults: " + ("all right" if result["passed"] else f"FAILED; replay: make chaos SEED={result['seed']}"), flush=True)


def keep(result: dict[str, Any]) -> None:
    RESULT.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


def write_table() -> None:
    """Put the last run's table between the markers of docs/guarantees.md."""
    result = json.loads(RESULT.read_text("utf-8"))
    text = DOCUMENT.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin + end == BEGIN + END, f"{DOCUMENT} has no place for the table: {BEGIN} ... {END}"
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table(result)}\n\n{END}{after}", "utf-8")
