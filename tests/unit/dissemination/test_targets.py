"""What the bulletin says of the published targets for foreign students."""

from typing import Any

import pytest

from services.dissemination.bulletin import build
from services.dissemination.layout import Facts
from services.dissemination.wording import LANGUAGES, quarters_before
from services.shared.runtime.postgres.store import Snapshot

PERIOD = "2025-Q2"
STOCKS = (24000, 25000, 26300, 27100, 28300, 29200, 30600, 31500)  # the worked example of docs/methods/what-if.md


def told(snapshot: Snapshot, language: str = "en") -> list[tuple[str, dict[str, str]]]:
    """Of every target: its heading, and its lines by label."""
    parts = [p for s in build(snapshot, PERIOD, language).sections if s.key == "students" for p in s.parts if isinstance(p, Facts)]
    return [(heading, {k: v.replace("\u00a0", " ") for k, v in lines}) for part in parts for heading, lines in part.groups]


def with_history(golden: Any) -> Any:
    for back, stock in enumerate(reversed(STOCKS)):
        golden.put("FOREIGN_STUDENTS", stock, quarters_before(PERIOD, back))
    return golden


def test_both_published_targets_stand_with_source_date_gap_growth_and_the_year_they_are_reached(golden: Any) -> None:
    with_history(golden).refer("FOREIGN_STUDENTS_TARGET", 100000, "2030", "persons", "The President", published_on="2025-10-31")
    (newest, new), (oldest, old) = told(golden.snapshot())
    assert (newest, oldest) == ("100,000 by the end of 2030", "150,000 by the end of 2029")
    assert old == {
        "Published": "Ministry of Science and Higher Education, 15 January 2025",
        "Missing": "118,500 (persons)",
        "Growth a year needed": "+41.5 %",
        "Present growth a year": "+16.9 % (95 %: +15.9 % to +17.9 %)",
        "Reached at the present pace": "in 2035 (95 %: 2035 to 2036)",
    }
    assert new["Published"] == "The President, 31 October 2025"
    assert new["Missing"] == "68,500 (persons)"


def test_the_numbers_move_with_the_stock_and_with_the_target(golden: Any) -> None:
    before = told(with_history(golden).snapshot())[0][1]
    golden.put("FOREIGN_STUDENTS", 33000)
    moved = told(golden.snapshot())[0][1]
    assert moved["Missing"] == "117,000 (persons)"
    assert {label for label in before if moved[label] == before[label]} == {"Published"}


def test_a_history_that_is_too_short_for_a_pace_is_said_to_be(golden: Any) -> None:
    for language in LANGUAGES:
        [(_, lines)] = told(golden.snapshot(), language)
        assert len(lines) == 4
        assert "6" in list(lines.values())[-1]
    assert told(golden.snapshot())[0][1]["Reached at the present pace"] == (
        "cannot be said: quarters known in a row: 1; a pace needs 6"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_stock_that_shrinks_never_reaches_the_target_and_it_is_said_in_every_language(golden: Any, language: str) -> None:
    for back, stock in enumerate(STOCKS):
        golden.put("FOREIGN_STUDENTS", stock, quarters_before(PERIOD, back))
    [(_, lines)] = told(golden.snapshot(), language)
    last = list(lines.values())[-1]
    assert "−14" in last
    assert ("is not reached" in last) == (language == "en")


def test_a_target_that_is_reached_says_so(golden: Any) -> None:
    golden.references = []
    golden.refer("FOREIGN_STUDENTS_TARGET", 20000, "2029", "persons", "Ministry of Science and Higher Education")
    [(_, lines)] = told(with_history(golden).snapshot())
    assert lines["Above the target by"] == "11,500 (persons)"
    assert lines["Reached at the present pace"] == "cannot be said: the target is reached"


def test_without_a_target_or_without_students_nothing_is_said(golden: Any) -> None:
    golden.drop("FOREIGN_STUDENTS")
    assert told(golden.snapshot()) == []
    golden.put("FOREIGN_STUDENTS", 31500)
    golden.references = []
    assert told(golden.snapshot()) == []
