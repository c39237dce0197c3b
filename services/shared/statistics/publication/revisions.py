"""How far published figures moved afterwards: the revision triangle of an indicator, and its usual measures.

A vintage is a figure as it stood at one release. Revisions compare vintages of the same period. Page: docs/methods/revisions.md.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, NotRequired, TypedDict, final

Vintages = Mapping[str, Sequence[float | None]]  # period -> the figure at each release, first to last; None: not published at it


class Measures(NamedTuple):
    """`mean` (MR), `mean_absolute` (MAR) in the figure's unit; `relative_mean_absolute` (RMAR) as a share of the later figures.

    `periods`: of how many. The last is None where all later figures are 0.
    """

    periods: int
    mean: float
    mean_absolute: float
    relative_mean_absolute: float | None


class ReleasedValue(TypedDict):
    """A figure at a release; None: it was hidden."""

    release: str
    value: float | None


class TriangleRow(TypedDict):
    """A period's figure at each of its releases, and now."""

    period: str
    vintages: list[ReleasedValue]
    newest: NotRequired[float | None]


class ColumnMeasures(TypedDict):
    """Measures of the revisions from the first release to a later one, or to now."""

    to: str
    periods: int
    MR: float
    MAR: float
    RMAR: float | None


class RevisionTable(TypedDict):
    """The triangle of a series as readers get it."""

    rows: list[TriangleRow]
    measures: list[ColumnMeasures]


@final
class SeriesRevisions(TypedDict):
    """The same with the series and its unit, as it is kept beside the figures."""

    series: str
    unit: str
    rows: list[TriangleRow]
    measures: list[ColumnMeasures]


def triangle(vintages: Vintages) -> dict[str, list[float]]:
    """Per period the figures in the order of their releases, starting with its first: column k is k releases after that.

    A release at which the period was not published repeats what stood before.
    """
    found: dict[str, list[float]] = {}
    for period, figures in sorted(vintages.items()):
        row: list[float] = []
        for figure in figures:
            if figure is not None:
                row.append(figure)
            elif row:
                row.append(row[-1])
        if row:
            found[period] = row
    return found


def measures(vintages: Vintages, later: int) -> Measures | None:
    """Measures of the revisions from a period's first figure to that `later` releases after it; None if no period has both.

    MR = sum of (L - P) / n, MAR = sum of |L - P| / n, RMAR = sum of |L - P| / sum of |L|.
    """
    assert later > 0, "a figure is not revised at its first release"
    pairs = [(row[0], row[later]) for row in triangle(vintages).values() if len(row) > later]
    if not pairs:
        return None
    revisions = [after - first for first, after in pairs]
    size = sum(abs(revision) for revision in revisions)
    level = sum(abs(after) for _, after in pairs)
    return Measures(len(pairs), sum(revisions) / len(pairs), size / len(pairs), size / level if level else None)


def revision_table(
    released: Mapping[str, Sequence[tuple[str, float | None]]], newest: Mapping[str, float | None] | None = None
) -> RevisionTable:
    """The triangle of a series as readers get it, with the measures of each of its columns; can be written as JSON.

    `released`: per period (release, figure) in the order in which they went out. `newest`: per period the figure as it stands now;
    with it there is one column more, and the measures from the first release to now.
    """
    figures = {period: [figure for _, figure in row] for period, row in sorted(released.items())}
    rows: list[TriangleRow] = [
        {"period": period, "vintages": [{"release": name, "value": figure} for name, figure in row]}
        for period, row in sorted(released.items())
    ]
    if newest is not None:
        for row in rows:
            row["newest"] = newest.get(row["period"])
    columns: list[tuple[str, Measures | None]] = [
        (f"release {later + 1}", measures(figures, later)) for later in range(1, max(map(len, figures.values()), default=0))
    ]
    if newest is not None:
        first = {period: figure[:1] for period, figure in triangle(figures).items()}
        columns.append(("now", measures({period: [*figure, newest.get(period)] for period, figure in first.items()}, 1)))
    return {
        "rows": rows,
        "measures": [
            {"to": column, "periods": m.periods, "MR": m.mean, "MAR": m.mean_absolute, "RMAR": m.relative_mean_absolute}
            for column, m in columns
            if m is not None
        ],
    }
