"""The estimates, the target and what follows from it, written out from the method pages (docs/methods), for verify only.

Quarters are numbers here: four times the year, plus 0 to 3.
"""

from collections.abc import Iterator
from math import exp, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

Z = NormalDist().inv_cdf(0.975)


class Reference(NamedTuple):
    """A published figure that stands."""

    key: str
    figure: str
    period: str
    value: float
    published_on: str
    sample_size: int | None
    design_effect: float | None


class Residual(NamedTuple):
    """At a quarter's end, over citizenships that need a permit."""

    balance: float
    crossings: float
    permits: float


class Estimate(NamedTuple):
    """A figure with its limits; a target has none."""

    freq: str
    indicator: str
    method: str
    period: str
    value: float
    lower: float | None
    upper: float | None
    status: str = "E"


def ends_in(period: str) -> int:
    """The quarter in which a period ends."""
    year = int(period[:4]) * 4
    rest = period[4:]
    if not rest:
        return year + 3
    if rest.startswith("/"):  # an academic year ends with June of the next year
        return year + 4 + 1
    if rest.startswith("-S"):
        return year + (1 if rest == "-S1" else 3)
    if rest.startswith("-Q"):
        return year + int(rest[2]) - 1
    return year + (int(rest[1:3]) + 2) // 3 - 1


def _newest(references: list[Reference], figure: str, until: int | None = None) -> Reference | None:
    """Published last, then the greater key, among those whose period has ended."""
    best: Reference | None = None
    for one in references:
        if one.figure != figure or (until is not None and ends_in(one.period) > until):
            continue
        if best is None or (best.published_on, best.key) < (one.published_on, one.key):
            best = one
    return best


