"""Which charts the bulletin has: chooses the observations, words them, and leaves the drawing to `charts`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from services.dissemination.charts import Bars, Columns, Intervals, Lines, Mark, Point, nice_ticks
from services.dissemination.figures import Figures, Key, Row
from services.dissemination.wording import parse_period, quarters_before

if TYPE_CHECKING:
    from services.shared.runtime.postgres.store import Published

QUARTERS_CHARTED_MAX = 9  # two years and the same quarter before them
ROLLING_DAYS_CHARTED = 366  # the rolling quarter of a year, both ends included
ROLLING_DATES = 4  # labels of the time axis: as many as stand beside one another in every language
POINTS_FOR_A_LINE = 2
FLOWS = ("ARRIVALS", "DEPARTURES")


def _point(figures: Figures, observation: Published | None) -> Point | None:
    if observation is None or observation.value is None:
        return None
    return Point(observation.value, figures.words.number(observation.value, 0))


def quarterly(figures: Figures) -> Columns | None:
    """Arrivals and departures of the quarters up to the bulletin's; None without any."""
    words = figures.words
    labels = [quarters_before(figures.period, back) for back in reversed(range(QUARTERS_CHARTED_MAX))]
    groups = []
    for label in labels:
        points = tuple(_point(figures, figures.find(Key(flow), label)) for flow in FLOWS)
        if any(points):
            groups.append((label, (points[0], points[1])))
    if not groups:
        return None
    values = [p.value for _, pair in groups for p in pair if p]
    texts = "; ".join(
        f"{words.period(label)}: "
        + ", ".join(f"{words(f'charts.{f.lower()}')} {p.text}" for f, p in zip(FLOWS, pair, strict=True) if p)
        for label, pair in groups
    )
    return Columns(
        key="crossings",
        title=words("charts.crossings.title"),
        desc=words("charts.crossings.desc", values=texts),
        names=(words("charts.arrivals"), words("charts.departures")),
        groups=tuple((words.period(label, short=True), pair) for label, pair in groups),
        ticks=nice_ticks(0, max(values), lambda v: words.number(v, 0)),
    )


def _last_day(period: str) -> date:
    year, quarter = parse_period(period)
    following = date(year + quarter // 4, quarter % 4 * 3 + 1, 1)
    return following - timedelta(days=1)


def rolling(figures: Figures) -> Lines | None:
    """The rolling quarter over the year to the bulletin's last day; None with fewer than two days."""
    words, end = figures.words, _last_day(figures.period)
    days = [end - timedelta(days=back) for back in reversed(range(ROLLING_DAYS_CHARTED))]
    found: list[dict[date, float]] = []
    for flow in FLOWS:
        key = Key(flow, freq="D")
        observations = ((day, figures.find(key, day.isoformat())) for day in days)
        found.append({day: o.value for day, o in observations if o is not None and o.value is not None})
    present = sorted(set(found[0]) | set(found[1]))
    if len(present) < POINTS_FOR_A_LINE:
        return None
    start, end = present[0], present[-1]
    span = (end - start).days
    values = [v for series in found for v in series.values()]
    names = (words("charts.arrivals"), words("charts.departures"))
    texts = "; ".join(
        f"{name}: {words.number(series[max(series)], 0)} ({words.day(max(series))})"
        for name, series in zip(names, found, strict=True)
        if series
    )
    dates = [start + timedelta(days=round(span * i / (ROLLING_DATES - 1))) for i in range(ROLLING_DATES)]
    return Lines(
        key="rolling",
        title=words("charts.rolling.title"),
        desc=words("charts.rolling.desc", start=words.day(start), end=words.day(end), values=texts),
        names=names,
        lines=tuple(tuple(((day - start).days / span, series[day]) for day in sorted(series)) for series in found),
        dates=tuple(((day - start).days / span, words.day_short(day)) for day in dates),
        ticks=nice_ticks(0, max(values), lambda v: words.number(v, 0)),
    )


def bars(figures: Figures, key: str, rows: Sequence[Row]) -> Bars | None:
    """Rows with a value as horizontal bars; None without any."""
    words = figures.words
    marks = tuple(Mark(row.label, row.value, row.computed, published=row.published_value) for row in rows if row.value is not None)
    if not marks:
        return None
    return Bars(
        key=key,
        title=words(f"charts.{key}.title"),
        desc=words(f"charts.{key}.desc", values="; ".join(f"{mark.label}: {mark.text}" for mark in marks)),
        marks=marks,
        maximum=max([mark.value for mark in marks] + [mark.published or 0 for mark in marks]) or 1.0,
        published_name=words("charts.published"),
    )


def intervals(figures: Figures, key: str, rows: Sequence[Row], decimals: int) -> Intervals | None:
    """Estimates with their intervals on one scale from zero; None without any."""
    words = figures.words
    marks = tuple(Mark(row.label, row.value, row.computed, row.lower, row.upper) for row in rows if row.value is not None)
    if not marks:
        return None
    ends = [v for mark in marks for v in (mark.value, mark.upper) if v is not None]
    texts = "; ".join(
        f"{row.label}: {row.computed}" + (f" ({row.interval})" if row.interval else "") for row in rows if row.value is not None
    )
    return Intervals(
        key=key,
        title=words(f"charts.{key}.title"),
        desc=words(f"charts.{key}.desc", values=texts),
        marks=marks,
        ticks=nice_ticks(0, max(ends), lambda v: words.number(v, decimals)),
    )
