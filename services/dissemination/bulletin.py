"""The bulletin of one quarter in one language: sections of tables and charts, worded, ready for a page or a terminal.

Pure: `build` depends on the snapshot, the period, the language and the catalogue that the distribution carries, on nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from schemas.feeds.border_crossings import BorderCrossing
from schemas.feeds.fields import codes
from schemas.feeds.work_permits import WorkPermit
from schemas.indicators import catalogue
from services.dissemination import plots
from services.dissemination.figures import Figures, Key, Row, address
from services.dissemination.layout import Assumptions, Bulletin, Headline, Part, Section, Table
from services.dissemination.nowcasts import nowcasts
from services.dissemination.parts import assumptions, banner, in_order, present, records_of, section, stated, table
from services.dissemination.persons import labour, residence, visitors
from services.dissemination.quality import has_report
from services.dissemination.releases import release_note
from services.dissemination.targets import outlook
from services.dissemination.wording import EN_DASH, LANGUAGE_DEFAULT, parse_period, quarters_before, wording
from services.shared.statistics.estimation.informality import newest

if TYPE_CHECKING:
    from services.shared.runtime.postgres.store import Snapshot

# The countries that a table of shares names besides those of the article: enough to be of use, few enough to read.
COUNTRIES_MAX = 8
# As the article has them; what the contract has beside them follows.
PURPOSES = in_order(
    codes(BorderCrossing, "purpose"),
    ("employment", "private", "tourism", "business", "education", "medical", "transit", "residence", "unspecified"),
)
CATEGORIES = codes(WorkPermit, "category")
FROM_FREQUENCIES = ("CHAO", "ZELTERMAN", "TRUNCATED_POISSON")
ARRIVALS = Key("ARRIVALS")
# Statuses of the data of the present system; others join the legend when they occur.
STATUSES_ALWAYS_EXPLAINED = ("P", "E", "F")


def periods(snapshot: Snapshot) -> tuple[str, ...]:
    """Quarters that have arrivals, the newest first."""
    return tuple(sorted((p for series, p in snapshot.observations if series == ARRIVALS.series), reverse=True))


def has_data(snapshot: Snapshot, period: str) -> bool:
    """Whether anything at all was published for the quarter."""
    return any(p == period for _, p in snapshot.observations)


def build(snapshot: Snapshot, period: str, language: str = LANGUAGE_DEFAULT) -> Bulletin:
    """The bulletin of a quarter written like `2025-Q2`. Raises ValueError for another period or language."""
    parse_period(period)
    words = wording(language)
    figures = Figures(snapshot, period, words)
    unfinished = nowcasts(figures)
    sections = (
        *([unfinished] if unfinished else []),
        _crossings(figures),
        residence(figures),
        _permits(figures),
        labour(figures),
        _students(figures),
        visitors(figures),
        _informal(figures),
    )
    used = {row.status for s in sections for t in s.parts if isinstance(t, Table) for row in t.rows if row.status}
    shown = [s for s in ("P", "A", "E", "F", "Q") if s in used or s in STATUSES_ALWAYS_EXPLAINED]
    return Bulletin(
        language=language,
        period=period,
        period_name=words.period(period),
        title=words("title", period=words.period(period)),
        publication=snapshot.publication,
        release=release_note(snapshot, period, words),
        published_at=words.time(snapshot.published_at),
        cut=_cut(figures),
        banner=banner(figures),
        has_quality=has_report(snapshot, period),
        headlines=_headlines(figures),
        sections=sections,
        statuses=tuple((status, words(f"statuses.{status}")) for status in shown),
        definitions=tuple(
            (words(f"labels.{name}" if words.has(f"labels.{name}") else f"definition_names.{name}"), words(f"definitions.{name}"))
            for name in catalogue()
            if words.has(f"definitions.{name}")
        ),
        sources=_sources(figures),
        periods=periods(snapshot),
    )


def _cut(figures: Figures) -> str:
    """How many records of each feed's log are in the publication."""
    words, records = figures.words, records_of(figures)
    named = ", ".join(f"{words(f'feed_names.{feed}')} – {words.number(count, 0)}" for feed, count in sorted(records.items()))
    return words("publication.cut_records", values=named) if named else ""


