"""What the simulated feeds must add up to, once read and checked (`targets_file`).

Shares and weights are exact fractions, so that 36 % of a total is exactly that.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from schemas.feeds import FEEDS
from schemas.feeds.fields import codes

CIS = frozenset({"AM", "AZ", "BY", "KG", "MD", "RU", "TJ", "TM", "UZ"})
EAEU = frozenset({"AM", "BY", "KG", "RU"})
NOT_FAR_ABROAD = CIS | {"GE", "UA", "XX", "KZ"}
GROUPS = ("CIS", "FAR_ABROAD")
PURPOSES = codes(FEEDS["border-crossings"].record, "purpose")
CATEGORIES = codes(FEEDS["work-permits"].record, "category")
LEVELS = codes(FEEDS["student-enrolments"].record, "level")
FIELDS_OF_STUDY = codes(FEEDS["student-enrolments"].record, "field")
WORK_OFFENCES = ("work_without_permit", "work_without_contract")
OTHER_OFFENCES = tuple(kind for kind in codes(FEEDS["migration-violations"].record, "kind") if kind not in WORK_OFFENCES)
SERIES = ("arrivals", "departures", "citizens_in", "citizens_out")


@dataclass(frozen=True)
class Quarter:
    """A calendar quarter: its name (`2025-Q2`), first day and number of days."""

    name: str
    first_day: dt.date
    days: int

    @property
    def last_day(self) -> dt.date:
        """The last day that belongs to it."""
        return self.first_day + dt.timedelta(days=self.days - 1)


@dataclass(frozen=True)
class Flow:
    """A quarter's crossings: the total at full size, and blocks of (share of the total, weights of its countries).

    The shares of the blocks add to 1. The total is divided over the blocks first and then within each, so that a
    group's stated share is met exactly and not only about, by the sum of its rounded members.
    """

    total: int
    blocks: tuple[tuple[Fraction, dict[str, Fraction]], ...]

    def country_shares(self) -> dict[str, Fraction]:
        """Each country's share of the total."""
        return {code: share * weight / sum(members.values()) for share, members in self.blocks for code, weight in members.items()}


@dataclass(frozen=True)
class CrossingTargets:
    """`flows` by (series, period); `balance` by period and citizenship: employment arrivals less departures."""

    quarters: tuple[Quarter, ...]
    flows: Mapping[tuple[str, str], Flow]
    own_counterpart: Fraction
    employment: Mapping[str, Fraction]
    employment_default: Fraction
    balance: Mapping[str, Mapping[str, int]]
    purposes: Mapping[str, Fraction]


@dataclass(frozen=True)
class PermitTargets:
    """`stocks` at the end of dates in rising order; the structure holds exactly at the last of them."""

    stocks: Mapping[dt.date, int]
    citizenships: Mapping[str, Fraction]
    categories: Mapping[str, Fraction]
    turnover: Fraction
    between_dates: int
    one_day: int
    never_in_force: int


@dataclass(frozen=True)
class StudentTargets:
    """`stocks`: open enrolments of foreigners at the end of dates in rising order."""

    stocks: Mapping[dt.date, int]
    citizenships: Mapping[str, Fraction]
    levels: Mapping[str, Fraction]
    fields: Mapping[str, Fraction]
    ended_before: int
    citizens_in_branches: int
    branches_open: int
    branches_closed: int


@dataclass(frozen=True)
class Period:
    """A calendar year, half-year or quarter: its name, first day and number of days."""

    name: str
    first_day: dt.date
    days: int

    @property
    def year(self) -> int:
        return self.first_day.year


Totals = Mapping[Period, int]  # how many in each of some periods that do not overlap


@dataclass(frozen=True)
class ResidenceTargets:
    """Changes of permanent residence; the structures hold in every period as nearly as can be."""

    arrivals: Totals
    departures: Totals
    citizenships: Mapping[str, Fraction]
    destinations: Mapping[str, Fraction]
    purposes: Mapping[str, Fraction]


@dataclass(frozen=True)
class EmigrationTargets:
    """Citizens leaving for work, at full size; `organised` is a share."""

    totals: Totals
    destinations: Mapping[str, Fraction]
    organised: Fraction


@dataclass(frozen=True)
class StayTargets:
    """Stays at full size; `medical` by period and citizenship."""

    guests: Totals
    citizenships: Mapping[str, Fraction]
    medical: Mapping[Period, Mapping[str, int]]


@dataclass(frozen=True)
class ViolationTargets:
    """`frequencies`: by period, of different years, how many persons were found how often at work without papers; `others`:
    offences of other kinds in all."""

    frequencies: Mapping[Period, Mapping[int, int]]
    citizenships: Mapping[str, Fraction]
    others: Mapping[str, int]


@dataclass(frozen=True)
class Targets:
    """Everything that one simulation must hit. `figures` are records of reference-figures, without `version`."""

    crossings: CrossingTargets
    permits: PermitTargets
    students: StudentTargets
    residence: ResidenceTargets
    emigration: EmigrationTargets
    stays: StayTargets
    violations: ViolationTargets
    figures: tuple[Mapping[str, Any], ...]
