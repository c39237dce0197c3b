"""Plausibility of what offices publish and of what is published here: findings for the quality report.

A finding never changes a figure: a release that does not add up stays as it was published. Page: docs/methods/plausibility.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import isclose
from typing import Literal, NamedTuple

from schemas.values import KeptFigure
from services.shared.statistics.exchange.observation import NOT_APPLICABLE, TOTAL, Figure, series_key
from services.shared.statistics.terms.areas import GROUPS

# Published together: a whole and the parts that it is said to have. Shares of one whole should add to 100.
PARTS = {
    "PERMITS_IN_FORCE": tuple(f"PERMITS_IN_FORCE_{part}" for part in ("1", "2", "3", "4", "SEASONAL", "TRANSFER")),
}
SHARES = {
    "RESIDENCE_PURPOSE_SHARE": tuple(
        f"RESIDENCE_PURPOSE_SHARE_{part}"
        for part in ("UNSPECIFIED", "EMPLOYMENT", "EDUCATION", "TOURISM", "PRIVATE", "BUSINESS", "MEDICAL", "TRANSIT", "RESIDENCE")
    ),
}
_NEVER_NEGATIVE = frozenset({"persons", "permits", "crossings", "stays", "institutions"})
_FLOWS = (
    "ARRIVALS", "DEPARTURES", "CITIZENS_IN", "CITIZENS_OUT", "RESIDENCE_ARRIVALS", "RESIDENCE_DEPARTURES", "LABOUR_EMIGRATION",
    "PERMITS_ISSUED", "FOREIGN_GUESTS", "MEDICAL_VISITORS",
)  # fmt: skip
_STOCKS = ("PERMITS_IN_FORCE", "FOREIGN_STUDENTS")
_DIFFERENCES = {"BORDER_BALANCE": ("ARRIVALS", "DEPARTURES"), "NET_MIGRATION": ("RESIDENCE_ARRIVALS", "RESIDENCE_DEPARTURES")}
_ROUNDING = 1e-9  # relative: sums of shares and differences in floating point


class Finding(NamedTuple):
    """Something that does not fit.

    `rule`: share_range, negative, sum or interval; `subject`: a figure or series; `difference`: how far it is off, in the figure's
    unit (0 where there is no such number).
    """

    rule: Literal["share_range", "negative", "sum", "interval"]
    subject: str
    period: str
    difference: float
    text: str


def of_references(references: Iterable[KeptFigure]) -> list[Finding]:
    """What does not fit in published figures and targets (aggregates of measure `reference`), alone and as wholes and parts.

    Parts are compared within one agency's figures of one period, the newest of each.
    """
    newest: dict[tuple[str, str], dict[str, KeptFigure]] = defaultdict(dict)
    for entry in sorted(references, key=lambda r: (r["published_on"], r["key"])):
        newest[entry["key"].partition("/")[0], entry["period"]][entry["figure"]] = entry
    found = []
    for (_, period), figures in sorted(newest.items()):
        found += [finding for entry in figures.values() for finding in _alone(entry)]
        values = {figure: entry["value"] for figure, entry in figures.items()}
        for whole, parts in PARTS.items():
            if whole in values:
                found += _parts(whole, period, values[whole], [values.get(part) for part in parts])
        for whole, parts in SHARES.items():
            if any(part in values for part in parts):
                # A list of leading shares may be short of 100; it cannot be more.
                found += _parts(whole, period, 100, [values.get(part) for part in parts])
    return found


def _alone(entry: KeptFigure) -> list[Finding]:
    value, figure, period = entry["value"], entry["figure"], entry["period"]
    if entry["unit"] == "percent" and "SHARE" in figure:
        return _in_range(figure, period, value)
    if entry["unit"] in _NEVER_NEGATIVE and value < 0:
        return [Finding("negative", figure, period, value, f"{value:g} {entry['unit']}: less than nothing")]
    return []


def _in_range(subject: str, period: str, share: float) -> list[Finding]:
    if -_ROUNDING <= share <= 100 + 100 * _ROUNDING:
        return []
    off = share - 100 if share > 100 else share
    return [Finding("share_range", subject, period, off, f"a share of {share:g} percent")]


def _parts(whole: str, period: str, total: float, parts: list[float | None]) -> list[Finding]:
    """The parts against their whole; where some are missing, only that they are not more than it."""
    known = sum(part for part in parts if part is not None)
    if isclose(known, total, rel_tol=_ROUNDING) or (None in parts and known < total):
        return []
    text = f"its parts add up to {known:g}, {known - total:+g} against {total:g}; it stays as it was published"
    return [Finding("sum", whole, period, known - total, text)]


def of_figures(observations: Mapping[tuple[str, str], Figure]) -> list[Finding]:
    """What does not fit in figures computed here. None is expected: a finding is a sign of a bug or of a wrong definition.

    Shares between 0 and 100, limits around their value, countries, purposes and categories that add up to their total, quarters to
    their year, balances. A sum with a suppressed part is not looked at.
    """
    found = [finding for o in observations.values() if o.value is not None for finding in _within_limits(o, o.value)]
    sums: dict[tuple[str, str, str], float | None] = {}  # (of what, series, period) -> None if a part is suppressed
    for (series, period), o in observations.items():
        for kind, wider, sign in _part_of(series):
            place = kind, wider, period[:4] if kind == "quarters" else period
            so_far = sums.get(place, 0)
            sums[place] = None if so_far is None or o.value is None else so_far + sign * o.value
    for (kind, series, period), parts in sorted(sums.items()):
        whole = observations.get((series, period))
        total = whole.value if whole is not None else 0
        if parts is not None and total is not None and not isclose(parts, total, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
            text = f"its {kind} add up to {parts:g}, {parts - total:+g} against {total:g}"
            found.append(Finding("sum", series, period, parts - total, text))
    return found


def _within_limits(o: Figure, value: float) -> list[Finding]:
    found = _in_range(o.series, o.period, value) if o.series.split(".")[1].endswith("_SHARE") else []
    if o.lower is not None and o.upper is not None and not o.lower <= value <= o.upper:
        text = f"{value:g} is outside its limits {o.lower:g} to {o.upper:g}"
        found.append(Finding("interval", o.series, o.period, 0, text))
    return found


def _part_of(series: str) -> list[tuple[str, str, int]]:
    """(of what, series of the whole, sign): the sums that a figure is a part of."""
    freq, indicator, area, purpose, category, method = series.split(".")
    if freq == "D" or method != NOT_APPLICABLE:  # estimates do not add up, and are not to
        return []
    found = []
    if (area, purpose, category) == (TOTAL, TOTAL, TOTAL):
        for balance, (plus, minus) in _DIFFERENCES.items():
            if indicator in (plus, minus):
                whole = series_key(freq, balance)
                found.append((f"{plus} and {minus}", whole, 1 if indicator == plus else -1))
    if indicator not in (*_FLOWS, *_STOCKS) or area in GROUPS:
        return found
    if area != TOTAL:
        found.append(("countries", series_key(freq, indicator, TOTAL, purpose, category, method), 1))
    if purpose != TOTAL:
        found.append(("purposes", series_key(freq, indicator, area, TOTAL, category, method), 1))
    # Inner cells by category are not published, or partly hidden: categories are added up over all countries only.
    if category != TOTAL and area == TOTAL:
        found.append(("categories", series_key(freq, indicator, area, purpose, TOTAL, method), 1))
    if freq == "Q" and indicator in _FLOWS:
        found.append(("quarters", series_key("A", indicator, area, purpose, category, method), 1))
    return found
