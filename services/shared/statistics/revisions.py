"""How far published figures moved afterwards: the revision triangle of an indicator, and its usual measures.

A vintage is a figure as it stood at one release. Revisions compare vintages of the same period. Page: docs/methods/revisions.md.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Vintages = Mapping[str, Sequence[float | None]]  # period -> the figure at each release, first to last; None: not published at it


class Measures(NamedTuple):
    """`mean` (MR), `mean_absolute` (MAR) in the figure's unit; `relative_mean_absolute` (RMAR) as a share of the later figures.

    `periods`: of how many. The last is None where all later figures are 0.
    """

    periods: int
    mean: float
    mean_absolute: float
    relative_mean_absolute: float | None


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
