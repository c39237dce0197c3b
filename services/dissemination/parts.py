"""What sections are made of: tables with their captions and sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.dissemination.figures import Figures, Row
from services.dissemination.layout import Assumptions, Chart, Section, Table


def table(figures: Figures, key: str, rows: Sequence[Row], feed: str, head: str = "indicator", extra_head: str = "") -> Table:
    """A table of rows; a source that all rows share moves from the rows to the foot, a unit that all share to the caption."""
    words = figures.words
    stated_by = {row.source for row in rows if row.source}
    shared = stated_by.pop() if len(stated_by) == 1 else ""
    source = "table_source_simulated" if figures.simulated else "table_source"
    units = {row.unit for row in rows}
    unit = units.pop() if len(units) == 1 else ""
    rows = [replace(row, source="" if shared else row.source, unit="" if unit else row.unit) for row in rows]
    return Table(
        key=key,
        caption=words(f"tables.{key}") + (f", {unit}" if unit else ""),
        rows=tuple(rows),
        source=words(source, source=words(f"feeds.{feed}"), period=words.period(figures.period)),
        head=words(f"columns.{head}"),
        stated_by=shared,
        extra_head=words(extra_head) if extra_head else "",
    )


def present(figures: Figures, key: str, rows: Sequence[Row], feed: str, head: str = "indicator") -> Table | None:
    """A table of the rows that have an observation; None if there is none."""
    present = [row for row in rows if row.status]
    return replace(table(figures, key, present, feed, head), narrow=True) if present else None


def section(
    figures: Figures, key: str, parts: Sequence[Table | Chart | None], assumptions: tuple[Assumptions, ...] = ()
) -> Section:
    words = figures.words
    there = tuple(part for part in parts if part is not None)
    return Section(key, words(f"sections.{key}"), words(f"leads.{key}"), there, assumptions)
