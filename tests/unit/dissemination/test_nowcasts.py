"""The bulletin of a quarter that is not complete says so, what it will come to, and how much of it is known."""

from typing import Any

import pytest

from services.dissemination.bulletin import build
from services.dissemination.layout import Section, Table
from services.dissemination.page import render_bulletin
from services.dissemination.wording import LANGUAGES
from services.shared.statistics.estimation.open_quarter import ASSUMPTIONS, NO_HISTORY

Golden = Any


def section_of(golden: Golden, language: str = "en") -> Section | None:
    sections = build(golden.snapshot(), "2025-Q2", language).sections
    return sections[0] if sections[0].key == "nowcasts" else None


@pytest.fixture
def unfinished(golden: Golden) -> Golden:
    """The golden sample while records of it are on their way."""
    golden.put("ARRIVALS", 45_123.4, method="NOWCAST", status="E", limits=(44_000.0, 46_000.0))
    golden.estimates["NOWCAST|2025-Q2|ARRIVALS"] = {
        "value": 45_123.4,
        "inputs": {"feed": "border-crossings", "known": 43_700, "completeness": 97.26},
        "assumptions": [{"text": text, "rating": rating} for text, rating in ASSUMPTIONS],
    }
    golden.estimates["NOWCAST|2025-Q2|LABOUR_EMIGRATION"] = {
        "absent": True,
        "reason": NO_HISTORY,
        "inputs": {"feed": "labour-emigration"},
    }
    return golden


def test_a_quarter_that_is_complete_has_no_such_section(golden: Golden) -> None:
    assert section_of(golden) is None


def test_absent_nowcasts_alone_make_no_section(golden: Golden) -> None:
    golden.estimates["NOWCAST|2025-Q2|ARRIVALS"] = {"absent": True, "reason": NO_HISTORY, "inputs": {"feed": "border-crossings"}}
    assert section_of(golden) is None


def test_completeness_is_shown_also_where_the_nowcast_is_absent(golden: Golden) -> None:
    inputs = {"feed": "border-crossings", "known": 43_700, "completeness": 97.26}
    golden.estimates["NOWCAST|2025-Q2|ARRIVALS"] = {"absent": True, "reason": NO_HISTORY, "inputs": inputs}
    section = section_of(golden)
    assert section is not None
    [table] = section.parts
    assert isinstance(table, Table)
    assert [(row.computed, row.extra, row.note) for row in table.rows] == [("–", "97.3\u00a0%", NO_HISTORY)]
    assert section.assumptions == ()


def test_the_nowcast_stands_with_its_interval_beside_how_much_is_known(unfinished: Golden) -> None:
    section = section_of(unfinished)
    assert section is not None
    [table] = section.parts
    assert isinstance(table, Table)
    arrivals, labour = table.rows
    assert (arrivals.computed, arrivals.interval, arrivals.status, arrivals.extra) == (
        "45,123",
        "44,000–46,000",
        "E",
        "97.3\u00a0%",
    )
    assert arrivals.link == "/figure/Q.ARRIVALS._T._T._T.NOWCAST:2025-Q2"
    assert (labour.computed, labour.extra, labour.note) == ("–", "–", NO_HISTORY)
    assert [item.foreign for item in section.assumptions[0].items] == [False] * len(ASSUMPTIONS)


def test_it_is_worded_in_every_language(unfinished: Golden) -> None:
    told = {language: section_of(unfinished, language) for language in LANGUAGES}
    assert len({section and section.title for section in told.values()}) == len(LANGUAGES)


def test_the_page_shows_the_section_with_its_table(unfinished: Golden) -> None:
    html = render_bulletin(build(unfinished.snapshot(), "2025-Q2", "ru"), "/bulletin/2025-Q2")
    assert 'id="nowcasts"' in html
    assert "Известно из произошедшего" in html
    assert "/figure/Q.ARRIVALS._T._T._T.NOWCAST:2025-Q2" in html
