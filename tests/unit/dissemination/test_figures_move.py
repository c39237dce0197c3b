"""No figure of the article is hard-coded: other events are sent, and every one of them moves to what those say.

Two simulations go through the whole chain, the bundled one and one of other targets. The figures that the article prints are taken
from schemas/indicators.csv, all of them; the bulletin's own must be the first set's figures, then the second's.
"""

import io
from copy import deepcopy
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.feeds import FEEDS
from schemas.indicators import catalogue
from services.dissemination.bulletin import build
from services.dissemination.figures import Row
from services.dissemination.layout import Bulletin, Table
from tests.unit.chain import Chain
from tools.simulate.generate import simulate
from tools.simulate.targets_file import BUNDLED, parse_targets

SCALE = Fraction(1, 100)  # at a smaller one no patient of 2019 is from China
AT = "2025-07-10T09:00:00+05:00"
Statement = tuple[str, str, str]  # indicator, code, period: as the catalogue has them

# What the other events say, at full size, of each figure that the article prints.
OTHERWISE: dict[Statement, float] = {
    ("ARRIVALS", "", "2025-Q2"): 5_000_000,
    ("ARRIVALS_CHANGE_QOQ", "", "2025-Q2"): 25,
    ("ARRIVALS_SHARE", "CIS", "2025-Q2"): 80,
    ("ARRIVALS_SHARE", "UZ", "2025-Q2"): 30,
    ("ARRIVALS_SHARE", "RU", "2025-Q2"): 25,
    ("ARRIVALS_SHARE", "KG", "2025-Q2"): 15,
    ("DEPARTURES", "", "2025-Q2"): 4_000_000,
    ("DEPARTURES_CHANGE_QOQ", "", "2025-Q2"): -20,
    ("DEPARTURES_SHARE", "UZ", "2025-Q2"): 28,
    ("DEPARTURES_SHARE", "KG", "2025-Q2"): 26,
    ("DEPARTURES_SHARE", "RU", "2025-Q2"): 20,
    ("DEPARTURES_SHARE", "FAR_ABROAD", "2025-Q2"): 15,
    ("NET_MIGRATION", "", "2024"): -1_000,
    ("RESIDENCE_PURPOSE_SHARE", "unspecified", "2025-Q2"): 60,
    ("RESIDENCE_PURPOSE_SHARE", "employment", "2025-Q2"): 25,
    ("RESIDENCE_PURPOSE_SHARE", "education", "2025-Q2"): 10,
    ("LABOUR_EMIGRATION", "", "2024"): 100_000,
    ("LABOUR_EMIGRATION", "", "2023"): 80_000,
    ("LABOUR_EMIGRATION_CHANGE_YOY", "", "2024"): 25,
    ("PERMITS_IN_FORCE", "", "2025-Q2"): 12_000,
    ("PERMITS_IN_FORCE", "", "2024-Q2"): 10_000,
    ("PERMITS_IN_FORCE_CHANGE_YOY", "", "2025-Q2"): 20,
    ("INFORMAL_SHARE", "SURVEY", "2024"): 41,
    ("FOREIGN_STUDENTS", "", "2024/25"): 29_000,
    ("FOREIGN_STUDENTS_TARGET", "", "2029"): 100_000,
    ("FOREIGN_BRANCHES", "", "plan"): 21,
    ("FOREIGN_GUESTS", "", "2024"): 1_000_000,
    ("FOREIGN_GUESTS", "", "2021"): 500_000,
    ("MEDICAL_VISITORS_RATIO_5Y", "", "newest"): 2,
    ("MEDICAL_VISITORS_RATIO_5Y", "CN", "newest"): 8,
    ("MEDICAL_VISITORS_RATIO_5Y", "IN", "newest"): 10,
    ("MEDICAL_VISITORS_RATIO_5Y", "TR", "newest"): 0.5,
}
LEADING_OTHERWISE = {
    "PERMITS_IN_FORCE": "Türkiye, India, Uzbekistan, China",
    "LABOUR_EMIGRATION": "South Korea, Germany, Russia, Poland, Türkiye",
}
BRANCHES_OPEN = 33  # the article prints a plan; this is what the bundled events have