def _periods(first: int, last: int) -> Iterator[tuple[str, str, int]]:
    """(frequency, period, quarter at whose end it stands), of all quarters and years from one quarter to another."""
    for quarter in range(first, last + 1):
        yield "Q", f"{quarter // 4}-Q{quarter % 4 + 1}", quarter
    for year in range(first // 4, last // 4 + 1):
        yield "A", str(year), year * 4 + 3


def survey_and_benchmark(references: list[Reference], now: int) -> Iterator[Estimate]:
    """docs/methods/survey-share.md and benchmark.md."""
    usable = [r for r in references if r.figure == "INFORMAL_SHARE" and r.sample_size and 0 <= r.value <= 100]
    if not usable:
        return
    for freq, period, quarter in _periods(min(ends_in(r.period) for r in usable), now):
        survey = _newest(usable, "INFORMAL_SHARE", quarter)
        if survey is None:
            continue
        assert survey.sample_size is not None
        p, worth = survey.value / 100, survey.sample_size / (survey.design_effect or 1.0)
        centre = (p + Z * Z / (2 * worth)) / (1 + Z * Z / worth)
        half = Z / (1 + Z * Z / worth) * sqrt(p * (1 - p) / worth + Z * Z / (4 * worth * worth))
        limits = 100 * (centre - half), 100 * (centre + half)
        yield Estimate(freq, "INFORMAL_SHARE", "SURVEY", period, survey.value, *limits)
        stock = _newest(references, "MIGRANT_WORKERS_STOCK", quarter)
        if stock is not None and stock.value > 0:
            workers = stock.value * p
            half = Z * stock.value * sqrt(p * (1 - p) / worth)
            yield Estimate(freq, "INFORMAL_WORKERS", "BENCHMARK", period, workers, max(0.0, workers - half), workers + half)


def residual(quarters: dict[int, Residual], now: int) -> Iterator[Estimate]:
    """docs/methods/residual.md."""
    if not quarters:
        return
    for freq, period, quarter in _periods(min(quarters), now):
        at = quarters.get(min(quarter, now))
        if at is None or at.balance <= at.permits:
            continue
        left, half = at.balance - at.permits, Z * sqrt(at.crossings)
        yield Estimate(freq, "INFORMAL_WORKERS", "RESIDUAL", period, left, max(0.0, left - half), left + half)
        low, high = at.balance - half, at.balance + half
        lower = max(0.0, 100 * (low - at.permits) / low) if low > 0 else 0.0
        share = 100 * left / at.balance
        yield Estimate(freq, "INFORMAL_SHARE", "RESIDUAL", period, share, lower, 100 * (high - at.permits) / high)


def targets(references: list[Reference], students: dict[int, int]) -> Iterator[Estimate]:
    """The newest target of each year, the gap to the newest of all, and the growth a year that would close it."""
    wanted = [r for r in references if r.figure == "FOREIGN_STUDENTS_TARGET"]
    for year in sorted({r.period for r in wanted if len(r.period) == 4}):
        of_year = _newest([r for r in wanted if r.period == year], "FOREIGN_STUDENTS_TARGET")
        assert of_year is not None
        yield Estimate("A", "FOREIGN_STUDENTS_TARGET", "_Z", year, of_year.value, None, None, "F")
    target = _newest(wanted, "FOREIGN_STUDENTS_TARGET")
    if target is None:
        return
    for quarter, stock in students.items():
        period = f"{quarter // 4}-Q{quarter % 4 + 1}"
        yield Estimate("Q", "FOREIGN_STUDENTS_GAP", "_Z", period, target.value - stock, None, None, "P")
        years = (ends_in(target.period) - quarter) / 4
        if years > 0 and target.value > 0:
            growth = 100 * ((target.value / stock) ** (1 / years) - 1)
            yield Estimate("Q", "FOREIGN_STUDENTS_GROWTH_REQUIRED", "_Z", period, growth, None, None, "P")


def from_frequencies(years: dict[int, dict[int, int]]) -> Iterator[Estimate]:
    """docs/methods/chao.md, zelterman.md, truncated-poisson.md: by year, how many persons were found how often."""
    for year, table in years.items():
        n, once, twice = sum(table.values()), table.get(1, 0), table.get(2, 0)
        mean = sum(times * persons for times, persons in table.items()) / n
        found: dict[str, tuple[float, float, float]] = {}
        if once and (twice or once > 1):
            found["CHAO"] = _chao(n, once, twice)
        if once and twice:
            rate = 2 * twice / once
            found["ZELTERMAN"] = _of_rate(n, rate, rate * rate * (1 / once + 1 / twice))
        if mean > 1:
            rate = _truncated_rate(mean)
            p = 1 - exp(-rate)
            found["TRUNCATED_POISSON"] = _of_rate(n, rate, rate * p * p / (n * (p - rate * exp(-rate))))
        for method, (value, lower, upper) in found.items():
            yield Estimate("A", "INFORMAL_WORKERS", method, str(year), value, lower, upper)


def _chao(n: int, once: int, twice: int) -> tuple[float, float, float]:
    if twice:
        r, missed = once / twice, once * once / (2 * twice)
        variance = twice * (r**4 / 4 + r**3 + r**2 / 2)
    else:
        missed = once * (once - 1) / 2
        variance = missed + once * (2 * once - 1) ** 2 / 4 - once**4 / (4 * (n + missed))
    factor = exp(Z * sqrt(log(1 + variance / missed**2)))
    return n + missed, n + missed / factor, n + missed * factor


def _truncated_rate(mean: float) -> float:
    """The rate of a Poisson whose counts above 0 have this mean, by halving."""
    low, high = 0.0, mean
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        low, high = (middle, high) if middle / (1 - exp(-middle)) < mean else (low, middle)


def _of_rate(n: int, rate: float, rate_variance: float) -> tuple[float, float, float]:
    p = 1 - exp(-rate)
    slope = n * exp(-rate) / p**2
    half = Z * sqrt(slope + slope**2 * rate_variance)
    return n / p, max(float(n), n / p - half), n / p + half
