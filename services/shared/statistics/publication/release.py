"""Releases: when they are due, what they are called, and what follows from them for the status of each figure.

A release is a publication that was named and frozen. The calendar is a rule and named exceptions; docs/release-calendar.md tells it
to readers. Instants are aware datetimes in UTC.
"""

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, NamedTuple, TypedDict, final

from services.shared.statistics.exchange.observation import FINAL, PROVISIONAL, Observation
from services.shared.statistics.terms import calendar

KINDS = {"provisional": False, "final": True}
SATURDAY, DAYS_OF_WEEK = 5, 7  # as date.weekday() counts
QUARTER_DAYS_MIN = 90
# Bounds of the rule: beyond them somebody has mistyped.
PROVISIONAL_DAYS_MAX = 366
FINAL_QUARTERS_MAX = 20
FREEZE_MINUTES_MAX = 7 * 24 * 60
_RULE = {
    "provisional_days": (1, PROVISIONAL_DAYS_MAX),
    "final_quarters": (1, FINAL_QUARTERS_MAX),
    "freeze_minutes": (1, FREEZE_MINUTES_MAX),
}
_EXCEPTION = ("period", "kind", "instant", "reason")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_NAME = re.compile(r"(?P<period>[0-9]{4}-Q[1-4])\.(?P<kind>[PF])(?P<number>[1-9][0-9]*)")

Key = tuple[str, str]


class Confidential(TypedDict):
    """What later releases must know of one: all its inner counts, what of them it hid, and by year the groups that it hid."""

    period: str
    counts: dict[str, int]
    hidden: dict[str, str]
    groups: dict[str, list[str]]


@final
class Told(TypedDict):
    """What readers are told of a public release. `frozen_from`: the publication whose figures it has; `publication`: its own."""

    name: str
    title: str
    period: str
    final: bool
    number: int
    due: str
    frozen_from: int
    publication: int
    figures: int
    hidden: int


@final
class Dates(TypedDict):
    """When the calendar foresees the releases of each quarter: instants by kind."""

    periods: dict[str, dict[str, str]]


class CalendarError(ValueError):
    """A calendar that cannot be: the field, and what it must be."""


class Named(NamedTuple):
    """What a release's name says."""

    period: str
    final: bool
    number: int

    def __str__(self) -> str:
        """`2025-Q2.P1`, the first provisional release of a quarter."""
        return f"{self.period}.{'F' if self.final else 'P'}{self.number}"

    @property
    def title(self) -> str:
        """`2025-Q2 provisional 1`"""
        return f"{self.period} {'final' if self.final else 'provisional'} {self.number}"


def parse_name(text: str) -> Named:
    """The parts of `2025-Q2.P1`; ValueError for anything else."""
    match = _NAME.fullmatch(text)
    if match is None:
        raise ValueError("a release is written like 2025-Q2.P1 or 2025-Q2.F1")
    return Named(match["period"], match["kind"] == "F", int(match["number"]))


def periods_of(quarter: str) -> tuple[str, ...]:
    """The periods whose figures a quarter's release holds: its own, and with the fourth quarter the year."""
    return (quarter, quarter[:4]) if quarter.endswith("-Q4") else (quarter,)


def is_over(quarter: str, instant: datetime) -> bool:
    """Whether the last local day of a quarter has passed."""
    return calendar.local_day(int(instant.timestamp() * 1000)) > calendar.last_day(calendar.parse_quarter(quarter))


class Due(NamedTuple):
    """A release that the calendar foresees."""

    instant: datetime
    period: str
    final: bool


class ReleaseCalendar(NamedTuple):
    """The rule and its exceptions. `minute`: of the local day; `exceptions`: (period, final) -> instant."""

    provisional_days: int
    minute: int
    final_quarters: int
    freeze_minutes: int
    exceptions: Mapping[tuple[str, bool], datetime]

    def instant(self, period: str, final: bool) -> datetime:
        """When a quarter's release goes out."""
        found = self.exceptions.get((period, final))
        if found is not None:
            return found
        quarter = calendar.parse_quarter(period)
        if final:
            return self.instant(calendar.quarter_label(quarter + self.final_quarters), False)
        day = calendar.last_day(quarter) + self.provisional_days
        weekday = (calendar.EPOCH + timedelta(days=day)).weekday()
        day += DAYS_OF_WEEK - weekday if weekday >= SATURDAY else 0
        return datetime.fromtimestamp(calendar.instant_of(day, self.minute * 60_000) / 1000, UTC)

    def between(self, after: datetime, until: datetime) -> list[Due]:
        """What is due later than `after` and not later than `until`: the earliest first, of one instant the older quarter first."""
        oldest = self._quarter(after) - self.final_quarters - ceil(self.provisional_days / QUARTER_DAYS_MIN) - 1
        periods = {calendar.quarter_label(quarter) for quarter in range(oldest, self._quarter(until) + 1)}
        periods |= {period for period, _ in self.exceptions}
        found = (Due(self.instant(period, final), period, final) for period in periods for final in KINDS.values())
        return sorted(due for due in found if after < due.instant <= until)

    def next_after(self, instant: datetime) -> Due:
        """What comes next."""
        year = timedelta(days=366 + PROVISIONAL_DAYS_MAX)  # every quarter has a release: one of them comes within it
        return self.between(instant, instant + year)[0]

    def freezing(self, due: Due) -> datetime:
        """From when on it is frozen."""
        return due.instant - timedelta(minutes=self.freeze_minutes)

    @staticmethod
    def _quarter(instant: datetime) -> int:
        return calendar.quarter_of(calendar.local_day(int(instant.timestamp() * 1000)))


