"""The picture and the table of topics in ARCHITECTURE.md, drawn from `schemas/topics/*.yaml`.

`python -m schemas.picture` writes them between their markers, `--check` only compares (exit 1 if they are not current).
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from schemas.feeds import FEEDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "ARCHITECTURE.md"
BEGIN, END = "<!-- from schemas/topics: begin -->", "<!-- from schemas/topics: end -->"

# Written by many and read by people, or at the start only: in the picture they would cross every line, so only the table has them.
ASIDE = frozenset({"rejections.v1", "dead-letters.v1", "stack.v1"})

Topic = dict[str, Any]


def topics() -> list[Topic]:
    """All topics as their files have them, in name order."""
    return [yaml.safe_load(path.read_text("utf-8")) for path in sorted((ROOT / "schemas" / "topics").glob("*.yaml"))]


def _node(name: str) -> str:
    """A name of Mermaid for anything: dots and dashes mean other things there."""
    return re.sub(r"[^a-z0-9]", "_", name)


def _shape(name: str) -> str:
    """A box for a service, round ends for people and programs (names of more than one word)."""
    return f"{_node(name)}([{name}])" if " " in name else f"{_node(name)}[{name}]"


def _around() -> tuple[str, ...]:
    """What is no topic: how records come in, and how figures go out."""
    return (
        f"agencies([agencies]) -->|HTTP| {' & '.join(map(_node, FEEDS))}",
        "indicator_publisher --> postgresql[(PostgreSQL)] --> dissemination -->|bulletin| readers([readers])",
    )


def picture(found: list[Topic]) -> str:
    """A Mermaid flowchart: services are boxes, topics are drums with their number of partitions."""
    drawn = [topic for topic in found if topic["name"] not in ASIDE]
    names = sorted({name for topic in drawn for name in (*topic["producers"], *topic["consumers"])})
    lines = ["```mermaid", "flowchart LR"]
    lines += [f"  {_shape(name)}" for name in names]
    lines += [f'  {_node(topic["name"])}[("{topic["name"]}<br/>{topic["partitions"]}")]' for topic in drawn]
    for topic in drawn:
        lines += [f"  {_node(name)} --> {_node(topic['name'])}" for name in topic["producers"]]
        lines += [f"  {_node(topic['name'])} --> {_node(name)}" for name in topic["consumers"]]
    lines += [f"  {line}" for line in _around()]
    return "\n".join([*lines, "```"])


def table(found: list[Topic]) -> str:
    """Every topic: what it is, who writes and who reads it."""
    lines = ["| topic | partitions | kept | written by | read by |", "|---|---|---|---|---|"]
    for topic in found:
        kept = "newest of a key" if topic["config"]["cleanup.policy"] == "compact" else "everything"
        cells = (f"`{topic['name']}`", topic["partitions"], kept, ", ".join(topic["producers"]), ", ".join(topic["consumers"]))
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def drawn(page: str) -> str:
    """The page with the current picture. ValueError if it has not exactly one pair of markers."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page must have {BEGIN} and {END} once each")
    before, _, rest = page.partition(BEGIN)
    found = topics()
    return f"{before}{BEGIN}\n\n{picture(found)}\n\n{table(found)}\n\n{END}{rest.partition(END)[2]}"


def main(arguments: list[str] | None = None) -> int:
    """Write or compare; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.picture", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is not current")
    check = parser.parse_args(arguments).check
    page = PAGE.read_text("utf-8")
    current = drawn(page)
    if check:
        if page != current:
            sys.stderr.write("ARCHITECTURE.md does not show the topics as they are: run python -m schemas.picture\n")
        return int(page != current)
    PAGE.write_text(current, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