def _crossings(figures: Figures) -> Section:
    words, row = figures.words, figures.row
    flows = [
        row(ARRIVALS),
        row(Key("ARRIVALS_CHANGE_QOQ"), depth=1, missing="no_base"),
        row(Key("ARRIVALS_CHANGE_YOY"), depth=1, missing="no_base"),
        row(Key("DEPARTURES")),
        row(Key("DEPARTURES_CHANGE_QOQ"), depth=1, missing="no_base"),
        row(Key("DEPARTURES_CHANGE_YOY"), depth=1, missing="no_base"),
        row(Key("BORDER_BALANCE")),
        row(Key("CITIZENS_IN")),
        row(Key("CITIZENS_OUT")),
    ]
    arrivals = _shares(figures, "ARRIVALS_SHARE", "ARRIVALS_CONTRIBUTION_QOQ")
    departures = _shares(figures, "DEPARTURES_SHARE", "")
    purposes = [row(Key("ARRIVALS_PURPOSE_SHARE", purpose=p), label=words(f"purposes.{p}")) for p in PURPOSES]
    purposes = sorted((r for r in purposes if r.value is not None), key=lambda r: -(r.value or 0))
    feed = "border-crossings"
    parts: list[Part | None] = [
        table(figures, "crossings", flows, feed),
        plots.quarterly(figures),
        plots.rolling(figures),
        table(figures, "arrivals_share", arrivals, feed, "area_citizenship", "columns.contribution"),
        table(figures, "departures_share", departures, feed, "area_destination"),
        plots.bars(figures, "arrivals_share", arrivals),
        plots.bars(figures, "departures_share", departures),
        replace(table(figures, "purposes", purposes, feed, "purpose"), narrow=True) if purposes else None,
        plots.bars(figures, "purposes", purposes),
    ]
    return section(figures, "crossings", parts)


def _shares(figures: Figures, indicator: str, contribution: str) -> list[Row]:
    """Shares of the groups, then of the leading countries and of those that the article names, the greatest first."""
    words = figures.words
    named = [s.code for s in catalogue()[indicator].statements if s.code.isalpha() and len(s.code) == 2]
    found = figures.areas(indicator)
    countries = [c for i, c in enumerate(found) if i < COUNTRIES_MAX or c in named]
    countries += [c for c in named if c not in found and figures.statement(Key(indicator, c))]
    rows = []
    for area in ("CIS", "FAR_ABROAD", *countries):
        row = figures.row(Key(indicator, area), label=words.area(area))
        if contribution:
            beside = figures.row(Key(contribution, area))
            row = replace(row, extra=beside.computed, extra_link=beside.link)
        rows.append(row)
    return rows


def _permits(figures: Figures) -> Section:
    words, row, stock = figures.words, figures.row, "PERMITS_IN_FORCE"
    before = quarters_before(figures.period, 4)
    totals = [
        row(Key(stock)),
        row(Key(stock), label=words("labels.PERMITS_IN_FORCE_YEAR_BEFORE"), depth=1, period=before),
        row(Key("PERMITS_IN_FORCE_CHANGE_YOY"), depth=1, missing="no_base"),
        row(Key("PERMITS_ISSUED")),
        figures.leading(Key(stock), 4, words("labels.PERMITS_LEADING")),
    ]
    categories = [row(Key(stock, category=c), label=words(f"categories.{c}")) for c in CATEGORIES]
    return section(
        figures,
        "permits",
        [
            table(figures, "permits", totals, "work-permits"),
            present(figures, "permits_category", categories, "work-permits", "category"),
            present(figures, "permits_citizenship", _by_country(figures, stock), "work-permits", "area_citizenship"),
        ],
    )


def _by_country(figures: Figures, indicator: str) -> list[Row]:
    areas = figures.areas(indicator)[:COUNTRIES_MAX]
    return [figures.row(Key(indicator, area), label=figures.words.area(area)) for area in areas]


def _target_year(figures: Figures) -> str:
    """The year of the newest target, empty if no target was ever received."""
    reference = newest(figures.snapshot.references, "FOREIGN_STUDENTS_TARGET")
    return "" if reference is None else reference["period"]


def _target(figures: Figures) -> Row:
    words, year = figures.words, _target_year(figures)
    key = Key("FOREIGN_STUDENTS_TARGET", freq="A")
    row = figures.row(key, label=words("labels.FOREIGN_STUDENTS_TARGET", year=year or EN_DASH), period=year, missing="no_target")
    return replace(row, period="")  # the label names the year


def _students(figures: Figures) -> Section:
    row = figures.row
    missing = "no_data" if _target_year(figures) else "no_target"
    totals = [
        row(Key("FOREIGN_STUDENTS")),
        _target(figures),
        row(Key("FOREIGN_STUDENTS_GAP"), missing=missing),
        row(Key("FOREIGN_STUDENTS_GROWTH_REQUIRED"), missing=missing),
        row(Key("FOREIGN_BRANCHES")),
    ]
    countries = _by_country(figures, "FOREIGN_STUDENTS")
    return section(
        figures,
        "students",
        [
            table(figures, "students", totals, "student-enrolments"),
            outlook(figures),
            present(figures, "students_citizenship", countries, "student-enrolments", "area_citizenship"),
            plots.bars(figures, "students", countries),
        ],
    )


