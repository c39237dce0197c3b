"""One figure of the bulletin: what the events give, beside what the source article prints.

The computed value comes from the snapshot only, the printed one from the catalogue only; neither is ever filled in from the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from schemas.indicators import Statement, catalogue
from services.dissemination.wording import Wording, parse_period
from services.shared.statistics.estimation.informality import newest
from services.shared.statistics.exchange.observation import NOT_APPLICABLE, SUPPRESSED, TOTAL, series_key
from services.shared.statistics.publication.simulated import is_thinned
from services.shared.statistics.terms.areas import GROUPS

if TYPE_CHECKING:
    from services.shared.runtime.postgres.store import Published, Snapshot

EQUAL, DIFFERS, NOT_COMPARED = "equal", "differs", ""
# A float that was computed as a ratio may lie this far, relatively, beside the half step it stands on.
_ROUNDING_SLACK = 1e-9
_YEAR = re.compile("[0-9]{4}")
_ACADEMIC_YEAR_STARTS = 3  # an academic year begins in September: the third quarter


@dataclass(frozen=True)
class Row:
    """One line of a table, worded. Empty strings mean: nothing to say. `value` is the number behind `computed`, `link` the address
    of the figure's own page; `extra` and `extra_link` are those of a second figure beside it; `links` are the
    parts of `computed`, each with an address, where it names several."""

    label: str
    computed: str
    indicator: str = ""
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    depth: int = 0
    interval: str = ""
    unit: str = ""
    period: str = ""
    published: str = ""
    published_value: float | None = None
    source: str = ""
    agreement: str = NOT_COMPARED
    agreement_text: str = ""
    status: str = ""
    note: str = ""
    extra: str = ""
    link: str = ""
    extra_link: str = ""
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Key:
    """Which figure: the dimensions of a series, totals by default."""

    indicator: str
    area: str = TOTAL
    purpose: str = TOTAL
    category: str = TOTAL
    method: str = NOT_APPLICABLE
    freq: str = "Q"

    @property
    def series(self) -> str:
        return series_key(self.freq, self.indicator, self.area, self.purpose, self.category, self.method)

    @property
    def code(self) -> str:
        """The code by which the article's statements name this figure; empty for the total."""
        named = [c for c in (self.area, self.purpose, self.category) if c != TOTAL]
        return " ".join(named if self.method == NOT_APPLICABLE else [*named, self.method])


def address(key: Key, period: str) -> str:
    """Where the figure's own page is, without the language."""
    return f"/figure/{key.series}:{period}"


def states_about(statement: Statement, period: str) -> bool:
    """Whether a statement may stand beside a figure of the quarter `period`.

    A quarter speaks of itself; an academic year of its quarters; a year, a plan or a target of whatever is newest.
    """
    if "-Q" in statement.period:
        return statement.period == period
    if "/" in statement.period:
        year, quarter = parse_period(period)
        start = int(statement.period[:4])
        return start * 4 + _ACADEMIC_YEAR_STARTS <= year * 4 + quarter <= start * 4 + 4 + _ACADEMIC_YEAR_STARTS
    return True


