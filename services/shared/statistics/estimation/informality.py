"""Estimates of informal work, as pure functions of the aggregates and reference figures of one cut.

Each is a dictionary as `estimates.informality.v1` carries it: value, interval, inputs and assumptions rated green, amber or red; or
`absent` with the reason. An estimate that its data cannot carry is absent, never 0 or infinite.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import TypeVar, cast

from schemas.values import (
    AbsentEstimate,
    Entry,
    Estimate,
    Inputs,
    KeptFigure,
    PresentEstimate,
    StatedFigure,
    ViolationsEntry,
    is_count,
    is_reference,
    is_violations,
)
from services.shared.feeds import migration_violations as offences
from services.shared.statistics.estimation import frequencies
from services.shared.statistics.estimation.estimate import Z_95, Absent, Interval, key_of, product, share_variance, wilson
from services.shared.statistics.exchange.observation import TOTAL
from services.shared.statistics.terms import calendar
from services.shared.statistics.terms.areas import EAEU, HOME
from services.shared.statistics.terms.universe import Crossings, Permits, crossings_as_persons

R = TypeVar("R", bound=KeptFigure)

MEASURES = (
    "reference",
    "employment_balance",
    "permits_in_force",
    "employment_crossings",
    offences.MEASURE,
)  # of the aggregates that are used

_SURVEY_ASSUMPTIONS = (
    ("The survey's respondents stand for all migrant workers of its period", "amber"),
    ("The share found by the newest survey holds until a newer one", "amber"),
)
_BENCHMARK_ASSUMPTIONS = (
    *_SURVEY_ASSUMPTIONS,
    ("The reference stock of migrant workers is taken as published, without an error of its own", "red"),
    ("Survey and reference stock speak of the same people", "amber"),
)
_RESIDUAL_ASSUMPTIONS = (
    ("A conversion between two universes: a balance of border crossings is read as a number of persons", "red"),
    ("The purpose stated at the border is the true one, on the way in and on the way out", "red"),
    ("Nobody who needs a permit was in the country before the series began", "red"),
    ("Citizens of the EAEU need no permit and are left out (EAEU Treaty, article 97)", "green"),
    ("The register of permits is complete", "green"),
    ("The interval covers only the random variation of counts, not the assumptions above", "amber"),
)

_AT_RELEASES = "estimates of a group of citizenships are published at releases only, where they tell of no handful of persons"


def estimates(entries: Mapping[str, Entry], log_time: int) -> dict[str, Estimate]:
    """All estimates of a cut by key `<method>|<period>|<indicator>`, and `|<area>` if it is of a group of citizenships.

    `entries`: aggregates of MEASURES by their key.
    """
    now = calendar.quarter_of(calendar.local_day(log_time))
    references = [e for e in entries.values() if is_reference(e)]
    found: list[Estimate] = []
    for freq in ("Q", "A"):
        found += _survey_and_benchmark(references, now, freq)
        found += _residual(entries, now, freq)
    found += _from_frequencies([e for e in entries.values() if is_violations(e)])
    return {key_of(e): e for e in found}


def newest(references: Iterable[R], figure: str, until: int | None = None) -> R | None:
    """The newest published figure of this code whose period ends in quarter `until` or before."""
    fitting = [
        r for r in references if r["figure"] == figure and (until is None or calendar.last_quarter_of_period(r["period"]) <= until)
    ]
    return max(fitting, key=lambda r: (r["published_on"], r["key"]), default=None)


def _periods(first: int, now: int, freq: str) -> list[tuple[str, int]]:
    """(label, quarter at whose end it stands) of every quarter or year from `first` to the current one."""
    if freq == "Q":
        return [(calendar.quarter_label(q), q) for q in range(first, now + 1)]
    years = range(calendar.year_of(first), calendar.year_of(now) + 1)
    return [(str(year), calendar.parse_quarter(f"{year}-Q4")) for year in years]


def _survey_and_benchmark(references: Sequence[KeptFigure], now: int, freq: str) -> list[Estimate]:
    surveys = [r for r in references if r["figure"] == "INFORMAL_SHARE" and r.get("sample_size") and 0 <= r["value"] <= 100]
    if not surveys:
        return []
    first = min(calendar.last_quarter_of_period(r["period"]) for r in surveys)
    found: list[Estimate] = []
    for period, quarter in _periods(first, now, freq):
        survey = newest(surveys, "INFORMAL_SHARE", quarter)
        if survey is None:
            continue
        share, effect = survey["value"] / 100, survey.get("design_effect") or 1.0
        interval = wilson(share, survey["sample_size"], effect)
        percent = Interval(survey["value"], 100 * interval.lower, 100 * interval.upper)
        inputs: Inputs = {"survey": _source(survey)}
        found.append(_estimate("INFORMAL_SHARE", "SURVEY", period, percent, "percent", inputs, _SURVEY_ASSUMPTIONS))
        stock = newest(references, "MIGRANT_WORKERS_STOCK", quarter)
        if stock is None or stock["value"] <= 0:
            found.append(_absent("INFORMAL_WORKERS", "BENCHMARK", period, "no reference stock of migrant workers is published"))
            continue
        workers = product(stock["value"], 0.0, share, share_variance(share, survey["sample_size"], effect))
        inputs = {"survey": _source(survey), "stock": _source(stock)}
        found.append(_estimate("INFORMAL_WORKERS", "BENCHMARK", period, workers, "persons", inputs, _BENCHMARK_ASSUMPTIONS))
    return found


def _residual(entries: Mapping[str, Entry], now: int, freq: str) -> list[Estimate]:
    """Balance of employment-purpose crossings of citizenships that need a permit, less permits in force."""
    balances: dict[str, float] = defaultdict(float)
    crossings: dict[str, float] = defaultdict(float)
    permits: dict[str, float] = defaultdict(float)
    quarters = set()
    for entry in entries.values():
        if not is_count(entry) or entry["citizenship"] in EAEU or entry["citizenship"] == HOME:
            continue
        measure, period, value = entry["measure"], entry["period"], entry["value"]
        if measure == "employment_balance":
            balances[period] += max(0, value)
        elif measure == "employment_crossings":
            crossings[period] += value
            quarters.add(calendar.parse_quarter(period))
        elif measure == "permits_in_force":
            permits[period] += value
    if not quarters:
        return []
    found: list[Estimate] = []
    for period, quarter in _periods(min(quarters), now, freq):
        at = calendar.quarter_label(min(quarter, now))
        balance, in_force = balances[at], permits[at]
        left = (crossings_as_persons(Crossings(balance)) - Permits(in_force)).value
        if left <= 0:
            reason = (
                f"the balance of employment-purpose crossings ({balance:.0f}) is not above the permits in force ({in_force:.0f}): "
                "nothing is left to estimate"
            )
            found += [_absent(i, "RESIDUAL", period, reason) for i in ("INFORMAL_WORKERS", "INFORMAL_SHARE")]
            continue
        half = Z_95 * sqrt(crossings[at])  # arrivals and departures as independent Poisson counts
        inputs: Inputs = {"employment_balance": balance, "permits_in_force": in_force, "crossings_counted": crossings[at]}
        workers = Interval(left, max(0.0, left - half), left + half)
        share = Interval(*(100 * part for part in _shares(balance, in_force, half)))
        found.append(_estimate("INFORMAL_WORKERS", "RESIDUAL", period, workers, "persons", inputs, _RESIDUAL_ASSUMPTIONS))
        found.append(_estimate("INFORMAL_SHARE", "RESIDUAL", period, share, "percent", inputs, _RESIDUAL_ASSUMPTIONS))
    return found


def _shares(balance: float, permits: float, half: float) -> tuple[float, float, float]:
    """The residual as a share of the balance: value, lower, upper. Permits are a register and do not vary."""
    low, high = balance - half, balance + half
    return 1 - permits / balance, max(0.0, 1 - permits / low) if low > 0 else 0.0, 1 - permits / high


def _from_frequencies(entries: list[ViolationsEntry]) -> list[Estimate]:
    """By year, by each method: how many work without papers, found or not. Of groups it is only said where that is published."""
    tables: dict[str, dict[str, dict[int, int]]] = defaultdict(dict)
    for entry in entries:
        tables[entry["period"]][entry["area"]] = {int(times): persons for times, persons in entry["frequencies"].items()}
    found: list[Estimate] = []
    for year, by_area in tables.items():
        for area, table in by_area.items():
            inputs: Inputs = {
                "persons_found": sum(table.values()),
                "frequencies": {str(times): n for times, n in table.items()},
            }
            for method, estimator in frequencies.METHODS.items():
                result = estimator(table) if area == TOTAL else Absent(_AT_RELEASES)
                estimate: Estimate
                if isinstance(result, Absent):
                    estimate = _absent("INFORMAL_WORKERS", method, year, result.reason)
                else:
                    assumptions = frequencies.ASSUMPTIONS[method]
                    estimate = _estimate("INFORMAL_WORKERS", method, year, result, "persons", inputs, assumptions)
                if area != TOTAL:
                    estimate["area"] = area
                found.append(estimate)
    return found


def _source(reference: KeptFigure) -> StatedFigure:
    return cast(StatedFigure, {k: v for k, v in reference.items() if k not in ("measure", "key")})


def _estimate(
    indicator: str,
    method: str,
    period: str,
    interval: Interval,
    unit: str,
    inputs: Inputs,
    assumptions: tuple[tuple[str, str], ...],
) -> PresentEstimate:
    return {
        "indicator": indicator,
        "method": method,
        "period": period,
        "value": interval.value,
        "lower": interval.lower,
        "upper": interval.upper,
        "unit": unit,
        "inputs": inputs,
        "assumptions": [{"text": text, "rating": rating} for text, rating in assumptions],
    }


def _absent(indicator: str, method: str, period: str, reason: str) -> AbsentEstimate:
    return {"indicator": indicator, "method": method, "period": period, "absent": True, "reason": reason}
