"""The quality report as a page: one line per feed that a journalist can read, in three languages."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.indicators import units
from services.dissemination import page
from services.dissemination.quality import MEASURES, QualityReport, build, has_report
from services.dissemination.wording import LANGUAGES, wording
from services.shared.runtime.postgres.store import Published, Snapshot
from services.shared.statistics.publication import mirror, quality
from services.shared.statistics.publication.indicators import observations
from tests.unit.statistics.test_indicators import citizens, flow
from tests.unit.statistics.test_plausibility import reference
from tests.unit.statistics.test_quality import FIRST_DAY, PERIOD, corrections, figure, mirrored, numbered, report, reporting

AT = datetime(2025, 12, 2, tzinfo=UTC)
ENTRIES = (
    reporting([(FIRST_DAY, 0)] * 990 + [(FIRST_DAY, 1)] * 9 + [(FIRST_DAY, 60)])
    | reporting([(FIRST_DAY, 0)] * 90 + [(FIRST_DAY, 8)] * 10, "work-permits", "permits_issued")
    | corrections(12, 3, 0)
    | corrections(0, 0, 2, feed="work-permits")
)
ODD = (reference("PERMITS_IN_FORCE", 10), *(reference(f"PERMITS_IN_FORCE_{n}", 4) for n in "123"))


def snapshot(*references: dict[str, Any], moved: bool = False) -> Snapshot:
    ways_out = (flow("departures", PERIOD, "UZ", 700), citizens("citizens_out", PERIOD, "UZ", 400))
    entries = ENTRIES | numbered(*ways_out, *references)
    found = observations(entries, (), units()) | figure("PERMITS_IN_FORCE", PERIOD, 100)
    first = {("Q.PERMITS_IN_FORCE._T._T._T._Z", PERIOD): 98.0} if moved else {}
    body = report(entries, found, first)
    return Snapshot(7, AT, {}, {k: Published(*o, 7, AT) for k, o in found.items()}, [], {}, {PERIOD: body})


def said(report_: QualityReport) -> dict[str, tuple[str, str]]:
    return {feed.name: (feed.verdict, feed.says) for feed in report_.feeds}


def html(language: str, of: Snapshot) -> str:
    return page.render_quality(build(of, PERIOD, language), f"/quality/{PERIOD}").replace("\u00a0", " ")


def test_every_feed_has_one_line_which_says_whether_it_is_good_and_why_not() -> None:
    lines = said(build(snapshot(moved=True), PERIOD, "en"))
    assert lines["Border crossings"] == (
        "good",
        "complete as far as can be told; half of the records were known on the same day, 95\u00a0% on the same day",
    )
    assert lines["Permits"] == (
        "doubt",
        "10\u00a0% of the records came more than 7 d. after their day; "
        "2 records contradict an earlier one of the same version; the figures moved by 2\u00a0% since the first release",
    )
    assert lines["Offences"] == ("silent", quality.BY_PERSON)
    assert len(lines) == len(quality.LATE) + len(quality.BY_PERSON_ONLY)


def test_measures_stand_under_their_names_and_sixty_days_are_sixty_or_more() -> None:
    feeds = {
        feed.name: dict(zip(MEASURES, feed.measures, strict=True))
        for feed in build(snapshot(), PERIOD, "en").feeds
        if feed.measures
    }
    assert feeds["Border crossings"] == {
        "records": "1,000", "completeness": "100\u00a0%", "median": "0", "p95": "0", "late": "0.1\u00a0%",
        "corrected": "12", "withdrawn": "3", "conflicts": "0", "revision": "–",
    }  # fmt: skip
    old = report(reporting([(FIRST_DAY, 60)]))
    [line] = [f for f in build(snapshot()._replace(qualities={PERIOD: old}), PERIOD, "en").feeds if f.measures]
    assert line.measures[2:4] == ("60+", "60+")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_it_all_in_each_language_and_leads_back_to_the_bulletin(language: str) -> None:
    words, text = wording(language), html(language, snapshot(mirrored("MIRROR_ARRIVALS", 1320), *ODD, moved=True))
    for key in ("in_short", "measures_heading", "findings_heading", "mirrors_heading", "limits_heading", "doubts_heading"):
        assert words(f"quality.{key}") in text
    for verdict in ("good", "doubt", "silent"):
        assert words(f"quality.verdicts.{verdict}") in text
    assert f'href="/bulletin/{PERIOD}?lang={language}"' in text
    assert f'href="/methods/quality?lang={language}"' in text
    assert "1,320" in text or "1 320" in text
    assert words.area("UZ") in text
    assert words("quality.rules.sum") in text
    assert "+2" in text  # the parts of the permits are 12 and the whole is 10


def test_what_is_not_there_is_said_with_its_reason() -> None:
    text = html("en", snapshot())
    assert "No partner country has published a figure for this quarter." in text
    assert "no record that counts is of the days of this quarter" in text
    assert text.count("Nothing that does not fit.") == 2


def test_a_mirror_figure_that_cannot_be_compared_says_why_beside_it() -> None:
    [line] = build(snapshot(mirrored("MIRROR_LABOUR", 5)), PERIOD, "en").mirrors
    assert (line.partner, line.theirs, line.says) == ("Uzbekistan", "5", mirror.NO_FIGURE)


def test_a_simulated_sample_says_so_first() -> None:
    of_sample = snapshot(mirrored("SIMULATION_SCALE", 0.01, "2024", unit="ratio"))
    assert "sent at once" in html("en", of_sample)
    assert "cannot be told from a sample" in said(build(of_sample, PERIOD, "en"))["Border crossings"][1]
    assert "sent at once" not in html("en", snapshot())


def test_a_text_from_outside_is_escaped() -> None:
    text = html("en", snapshot(mirrored("MIRROR_ARRIVALS", 1320, source="<script>")))
    assert "&lt;script&gt;" in text
    assert "<script>" not in text


def test_every_reason_and_rule_is_translated() -> None:
    reasons = [limit.reason for limit in quality.LATE.values()]
    reasons += [quality.NO_RECORDS, quality.BY_PERSON, quality.NO_HISTORY, quality.NO_RELEASE, quality.NOT_BEGUN]
    reasons += [mirror.NOBODY, mirror.NO_PARTNER, mirror.NO_PERIOD, mirror.NO_FIGURE, mirror.NOTHING]
    for language in LANGUAGES:
        words = wording(language)
        assert [reason for reason in reasons if words.translated(reason)[1]] == []
        assert [code for code in mirror.MIRRORS if not words.has(f"quality.mirrors.{code}")] == []


def test_a_quarter_without_any_record_has_no_table_of_measures() -> None:
    empty = snapshot()._replace(qualities={PERIOD: report({})})
    assert 'id="measures"' not in html("en", empty)
    assert 'id="measures"' in html("en", snapshot())


def test_a_quarter_without_a_report_has_none() -> None:
    assert has_report(snapshot(), PERIOD)
    assert not has_report(snapshot(), "2024-Q1")
