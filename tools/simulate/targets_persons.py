"""Reads the sections of a targets file that are about persons and stays: residence, labour emigration, visitors, violations."""

import datetime as dt
import re
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

from tools.simulate.reading import TargetsError, count, country, fields, mapping, percent, weights
from tools.simulate.targets import (
    OTHER_OFFENCES,
    PURPOSES,
    EmigrationTargets,
    Period,
    ResidenceTargets,
    StayTargets,
    Totals,
    ViolationTargets,
)

PERSON_SECTIONS = ("residence_registrations", "labour_emigration", "visitor_stays", "migration_violations")
# Nobody is found more often than this within a year: once a week.
TIMES_MOST = 52
_PERIOD = re.compile(r"(20\d\d)(?:-(?:S([12])|Q([1-4])))?")


def read_residence(value: object, where: str) -> ResidenceTargets:
    """The checked section. Raises TargetsError."""
    section = fields(value, where, ("arrivals", "departures", "citizenships", "destinations", "purposes"))
    return ResidenceTargets(
        arrivals=_totals(section["arrivals"], f"{where}.arrivals"),
        departures=_totals(section["departures"], f"{where}.departures"),
        citizenships=weights(section["citizenships"], f"{where}.citizenships"),
        destinations=_abroad(section["destinations"], f"{where}.destinations"),
        purposes=weights(section["purposes"], f"{where}.purposes", PURPOSES),
    )


def read_emigration(value: object, where: str) -> EmigrationTargets:
    """The checked section. Raises TargetsError."""
    section = fields(value, where, ("totals", "destinations", "organised_percent"))
    return EmigrationTargets(
        totals=_totals(section["totals"], f"{where}.totals"),
        destinations=_abroad(section["destinations"], f"{where}.destinations"),
        organised=percent(section["organised_percent"], f"{where}.organised_percent"),
    )


def read_stays(value: object, where: str) -> StayTargets:
    """The checked section. Raises TargetsError."""
    section = fields(value, where, ("guests", "citizenships", "medical"))
    medical = {}
    for name, of_period in mapping(section["medical"], f"{where}.medical").items():
        place = f"{where}.medical.{name}"
        found = {country(code, place): count(n, f"{place}.{code}") for code, n in mapping(of_period, place).items()}
        medical[_period(name, place)] = found
    _refuse_overlaps(medical, f"{where}.medical")
    return StayTargets(
        guests=_totals(section["guests"], f"{where}.guests"),
        citizenships=_abroad(section["citizenships"], f"{where}.citizenships"),
        medical=medical,
    )


def read_violations(value: object, where: str) -> ViolationTargets:
    """The checked section. Raises TargetsError."""
    section = fields(value, where, ("frequencies", "citizenships", "others"))
    frequencies: dict[Period, dict[int, int]] = {}
    for name, of_period in mapping(section["frequencies"], f"{where}.frequencies").items():
        place = f"{where}.frequencies.{name}"
        found: dict[int, int] = {}
        for times, persons in mapping(of_period, place).items():
            if type(times) is not int or not 1 <= times <= TIMES_MOST:
                raise TargetsError(f"{place}: expected how often, from 1 to {TIMES_MOST}, found {times!r}")
            found[times] = count(persons, f"{place}.{times}")
        frequencies[_period(name, place)] = found
    if len({period.year for period in frequencies}) < len(frequencies):
        raise TargetsError(f"{where}.frequencies: contradictory: frequencies are of years, and one year has two periods")
    others = mapping(section["others"], f"{where}.others")
    if unknown := sorted(str(key) for key in others if key not in OTHER_OFFENCES):
        raise TargetsError(f"{where}.others: unknown key {', '.join(unknown)}")
    return ViolationTargets(
        frequencies=frequencies,
        citizenships=_abroad(section["citizenships"], f"{where}.citizenships"),
        others={kind: count(n, f"{where}.others.{kind}") for kind, n in others.items()},
    )


def _abroad(value: object, where: str) -> dict[str, Fraction]:
    found = weights(value, where)
    if "KZ" in found:
        raise TargetsError(f"{where}: KZ is not abroad")
    return found


def _totals(value: object, where: str) -> Totals:
    totals = {_period(name, where): count(total, f"{where}.{name}") for name, total in mapping(value, where).items()}
    _refuse_overlaps(totals, where)
    return totals


def _refuse_overlaps(periods: Iterable[Period], where: str) -> None:
    ordered = sorted(periods, key=lambda period: period.first_day)
    for before, period in pairwise(ordered):
        if before.first_day + dt.timedelta(days=before.days) > period.first_day:
            raise TargetsError(f"{where}: contradictory: {before.name} and {period.name} overlap")


def _period(name: object, where: str) -> Period:
    """`2024`, `2025-S1` or `2025-Q2`."""
    match = _PERIOD.fullmatch(str(name))
    if match is None:
        raise TargetsError(f"{where}: expected a year, half-year or quarter such as 2024, 2025-S1 or 2025-Q2, found {name!r}")
    year = int(match[1])
    months = 3 if match[3] else 6 if match[2] else 12
    first_month = 1 + (int(match[3] or match[2] or 1) - 1) * months
    first = dt.date(year, first_month, 1)
    after = dt.date(year + (first_month + months > 12), (first_month + months - 1) % 12 + 1, 1)
    return Period(str(name), first, (after - first).days)
