"""Charts as inline SVG: drawn on the server, coloured by the page's style sheet, readable without either.

A chart carries worded texts and plain numbers; drawing decides positions only. Every chart has a title and a description that holds
its values, for those who cannot see it. Widths are narrow, so that the text stays legible on a telephone.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

# Drawing units; at full size one unit is about one CSS pixel.
WIDTH = 520
LABEL_WIDTH = 224  # the longest country names in 13-unit type of a wide face
VALUE_WIDTH = 62
AXIS_WIDTH = 78  # "4 500 000" in 12-unit type
PLOT_HEIGHT = 200
BAR_STEP, BAR_HEIGHT = 27, 15
TOP, BOTTOM = 18, 26
TICKS_ABOUT = 4
INTERVAL_STEP = 52
COLUMN_LABELS_GROUPS_MAX = 2  # with more quarters the figures above the columns would run into one another
COLUMN_WIDTH_MAX = 62


@dataclass(frozen=True)
class Point:
    """A value and how it is written."""

    value: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A labelled value; `lower`, `upper` its interval, `published` what the article prints."""

    label: str
    value: float
    text: str
    lower: float | None = None
    upper: float | None = None
    published: float | None = None


@dataclass(frozen=True)
class Columns:
    """Two columns (`names`) a group; `ticks` are of the vertical axis."""

    key: str
    title: str
    desc: str
    names: tuple[str, str]
    groups: tuple[tuple[str, tuple[Point | None, Point | None]], ...]
    ticks: tuple[Point, ...]


@dataclass(frozen=True)
class Bars:
    """Horizontal bars from 0 to `maximum`; `published_name` explains the tick that marks the article's figure."""

    key: str
    title: str
    desc: str
    marks: tuple[Mark, ...]
    maximum: float
    published_name: str


@dataclass(frozen=True)
class Lines:
    """Lines (`names`) over positions 0..1 of a time axis; `dates` label it."""

    key: str
    title: str
    desc: str
    names: tuple[str, ...]
    lines: tuple[tuple[tuple[float, float], ...], ...]
    dates: tuple[tuple[float, str], ...]
    ticks: tuple[Point, ...]


@dataclass(frozen=True)
class Intervals:
    """Points with their intervals on one horizontal scale."""

    key: str
    title: str
    desc: str
    marks: tuple[Mark, ...]
    ticks: tuple[Point, ...]


