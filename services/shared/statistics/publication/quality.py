"""The quality report of a quarter: how complete, late, corrected and revised the figures of each feed are, and what does not fit.

Pure; a report is a JSON object (schemas/values.py, `Quality`) without words that need to be translated, except reasons. It depends
on the figures of one cut only, never on the time at which it is made. Page: docs/methods/quality.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np

from schemas.values import (
    Completeness,
    CorrectionsEntry,
    Doubt,
    Entry,
    FeedQuality,
    Finding,
    Findings,
    KeptFigure,
    Missing,
    NoFeedQuality,
    Quality,
    ReportingEntry,
    Revision,
    is_reference,
)
from services.shared.feeds.catalogue import RULES
from services.shared.statistics.aggregation.reporting import CORRECTIONS, MEASURE, flows_of
from services.shared.statistics.estimation.nowcast import YEAR_DAYS, completeness
from services.shared.statistics.estimation.open_quarter import history_of
from services.shared.statistics.exchange.observation import Figure, series_key
from services.shared.statistics.folding.contribution import Integers
from services.shared.statistics.folding.sheet import DELAY_DAYS
from services.shared.statistics.publication import mirror, plausibility, simulated
from services.shared.statistics.publication.revisions import measures
from services.shared.statistics.terms import calendar

Key = tuple[str, str]

# Feeds of which records can be late, in the order of reports; and those of which nothing can be said record by record.
LATE = {feed: rules.late for feed, rules in RULES.items() if rules.late is not None}
BY_PERSON_ONLY = tuple(feed for feed, rules in RULES.items() if rules.counted_by_person)

# What is called good. Beyond one of these a feed is named with the doubt; nothing is ever hidden or changed for it.
COMPLETENESS_MIN = 99.0  # percent: less, and a change of one percent on the quarter before may be records that have yet to come
LATE_SHARE_MAX = 5.0  # percent: the first figures of a quarter are then wrong by as much
CORRECTED_SHARE_MAX = 3.0  # percent of records: more is no slip of the pen but a form that is misread
WITHDRAWN_SHARE_MAX = 1.0  # percent of records: they should not have been sent at all
CONFLICTS_MAX = 0  # two contents of one version: an agency's system contradicts itself
REVISION_MAX = 1.0  # percent: published changes are given to a tenth of a percent

HEADLINE_SERIES = frozenset(series_key("Q", indicator) for rules in RULES.values() for indicator in rules.headlines)
FINDINGS_MAX = 50  # of each kind that a report lists: it is read by people, and has room for the number of all

NO_RECORDS = "no record that counts is of the days of this quarter"
BY_PERSON = "offences are counted by person and year, not by record and day"
NO_HISTORY = f"the feed's records do not reach back {DELAY_DAYS} days yet"
NO_RELEASE = "the quarter has not been released yet"
NOT_BEGUN = "the quarter has not begun"


class Sources(NamedTuple):
    """What reports are made from, all of one cut. `entries`: aggregates by key; `first`: headline figures as first released.

    `units`: the unit by indicator; `log_time`: of the cut, milliseconds.
    """

    entries: Mapping[str, Entry]
    observations: Mapping[Key, Figure]
    first: Mapping[Key, float]
    units: Mapping[str, str]
    log_time: int


class Reports:
    """All reports of the newest cut. Only years of which something changed are reported on anew."""

    def __init__(self) -> None:
        self._reports: dict[str, Quality] = {}
        self._today: int | None = None
        self._scale: float | None = None
        self._first: Mapping[Key, float] = {}

    def update(self, sources: Sources, changed: Iterable[str]) -> dict[str, Quality]:
        """Reports by quarter. `changed`: keys of entries, and other keys `...|<period>|...`, that changed since the last call."""
        today = calendar.local_day(sources.log_time)
        references = [e for e in sources.entries.values() if is_reference(e)]
        scale = simulated.scale_of(references)
        periods = {period for _, period in sources.observations if "-Q" in period}
        years = {period[:4] for period in periods}
        if self._today is not None and scale == self._scale:
            touched = {_year(key.split("|")[1]) for key in changed}
            touched |= {_year(period) for _, period in dict(self._first.items() ^ sources.first.items())}
            # Days that are young enough for late records: what is known of them depends on the newest ones, and on today.
            touched |= {str(calendar.year_of(calendar.quarter_of(day))) for day in (today, self._today - DELAY_DAYS)}
            # A change on the year or the quarter before appears, moves or goes with the year before.
            years &= touched | {str(int(year) + 1) for year in touched}
        self._today, self._scale, self._first = today, scale, dict(sources.first)
        self._reports = {period: report for period, report in self._reports.items() if period in periods}
        doubts = _by_period(plausibility.of_figures({key: o for key, o in sources.observations.items() if key[1][:4] in years}))
        for period in sorted(period for period in periods if period[:4] in years):
            self._reports[period] = _report(sources, period, today, references, scale, doubts)
        return dict(self._reports)


def _year(period: str) -> str:
    """The year in which a period of any kind ends."""
    return str(calendar.year_of(calendar.last_quarter_of_period(period)))


def _by_period(findings: list[plausibility.Finding]) -> dict[str, list[plausibility.Finding]]:
    found: dict[str, list[plausibility.Finding]] = {}
    for finding in findings:
        found.setdefault(finding.period, []).append(finding)
    return found


def _report(
    sources: Sources,
    period: str,
    today: int,
    references: Sequence[KeptFigure],
    scale: float | None,
    doubts: Mapping[str, list[plausibility.Finding]],
) -> Quality:
    quarter = calendar.parse_quarter(period)
    stated = [r for r in references if calendar.last_quarter_of_period(r["period"]) == quarter]
    computed = sum(at in (period, period[:4]) for _, at in sources.observations)
    mirrors = mirror.checks(stated, sources.observations, sources.units, scale or 1.0)
    return {
        "period": period,
        "simulated": scale is not None,
        "feeds": [
            *(_feed(sources, feed, period, today, scale is not None) for feed in LATE),
            *(_absent(feed, BY_PERSON) for feed in BY_PERSON_ONLY),
        ],
        "mirrors": [*mirrors] or [Missing(absent=True, reason=mirror.NOBODY)],
        "published": _findings(len(stated), plausibility.of_references(stated)),
        "computed": _findings(computed, [*doubts.get(period, ()), *doubts.get(period[:4], ())]),
    }


def _findings(looked_at: int, findings: list[plausibility.Finding]) -> Findings:
    listed: list[Finding] = [
        {"rule": f.rule, "subject": f.subject, "period": f.period, "difference": f.difference, "text": f.text}
        for f in findings[:FINDINGS_MAX]
    ]
    return {"figures": looked_at, "findings": len(findings), "listed": listed}


def _absent(feed: str, reason: str) -> NoFeedQuality:
    return {"feed": feed, "absent": True, "reason": reason}


def _feed(sources: Sources, feed: str, period: str, today: int, is_sample: bool) -> FeedQuality | NoFeedQuality:
    """One feed's line."""
    table = _table(sources.entries, feed, calendar.parse_quarter(period))
    fates = cast(CorrectionsEntry | None, sources.entries.get(f"{CORRECTIONS}|{period}|{feed}"))
    records = int(table.sum())
    if records <= 0:
        return _absent(feed, NO_RECORDS)
    known = np.cumsum(table.sum(axis=0))  # by how many days later
    limit = LATE[feed].days
    found: FeedQuality = {
        "feed": feed,
        "records": records,
        "completeness": _completeness(sources.entries, feed, calendar.parse_quarter(period), today),
        "median_days": _days_until(known, 0.5),
        "p95_days": _days_until(known, 0.95),
        "late_after_days": limit,
        "late": 100 * max(0, records - int(known[limit])) / records,
        "corrected": fates["corrected"] if fates is not None else 0,
        "withdrawn": fates["withdrawn"] if fates is not None else 0,
        "conflicts": fates["conflicts"] if fates is not None else 0,
        "revision": _revision(sources, feed, period),
        "doubts": [],
    }
    # A simulated sample is sent at once, long after its days: that it is late says nothing of the figures.
    found["doubts"] = [doubt for doubt in _doubts(found) if not (is_sample and doubt == "late")]
    return found