def parse_calendar(text: str) -> ReleaseCalendar:
    """A calendar out of TOML. Raises CalendarError, which names the field and what it must be."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CalendarError(f"it is not TOML: {error}") from None
    _only(found, ("rule", "exception"), "the file")
    rule = found.get("rule")
    if not isinstance(rule, dict):
        raise CalendarError("rule: the table is missing")
    _only(rule, (*_RULE, "time"), "rule")
    numbers = {name: _number(rule, name, *limits) for name, limits in _RULE.items()}
    match = _TIME.fullmatch(rule["time"]) if isinstance(rule.get("time"), str) else None
    if match is None:
        raise CalendarError('rule.time: must be a time of the day such as "09:00"')
    made = ReleaseCalendar(
        numbers["provisional_days"], int(match[1]) * 60 + int(match[2]), numbers["final_quarters"], numbers["freeze_minutes"], {}
    )
    blocks = found.get("exception", [])
    if not isinstance(blocks, list):
        raise CalendarError("exception: each one is a block [[exception]]")
    exceptions: dict[tuple[str, bool], datetime] = {}
    for place, block in enumerate(blocks, start=1):
        key, instant = _exception(block, f"exception {place}")
        if key in exceptions:
            raise CalendarError(f"exception {place}: there is one of {key[0]} {block['kind']} already")
        exceptions[key] = instant
    made = made._replace(exceptions=exceptions)
    _in_order(made)
    return made


def _only(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in known:
            raise CalendarError(f"{where}: there is no field {name}; there are {', '.join(known)}")


def _number(rule: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = rule.get(name)
    if type(value) is not int or not least <= value <= most:
        raise CalendarError(f"rule.{name}: must be a whole number from {least} to {most}")
    return value


def _exception(block: object, where: str) -> tuple[tuple[str, bool], datetime]:
    if not isinstance(block, dict):
        raise CalendarError(f"{where}: must be a block [[exception]]")
    _only(block, _EXCEPTION, where)
    missing = [name for name in _EXCEPTION if name not in block]
    if missing:
        raise CalendarError(f"{where}.{missing[0]}: is missing")
    try:
        quarter = calendar.parse_quarter(str(block["period"]))
    except ValueError as error:
        raise CalendarError(f"{where}.period: {error}") from None
    if block["kind"] not in KINDS:
        raise CalendarError(f"{where}.kind: must be {' or '.join(KINDS)}")
    instant = block["instant"]
    if not isinstance(instant, datetime) or instant.tzinfo is None:
        raise CalendarError(f"{where}.instant: must be a time with its offset such as 2026-05-18T09:00:00+05:00")
    if not isinstance(block["reason"], str) or not block["reason"].strip():
        raise CalendarError(f"{where}.reason: readers want to know why")
    if calendar.local_day(int(instant.timestamp() * 1000)) <= calendar.last_day(quarter):
        raise CalendarError(f"{where}.instant: must be after the last day of {block['period']}")
    return (str(block["period"]), KINDS[block["kind"]]), instant.astimezone(UTC)


def _in_order(made: ReleaseCalendar) -> None:
    """A final release comes after the provisional one of its quarter."""
    for period, _ in made.exceptions:
        if made.instant(period, True) <= made.instant(period, False):
            raise CalendarError(f"exception of {period}: its final release would not come after its provisional one")


class Released(NamedTuple):
    """What the published releases say of the figures that are published now.

    `inner`: the inner cells of each period's newest release; `finals`: the figures of each period's newest final release.
    """

    inner: Mapping[Key, Observation] = {}
    finals: Mapping[Key, float | int | None] = {}


def standing(computed: Mapping[Key, Observation], released: Released) -> dict[Key, Observation]:
    """All that is published: what was computed, each figure final as long as it is that of its period's newest final release; and
    the inner cells as they were released."""
    found = {key: final_or_not(o, released.finals) for key, o in computed.items()}
    return {**found, **released.inner}


def final_or_not(o: Observation, finals: Mapping[Key, float | int | None]) -> Observation:
    """With the status that its value deserves. An estimate and a target stay what they are."""
    if o.status not in (PROVISIONAL, FINAL):
        return o
    status = FINAL if o.key in finals and finals[o.key] == o.value else PROVISIONAL
    return o if o.status == status else o._replace(status=status)


def frozen(published: Mapping[Key, Observation], inner: Mapping[Key, Observation], named: Named) -> dict[Key, Observation]:
    """All figures of a release: those of its periods that are published when it is frozen, and its inner cells."""
    periods = periods_of(named.period)
    status = FINAL if named.final else PROVISIONAL
    found = {key: o for key, o in published.items() if key[1] in periods} | dict(inner)
    return {key: o._replace(status=status) if o.status in (PROVISIONAL, FINAL) else o for key, o in found.items()}
