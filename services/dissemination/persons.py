"""Sections on permanent residence, labour emigration, and foreign guests and patients."""

from __future__ import annotations

from dataclasses import replace

from schemas.feeds.fields import codes
from schemas.feeds.residence_registrations import ResidenceRegistration
from schemas.indicators import catalogue
from services.dissemination.figures import Figures, Key, Row
from services.dissemination.layout import Section
from services.dissemination.parts import in_order, present, section, table

PURPOSES = in_order(
    codes(ResidenceRegistration, "purpose"), ("unspecified", "employment", "education", "private", "business", "medical")
)
COUNTRIES_MAX = 5


def _years(figures: Figures, *indicators: str) -> list[str]:
    """The last whole year, and the earlier ones that the article speaks of, in order."""
    stated = {s.period for name in indicators for s in catalogue()[name].statements}
    return sorted({figures.last_year, *(year for year in stated if year.isdecimal() and year <= figures.last_year)})


def _annual(figures: Figures, indicator: str, depth: int = 0, missing: str = "no_data") -> list[Row]:
    rows = (figures.row(Key(indicator, freq="A"), depth=depth, period=year, missing=missing) for year in _years(figures, indicator))
    return list(rows)


def residence(figures: Figures) -> Section:
    """Who came to live in the country and who left it."""
    words, row, feed = figures.words, figures.row, "residence-registrations"
    note = catalogue()["NET_MIGRATION"].note
    annual = [
        replace(r, note=words(f"article_notes.{note}")) if note and r.published and not r.note else r
        for r in _annual(figures, "NET_MIGRATION")
    ]
    rows = [row(Key("RESIDENCE_ARRIVALS")), row(Key("RESIDENCE_DEPARTURES")), row(Key("NET_MIGRATION")), *annual]
    share, of = "RESIDENCE_PURPOSE_SHARE", catalogue()["RESIDENCE_PURPOSE_SHARE"]
    shares = [row(Key(share, purpose=p), label=words(f"purposes.{p}")) for p in PURPOSES]
    purposes = table(
        figures, "residence_purposes", [r for r in shares if r.value is not None or r.published], feed, "purpose_residence"
    )
    if of.note and purposes.compared:
        purposes = replace(purposes, remark=words(f"article_notes.{of.note}"))
    parts = [table(figures, "residence", rows, feed), purposes if purposes.rows else None]
    return section(figures, "residence", parts)


def labour(figures: Figures) -> Section:
    """Citizens who left for work."""
    words, row, indicator = figures.words, figures.row, "LABOUR_EMIGRATION"
    change, year = "LABOUR_EMIGRATION_CHANGE_YOY", figures.last_year
    rows = [
        row(Key(indicator)),
        row(Key(change), depth=1, missing="no_base"),
        *_annual(figures, indicator),
        *_annual(figures, change, depth=1, missing="no_base"),
        figures.leading(Key(indicator, freq="A"), COUNTRIES_MAX, words("labels.LABOUR_LEADING"), year),
    ]
    return section(figures, "labour", [table(figures, "labour", rows, "labour-emigration")])


def visitors(figures: Figures) -> Section:
    """Stays of guests and patients."""
    row, feed, ratio = figures.row, "visitor-stays", "MEDICAL_VISITORS_RATIO_5Y"
    stays = [
        row(Key("FOREIGN_GUESTS")),
        *_annual(figures, "FOREIGN_GUESTS"),
        row(Key("MEDICAL_VISITORS")),
        *_annual(figures, "MEDICAL_VISITORS"),
    ]
    newest = _newest_year(figures, ratio)
    named = [s.code for s in catalogue()[ratio].statements if s.code]
    others = [area for area in figures.areas(ratio, "A", newest) if area not in named][:COUNTRIES_MAX]
    ratios = [
        row(Key(ratio, freq="A"), period=newest, missing="no_base"),
        *(row(Key(ratio, area, freq="A"), label=figures.words.area(area), period=newest, missing="no_base") for area in named),
    ]
    more = [row(Key(ratio, area, freq="A"), label=figures.words.area(area), period=newest) for area in others]
    parts = [table(figures, "stays", stays, feed), table(figures, "medical_ratio", [*ratios, *more], feed, "area_citizenship")]
    return section(figures, "visitors", [*parts, present(figures, "guests", _guests(figures), feed, "area_citizenship")])


def _guests(figures: Figures) -> list[Row]:
    areas = figures.areas("FOREIGN_GUESTS")[:COUNTRIES_MAX]
    return [figures.row(Key("FOREIGN_GUESTS", area), label=figures.words.area(area)) for area in areas]


def _newest_year(figures: Figures, indicator: str) -> str:
    """The newest year, not after the quarter's, for which the total is there; else the last whole one."""
    series = Key(indicator, freq="A").series
    years = [period for s, period in figures.snapshot.observations if s == series and period <= figures.period[:4]]
    return max(years, default=figures.last_year)