def nice_ticks(low: float, high: float, write: Callable[[float], str]) -> tuple[Point, ...]:
    """Round ticks that cover low..high; at least two."""
    span = max(high - low, abs(high) * 1e-9, 1e-9)
    magnitude = 10.0 ** len(str(int(span / TICKS_ABOUT))) / 10 if span >= TICKS_ABOUT else 1.0
    raw = span / TICKS_ABOUT
    step = next(magnitude * m for m in (1, 2, 2.5, 5, 10, 20) if magnitude * m >= raw)
    first = int(low // step)
    last = first + 1
    while last * step < high * (1 - 1e-12):
        last += 1
    return tuple(Point(i * step, write(i * step)) for i in range(first, last + 1))


def draw(chart: Columns | Bars | Lines | Intervals) -> Markup:
    """The chart as an `<svg>` element."""
    if isinstance(chart, Columns):
        return _columns(chart)
    if isinstance(chart, Bars):
        return _bars(chart)
    if isinstance(chart, Lines):
        return _lines(chart)
    return _intervals(chart)


def _svg(chart: Columns | Bars | Lines | Intervals, height: float, parts: Iterable[str]) -> Markup:
    title, desc = f"chart-{chart.key}-title", f"chart-{chart.key}-desc"
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{title} {desc}">'
        f'<title id="{title}">{escape(chart.title)}</title><desc id="{desc}">{escape(chart.desc)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" class="{kind}"/>'


def _grid(ticks: tuple[Point, ...], scale: Callable[[float], float]) -> list[str]:
    parts = []
    for tick in ticks:
        y = scale(tick.value)
        parts.append(_line(AXIS_WIDTH, y, WIDTH, y, "axis" if tick is ticks[0] else "grid"))
        parts.append(_text(AXIS_WIDTH - 8, y + 4, tick.text, "end", "tick"))
    return parts


def _legend(names: Iterable[str], y: float) -> list[str]:
    """Names with their colours, in one line above the plot. Letters are taken as 8 units wide."""
    parts, x = [], float(AXIS_WIDTH)
    for name, kind in zip(names, ("series-a", "series-b"), strict=False):
        parts += [_rect(x, y - 10, 12, 12, kind), _text(x + 18, y, name)]
        x += 18 + 8.0 * len(name) + 24
    return parts


def _columns(chart: Columns) -> Markup:
    top, bottom = TOP + 24, TOP + 24 + PLOT_HEIGHT
    low, high = chart.ticks[0].value, chart.ticks[-1].value

    def scale(value: float) -> float:
        return bottom - (value - low) / (high - low) * PLOT_HEIGHT

    parts = _legend(chart.names, TOP - 4) + _grid(chart.ticks, scale)
    step = (WIDTH - AXIS_WIDTH) / len(chart.groups)
    width = min(step * 0.38, COLUMN_WIDTH_MAX)
    for i, (label, points) in enumerate(chart.groups):
        middle = AXIS_WIDTH + step * (i + 0.5)
        for j, point in enumerate(points):
            if point is None:
                continue
            x, y = middle + (j - 1) * (width + 1), scale(point.value)
            parts.append(_rect(x, y, width, bottom - y, ("series-a", "series-b")[j]))
            if len(chart.groups) <= COLUMN_LABELS_GROUPS_MAX:
                # Outwards from the pair's middle: figures of seven digits are wider than their columns.
                parts.append(_text(x + width * (1 - j), y - 5, point.text, ("end", "start")[j], "value"))
        parts.append(_text(middle, bottom + 18, label, "middle", "tick"))
    assert top <= bottom
    return _svg(chart, bottom + BOTTOM, parts)


def _bars(chart: Bars) -> Markup:
    plot = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    stated = any(mark.published is not None for mark in chart.marks)
    top = TOP + 12 if stated else 6
    parts = []
    if stated:
        parts += [_line(LABEL_WIDTH + 4, 5, LABEL_WIDTH + 4, 21, "stated"), _text(LABEL_WIDTH + 14, 17, chart.published_name)]
    for i, mark in enumerate(chart.marks):
        y = top + i * BAR_STEP
        width = plot * mark.value / chart.maximum
        parts.append(_text(LABEL_WIDTH - 10, y + 12.5, mark.label, "end"))
        parts.append(_rect(LABEL_WIDTH, y, plot, BAR_HEIGHT, "track"))
        parts.append(_rect(LABEL_WIDTH, y, width, BAR_HEIGHT, "series-a"))
        if mark.published is not None:
            x = LABEL_WIDTH + plot * mark.published / chart.maximum
            parts.append(_line(x, y - 4, x, y + BAR_HEIGHT + 4, "stated"))
        parts.append(_text(WIDTH, y + 12.5, mark.text, "end", "value"))
    return _svg(chart, top + len(chart.marks) * BAR_STEP, parts)


def _lines(chart: Lines) -> Markup:
    bottom = TOP + 24 + PLOT_HEIGHT
    low, high = chart.ticks[0].value, chart.ticks[-1].value

    def scale(value: float) -> float:
        return bottom - (value - low) / (high - low) * PLOT_HEIGHT

    plot = WIDTH - AXIS_WIDTH - 6
    parts = _legend(chart.names, TOP - 4) + _grid(chart.ticks, scale)
    for points, kind in zip(chart.lines, ("line-a", "line-b"), strict=False):
        if not points:
            continue
        path = " ".join(f"{AXIS_WIDTH + plot * x:.1f},{scale(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" class="{kind}"/>')
        x, y = points[-1]
        parts.append(f'<circle cx="{AXIS_WIDTH + plot * x:.1f}" cy="{scale(y):.1f}" r="3.5" class="{kind} dot"/>')
    for position, text in chart.dates:
        x = AXIS_WIDTH + plot * position
        parts.append(_line(x, bottom, x, bottom + 5, "axis"))
        anchor = "start" if position < 0.1 else "end" if position > 0.9 else "middle"
        parts.append(_text(x, bottom + 19, text, anchor, "tick"))
    return _svg(chart, bottom + BOTTOM, parts)


def _anchor(tick: Point, ticks: tuple[Point, ...]) -> str:
    """Labels at the ends of a horizontal axis stay within the drawing."""
    if tick is ticks[0]:
        return "start"
    return "end" if tick is ticks[-1] else "middle"


def _intervals(chart: Intervals) -> Markup:
    left, right = 8.0, WIDTH - 24.0  # half a tick label stands right of the last tick
    low, high = chart.ticks[0].value, chart.ticks[-1].value

    def scale(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    bottom = len(chart.marks) * INTERVAL_STEP + 4
    parts = []
    for tick in chart.ticks:
        x = scale(tick.value)
        parts.append(_line(x, 0, x, bottom, "grid"))
        parts.append(_text(x, bottom + 16, tick.text, _anchor(tick, chart.ticks), "tick"))
    for i, mark in enumerate(chart.marks):
        y = i * INTERVAL_STEP + 38.0
        parts.append(_text(left + 4, y - 20, mark.label, kind="halo"))
        if mark.lower is not None and mark.upper is not None:
            x1, x2 = scale(mark.lower), scale(mark.upper)
            parts.append(_line(x1, y, x2, y, "whisker"))
            parts += [_line(x, y - 6, x, y + 6, "whisker") for x in (x1, x2)]
        parts.append(f'<circle cx="{scale(mark.value):.1f}" cy="{y:.1f}" r="5.5" class="series-a"/>')
        parts.append(_text(WIDTH, y - 20, mark.text, "end", "value halo"))
    return _svg(chart, bottom + BOTTOM, parts)
