"""What sections are made of: tables with their captions and sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from schemas.values import StatedFigure
from services.dissemination.figures import Figures, Row
from services.dissemination.layout import Assumption, Assumptions, Part, Section, Table
from services.dissemination.wording import Wording


def in_order(codes: Sequence[str], first: Sequence[str]) -> tuple[str, ...]:
    """A code list as a table shows it: these first, then what the contract has beside them."""
    return (*first, *(code for code in codes if code not in first))


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


def section(figures: Figures, key: str, parts: Sequence[Part | None], assumptions: tuple[Assumptions, ...] = ()) -> Section:
    words = figures.words
    there = tuple(part for part in parts if part is not None)
    return Section(key, words(f"sections.{key}"), words(f"leads.{key}"), there, assumptions)


def banner(figures: Figures) -> str:
    """That the events are simulated, and at which scale; empty if they are not."""
    if not figures.simulated:
        return ""
    if figures.scale == 1.0:
        return figures.words("banner.full")
    return figures.words("banner.scaled", factor=figures.factor)


def records_of(figures: Figures) -> dict[str, int]:
    """How many records of each feed's log are in the publication. A component of the cut is the offset of one partition."""
    records: dict[str, int] = {}
    for component, offset in figures.snapshot.cut.items():
        feed = component.rpartition("/")[0]
        records[feed] = records.get(feed, 0) + offset
    return records


def assumptions(words: Wording, rated: Iterable[tuple[str, str]]) -> tuple[Assumption, ...]:
    """Assumptions (text in English, rating), worded."""
    found = []
    for sentence, rating in rated:
        text, foreign = words.translated(sentence)
        found.append(Assumption(text, rating, words(f"ratings.{rating}"), foreign))
    return tuple(found)


def stated(words: Wording, reference: StatedFigure) -> str:
    """A reference figure: its value, and in brackets its source, its period and the size of its sample."""
    value = float(reference["value"])
    amount = words.amount(value, 0 if value.is_integer() else 1, reference["unit"])
    size = reference.get("sample_size")
    sample = f"; n = {words.number(size, 0)}" if size else ""
    return f"{amount} ({words.source(reference['source'])}; {words.period(reference['period'])}{sample})"