def _informal(figures: Figures) -> Section:
    rows = [
        _estimate(figures, "INFORMAL_SHARE", "SURVEY", "no_survey"),
        _estimate(figures, "INFORMAL_SHARE", "RESIDUAL", "not_computed"),
        _estimate(figures, "INFORMAL_WORKERS", "BENCHMARK", "no_survey"),
        _estimate(figures, "INFORMAL_WORKERS", "RESIDUAL", "not_computed"),
        *(_estimate(figures, "INFORMAL_WORKERS", method, "no_offences") for method in FROM_FREQUENCIES),
    ]
    return section(
        figures,
        "informal",
        [
            table(figures, "informal", rows, "estimates"),
            plots.intervals(figures, "informal_share", rows[:2], 0),
            plots.intervals(figures, "informal_workers", rows[2:4], 0),
        ],
        _assumptions(figures),
    )


def _estimate(figures: Figures, indicator: str, method: str, missing: str) -> Row:
    """An estimate; where it is absent, the reason that the estimating service gives."""
    label = figures.words(f"labels.{indicator}_{method}")
    period, freq = _period_of(figures, method)
    key = Key(indicator, method=method, freq=freq)
    row = figures.row(key, label=label, period=period, missing=missing)
    if row.status:
        return row
    estimate = figures.snapshot.estimates.get(f"{method}|{period}|{indicator}")
    if estimate is None or "reason" not in estimate:
        return row
    return replace(row, note=figures.words.translated(estimate["reason"])[0], link=address(key, period))


def _period_of(figures: Figures, method: str) -> tuple[str, str]:
    """(period, frequency) of a method's estimate: what needs a whole year is of the last one."""
    return (figures.last_year, "A") if method in FROM_FREQUENCIES else (figures.period, "Q")


def _assumptions(figures: Figures) -> tuple[Assumptions, ...]:
    words, groups = figures.words, []
    for indicator, method in (
        ("INFORMAL_SHARE", "SURVEY"),
        ("INFORMAL_WORKERS", "BENCHMARK"),
        ("INFORMAL_SHARE", "RESIDUAL"),
        ("INFORMAL_WORKERS", "RESIDUAL"),
        *(("INFORMAL_WORKERS", method) for method in FROM_FREQUENCIES),
    ):
        estimate = figures.snapshot.estimates.get(f"{method}|{_period_of(figures, method)[0]}|{indicator}")
        if estimate is not None and "absent" not in estimate:
            items = assumptions(words, ((a["text"], a["rating"]) for a in estimate["assumptions"]))
            groups.append(Assumptions(words(f"labels.{indicator}_{method}"), items))
    return tuple(groups)


def _headlines(figures: Figures) -> tuple[Headline, ...]:
    """Five figures for the head of the page, each with what puts it in proportion."""
    words, row = figures.words, figures.row

    def changes(flow: str) -> list[str]:
        found = ((how, row(Key(f"{flow}_CHANGE_{how.upper()}"))) for how in ("qoq", "yoy"))
        return [words(f"headline.{how}", change=change.computed) for how, change in found if change.value is not None]

    share = _estimate(figures, "INFORMAL_SHARE", "SURVEY", "no_survey")
    permits, target = row(Key("PERMITS_IN_FORCE_CHANGE_YOY")), _target(figures)
    lines = {
        "arrivals": (row(ARRIVALS), changes("ARRIVALS")),
        "departures": (row(Key("DEPARTURES")), changes("DEPARTURES")),
        "permits": (
            row(Key("PERMITS_IN_FORCE")),
            [words("headline.yoy", change=permits.computed)] if permits.value is not None else [],
        ),
        "students": (
            row(Key("FOREIGN_STUDENTS")),
            [words("headline.to_target", target=target.computed, year=_target_year(figures))] if target.value is not None else [],
        ),
        "informal": (share, [words("headline.interval", interval=share.interval)] if share.interval else []),
    }
    return tuple(
        Headline(key, words(f"headline.{key}"), found.computed, found.unit, tuple(texts) or (found.note,), found.status, found.link)
        for key, (found, texts) in lines.items()
    )


def _sources(figures: Figures) -> tuple[str, ...]:
    """The reference figures that stand behind the estimates and the target, each with its own source and period."""
    words, lines = figures.words, []
    for figure in ("INFORMAL_SHARE", "MIGRANT_WORKERS_STOCK", "FOREIGN_STUDENTS_TARGET"):
        record = newest(figures.snapshot.references, figure)
        if record is not None:
            lines.append(f"{words(f'references.{figure}')}: {stated(words, record)}")
    return tuple(lines)