def other_targets() -> dict[str, Any]:
    """The bundled targets with everything that OTHERWISE and LEADING_OTHERWISE name changed."""
    d: dict[str, Any] = deepcopy(yaml.safe_load(BUNDLED.read_text("utf-8")))
    crossings, permits, students, stays = d["border_crossings"], d["work_permits"], d["student_enrolments"], d["visitor_stays"]
    for flow, before, now in (("arrivals", 4_000_000, 5_000_000), ("departures", 5_000_000, 4_000_000)):
        crossings[flow]["2025-Q1"]["total"] = before
        del crossings[flow]["2025-Q2"]["change_percent"]
        crossings[flow]["2025-Q2"]["total"] = now
    crossings["arrivals"]["2025-Q2"]["shares"] = {"CIS": 80, "UZ": 30, "RU": 25, "KG": 15}
    crossings["departures"]["2025-Q2"]["shares"] = {"UZ": 28, "KG": 26, "RU": 20, "FAR_ABROAD": 15}
    days = list(permits["stocks"])
    permits["stocks"] = dict(zip(days, (10_000, 10_500, 11_000, 11_500, 12_000), strict=True))
    permits["citizenships"] |= {"CN": 8, "UZ": 10, "IN": 20, "TR": 30}
    students["stocks"] = dict(zip(students["stocks"], (30_000, 29_700, 29_300, 29_000), strict=True))
    students |= {"branches_open": 21}
    d["residence_registrations"]["arrivals"][2024] = 11_700
    d["residence_registrations"]["purposes"] = {"unspecified": 60, "employment": 25, "education": 10, "private": 5}
    d["labour_emigration"]["totals"] |= {2023: 80_000, 2024: 100_000}
    d["labour_emigration"]["destinations"] = {"KR": 40, "DE": 25, "RU": 15, "PL": 12, "TR": 8}
    stays["guests"] |= {2021: 500_000, 2024: 1_000_000}
    stays["medical"] |= {
        2019: {"UZ": 82_000, "TR": 12_000, "CN": 1_000, "IN": 5_000},
        2024: {"UZ": 136_000, "TR": 6_000, "CN": 8_000, "IN": 50_000},
    }
    for figure in d["reference_figures"]:
        figure["value"] = {"INFORMAL_SHARE": 41, "FOREIGN_STUDENTS_TARGET": 100_000}.get(figure["figure"], figure["value"])
    return d


def bulletin_of(targets: dict[str, Any], folder: Path) -> Bulletin:
    """Simulate, send, count, publish, set."""
    simulate(folder, parse_targets(targets), SCALE, 7, Fraction(1, 100), io.StringIO())
    chain = Chain()
    for feed in FEEDS:
        chain.send(feed, (folder / f"{feed}.ndjson").read_bytes().splitlines(), AT)
    return build(chain.snapshot(), "2025-Q2", "en")


@pytest.fixture(scope="module")
def bulletins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bulletin, Bulletin]:
    """Of the bundled events, and of the others."""
    bundled = yaml.safe_load(BUNDLED.read_text("utf-8"))
    return bulletin_of(bundled, tmp_path_factory.mktemp("bundled")), bulletin_of(other_targets(), tmp_path_factory.mktemp("other"))


def article_rows(bulletin: Bulletin) -> dict[Statement, Row]:
    """The row beside which each statement of the article stands, found by its indicator and its printed value."""
    rows = [row for section in bulletin.sections for part in section.parts if isinstance(part, Table) for row in part.rows]
    found = {}
    for name, indicator in catalogue().items():
        for statement in indicator.statements:
            [row] = [r for r in rows if (r.indicator, r.published_value) == (name, statement.value)]
            found[name, statement.code, statement.period] = row
    return found


STATEMENTS = [(name, s.code, s.period) for name, indicator in catalogue().items() for s in indicator.statements]


def full_size(row: Row) -> float:
    """The bulletin's own figure, brought to full size where the simulation thins."""
    assert row.value is not None
    return row.value / float(SCALE) if "1:100" in row.agreement_text else row.value


@pytest.mark.parametrize("statement", STATEMENTS, ids="-".join)
def test_a_figure_of_the_article_comes_from_the_events_and_moves_with_them(
    bulletins: tuple[Bulletin, Bulletin], statement: Statement
) -> None:
    first, second = (article_rows(bulletin)[statement] for bulletin in bulletins)
    assert full_size(second) == pytest.approx(OTHERWISE[statement], rel=1e-12)
    assert second.computed != first.computed
    if statement[0] == "FOREIGN_BRANCHES":
        assert full_size(first) == BRANCHES_OPEN
    else:
        assert (first.agreement, second.agreement) == ("equal", "differs")
    assert (second.published, second.published_value) == (first.published, first.published_value)


@pytest.mark.parametrize("indicator", [name for name, indicator in catalogue().items() if indicator.leading])
def test_the_order_of_countries_comes_from_the_events_and_moves_with_them(
    bulletins: tuple[Bulletin, Bulletin], indicator: str
) -> None:
    first, second = (
        next(
            row for section in bulletin.sections for part in section.parts if isinstance(part, Table)
            for row in part.rows if row.indicator == indicator and row.published and row.published_value is None
        )
        for bulletin in bulletins
    )  # fmt: skip
    assert (first.agreement, second.agreement) == ("equal", "differs")
    assert second.computed == LEADING_OTHERWISE[indicator]
    assert second.published == first.published == first.computed


def test_what_is_expected_of_other_events_is_another_figure_for_each_that_the_article_prints() -> None:
    printed = {(name, s.code, s.period): s.value for name, indicator in catalogue().items() for s in indicator.statements}
    assert printed.keys() == OTHERWISE.keys()
    assert [statement for statement, value in printed.items() if OTHERWISE[statement] == value] == []