class Figures:
    """Reads figures of one snapshot for one quarter and words them."""

    def __init__(self, snapshot: Snapshot, period: str, words: Wording) -> None:
        self.snapshot = snapshot
        self.period = period
        self.words = words
        scale = newest(snapshot.references, "SIMULATION_SCALE")
        self.simulated = scale is not None
        self.scale = float(scale["value"]) if scale else 1.0

    @property
    def factor(self) -> str:
        """How many crossings one crossing of the sample stands for, worded."""
        factor = 1 / self.scale
        return self.words.number(factor, 0 if abs(factor - round(factor)) < 0.05 else 1)

    def find(self, key: Key, period: str = "") -> Published | None:
        return self.snapshot.observations.get((key.series, period or self.period))

    @property
    def last_year(self) -> str:
        """The newest year that is over at the quarter's end."""
        year, quarter = parse_period(self.period)
        return str(year if quarter == 4 else year - 1)

    def areas(self, indicator: str, freq: str = "Q", in_period: str = "") -> list[str]:
        """Countries that have a figure of this indicator in the period (no groups), the greatest first."""
        prefix = f"{freq}.{indicator}."
        suffix = f".{TOTAL}.{TOTAL}.{NOT_APPLICABLE}"
        found: list[tuple[float, str]] = []
        for (series, period), observation in self.snapshot.observations.items():
            if period == (in_period or self.period) and series.startswith(prefix) and series.endswith(suffix):
                area = series.split(".")[2]
                if area not in (*GROUPS, TOTAL) and observation.value is not None:
                    found.append((-observation.value, area))
        return [area for _, area in sorted(found)]

    def row(self, key: Key, *, label: str = "", depth: int = 0, period: str = "", missing: str = "no_data") -> Row:
        """The figure `key` of `period` (the bulletin's by default); `missing` names the reason to give if there is none."""
        period = period or self.period
        indicator = catalogue()[key.indicator]
        words = self.words
        observation = self.find(key, period)
        signed = indicator.unit == "percentage points" or "_CHANGE_" in key.indicator or key.indicator == "BORDER_BALANCE"
        value = None if observation is None else observation.value
        computed, interval, note, status = words("missing.mark"), "", words(f"missing.{missing}"), ""
        if observation is not None:
            status, note = observation.status, ""
            if value is None:
                note = words("missing.suppressed") if status == SUPPRESSED else words("missing.not_computed")
            else:
                computed = words.amount(value, observation.decimals, indicator.unit, signed)
            if observation.lower is not None and observation.upper is not None:
                interval = words.interval(observation.lower, observation.upper, observation.decimals)
        row = Row(
            label=label or words(f"labels.{key.indicator}"),
            computed=computed,
            indicator=key.indicator,
            value=value,
            lower=None if observation is None else observation.lower,
            upper=None if observation is None else observation.upper,
            depth=depth,
            interval=interval,
            unit="" if words.has(f"units_short.{indicator.unit}") else words(f"units.{indicator.unit}"),
            period="" if period == self.period else words.period(period),
            status=status,
            note=note,
            link="" if observation is None else address(key, period),
        )
        statement = self.statement(key, period)
        return row if statement is None else self._with_statement(row, statement, indicator.unit, signed)

    def statement(self, key: Key, period: str = "") -> Statement | None:
        """What the article prints for this figure, if it may stand beside the quarter's."""
        period = period or self.period
        for statement in catalogue()[key.indicator].statements:
            if statement.code == key.code and self._may_stand(statement, key, period):
                return statement
        return None

    def _may_stand(self, statement: Statement, key: Key, period: str) -> bool:
        if statement.period in (period, "newest"):  # who asks for what is newest asks for the newest period
            return True
        if period != self.period:
            return False
        if _YEAR.fullmatch(statement.period) and key.freq == "Q":
            return key.method != NOT_APPLICABLE  # an estimate is carried forward; what happened in a year did not in a quarter
        return states_about(statement, period)

    def _with_statement(self, row: Row, statement: Statement, unit: str, signed: bool) -> Row:
        words = self.words
        decimals = 0 if statement.value == int(statement.value) else 1
        printed = words.amount(statement.value, decimals, unit, signed)
        agreement, text, scaled_note = self._compare(row, statement, unit)
        return replace(
            row,
            published=words("agreement.about", value=printed) if statement.about else printed,
            published_value=statement.value,
            source=f"{words.source(statement.source)}; {words.period(statement.period)}",
            agreement=agreement,
            agreement_text=text,
            note=row.note or scaled_note,
        )

    def _compare(self, row: Row, statement: Statement, unit: str) -> tuple[str, str, str]:
        """(agreement, its text, a note). Counts of a thinned sample are compared at full size, and it is said so."""
        words = self.words
        if statement.period == "plan":
            return NOT_COMPARED, words("plan"), ""
        if row.value is None:
            return NOT_COMPARED, "", ""
        scaled = is_thinned(row.indicator, unit) and self.scale != 1.0
        full = row.value / self.scale if scaled else row.value
        note = ""
        if scaled:
            note = words("agreement.scaled_up", factor=self.factor, value=words.number(full, 0))
        difference = full - statement.value
        if abs(difference) <= statement.step / 2 + abs(statement.value) * _ROUNDING_SLACK:
            text = words("agreement.equal_scaled", factor=self.factor) if scaled else words("agreement.equal")
            return EQUAL, text, note
        decimals = 1 if unit == "percent" else 0
        shown = words.amount(difference, decimals, "percentage points" if unit == "percent" else unit, sign=True)
        if scaled:
            return DIFFERS, words("agreement.differs_scaled", difference=shown, factor=self.factor), note
        return DIFFERS, words("agreement.differs", difference=shown), note

    def leading(self, key: Key, count: int, label: str, period: str = "") -> Row:
        """The leading countries of a figure, in order, beside those that the article names."""
        words, indicator, period = self.words, catalogue()[key.indicator], period or self.period
        found = self.areas(key.indicator, key.freq, period)[: len(indicator.leading) or count]
        row = Row(
            label=label,
            period="" if period == self.period else words.period(period),
            computed=", ".join(map(words.area, found)) or words("missing.mark"),
            note="" if found else words("missing.no_data"),
            indicator=key.indicator,
            links=tuple((words.area(area), address(replace(key, area=area), period)) for area in found),
        )
        if not indicator.leading or indicator.period != period:
            return row
        same = tuple(found) == indicator.leading
        text = words("agreement.equal") if same else words("agreement.order_differs")
        return replace(
            row,
            published=", ".join(map(words.area, indicator.leading)),
            source=f"{words.source(indicator.source)}; {words.period(indicator.period)}",
            agreement=(EQUAL if same else DIFFERS) if found else NOT_COMPARED,
            agreement_text=text if found else "",
        )
