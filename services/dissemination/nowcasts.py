"""The section on a quarter that is not complete: what it will come to, and how much of it is known."""

from __future__ import annotations

from dataclasses import replace

from schemas.values import Estimate
from services.dissemination.figures import Figures, Key, Row, address
from services.dissemination.layout import Assumptions, Section
from services.dissemination.parts import assumptions, section, table
from services.shared.statistics.estimation.open_quarter import METHOD, PUBLISHED

INDICATORS = tuple(indicator for flows in PUBLISHED.values() for indicator, _ in flows.values())


def nowcasts(figures: Figures) -> Section | None:
    """None for a quarter of which nothing is estimated any more, and nothing known of how complete it is."""
    keys = {indicator: f"{METHOD}|{figures.period}|{indicator}" for indicator in INDICATORS}
    there = figures.snapshot.estimates
    found = {indicator: there[key] for indicator, key in keys.items() if key in there}
    if not any("value" in estimate or _known(estimate) is not None for estimate in found.values()):
        return None
    rows = [_row(figures, indicator, estimate) for indicator, estimate in found.items()]
    rated = next((estimate["assumptions"] for estimate in found.values() if "value" in estimate), [])
    items = assumptions(figures.words, ((a["text"], a["rating"]) for a in rated))
    groups = (Assumptions(figures.words("tables.nowcasts"), items),) if items else ()
    return section(figures, "nowcasts", [table(figures, "nowcasts", rows, "nowcasts", extra_head="columns.known")], groups)


def _row(figures: Figures, indicator: str, estimate: Estimate) -> Row:
    """The nowcast, or the reason why there is none; beside it, how much of what has happened is known."""
    key, words = Key(indicator, method=METHOD), figures.words
    row = figures.row(key)
    if "reason" in estimate:
        row = replace(row, note=words.translated(estimate["reason"])[0], link=address(key, figures.period))
    known = _known(estimate)
    return replace(row, extra=words("missing.mark") if known is None else words.amount(known, 1, "percent"))


def _known(estimate: Estimate) -> float | None:
    """How much of what has happened is known, in percent."""
    inputs = estimate.get("inputs")
    return None if inputs is None else inputs.get("completeness")