def _table(entries: Mapping[str, Entry], feed: str, quarter: int) -> Integers:
    """Net records of all flows of a feed by day of the quarter and delay."""
    days = calendar.last_day(quarter) - calendar.first_day(quarter) + 1
    entry = cast(ReportingEntry | None, entries.get(f"{MEASURE}|{calendar.quarter_label(quarter)}|{feed}"))
    tables = flows_of(entry).values() if entry is not None else ()
    return sum(tables, np.zeros((days, DELAY_DAYS + 1), np.int64))


def _days_until(known: Integers, share: float) -> int:
    """After how many days this share of what counts now was known; DELAY_DAYS stands for that many and more."""
    return int(np.argmax(known >= share * known[-1]))


def _completeness(entries: Mapping[str, Entry], feed: str, quarter: int, today: int) -> Completeness | Missing:
    """Records known, in percent of those of the days that have passed: `value`, or why there is none."""
    first, last = calendar.first_day(quarter), min(calendar.last_day(quarter), today)
    if today < first:
        return {"absent": True, "reason": NOT_BEGUN}
    if last + DELAY_DAYS <= today:
        return {"value": 100.0}  # what comes later still is a revision
    began = calendar.quarter_of(today - YEAR_DAYS)
    labels = {q: f"{MEASURE}|{calendar.quarter_label(q)}|{feed}" for q in range(began, calendar.quarter_of(today) + 1)}
    tables = {q: flows_of(cast(ReportingEntry, entries[label])) for q, label in labels.items() if label in entries}
    history = history_of(tables, today) if tables else None
    share = None if history is None else completeness(history.feed, quarter)
    return {"absent": True, "reason": NO_HISTORY} if share is None else {"value": 100 * share}


def _revision(sources: Sources, feed: str, period: str) -> Revision | Missing:
    """How far the headline figures are from those first released: mean absolute, in their unit and in percent."""
    moved: dict[str, tuple[float, float]] = {}
    for indicator in RULES[feed].headlines:
        key = series_key("Q", indicator), period
        now = sources.observations.get(key)
        if key in sources.first and now is not None and now.value is not None:
            moved[indicator] = (sources.first[key], now.value)
    found = measures(moved, 1)
    if found is None:
        return {"absent": True, "reason": NO_RELEASE}
    relative = found.relative_mean_absolute
    return {
        "figures": found.periods,
        "mean_absolute": found.mean_absolute,
        "percent": 100 * relative if relative is not None else None,
    }


def _doubts(line: FeedQuality) -> list[Doubt]:
    """What is not good, by the limits above."""
    records, completeness, revision = line["records"], line["completeness"], line["revision"]
    tests: dict[Doubt, bool] = {
        "incomplete": "value" in completeness and completeness["value"] < COMPLETENESS_MIN,
        "late": line["late"] > LATE_SHARE_MAX,
        "corrected": 100 * line["corrected"] > CORRECTED_SHARE_MAX * records,
        "withdrawn": 100 * line["withdrawn"] > WITHDRAWN_SHARE_MAX * records,
        "conflicts": line["conflicts"] > CONFLICTS_MAX,
        "revised": "percent" in revision and (revision["percent"] or 0.0) > REVISION_MAX,
    }
    return [name for name, doubtful in tests.items() if doubtful]
