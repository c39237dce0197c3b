"""Plausibility: real releases that do not add up, shares that cannot be, and figures of our own that must."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from services.shared.statistics.exchange.observation import SECONDARY, SUPPRESSED
from services.shared.statistics.publication.plausibility import of_figures, of_references
from tests.unit.statistics.test_indicators import IOM, citizens, flow, published, stock, target

PAGE = (Path(__file__).parents[3] / "docs" / "methods" / "plausibility.md").read_text("utf-8")
RELEASES = Path(__file__).parents[2] / "data" / "permit-releases.csv"


def reference(figure: str, value: float, period: str = "2025-Q2", unit: str = "persons", **more: Any) -> Any:
    fields = {"figure": figure, "period": period, "value": value, "unit": unit, "published_on": "2025-07-01", "source": "test"}
    return {"measure": "reference", "key": f"labour/{figure}/{period}", **fields, **more}


def permit_releases() -> list[Any]:
    lines = [line for line in RELEASES.read_text("utf-8").splitlines() if not line.startswith("#")]
    found = []
    for row in csv.DictReader(lines):
        figures = {"PERMITS_IN_FORCE": row["total"]} | {
            f"PERMITS_IN_FORCE_{part.upper()}": number for part, number in row.items() if part not in ("as_of", "total")
        }
        found += [reference(figure, float(number), row["as_of"]) for figure, number in figures.items()]
    return found


def test_the_example_of_the_page_comes_out_as_printed() -> None:
    printed = {period: float(off) for period, off in re.findall(r"^(\d{4}-\d\d-\d\d) = (\d)$", PAGE, re.MULTILINE)}
    assert printed.keys() == {entry["period"] for entry in permit_releases()}
    assert {f.period: f.difference for f in of_references(permit_releases())} == {p: off for p, off in printed.items() if off}


def test_published_permits_whose_parts_exceed_their_total_by_1_and_2_are_found_and_stay_as_they_are() -> None:
    releases = permit_releases()
    before = [dict(entry) for entry in releases]
    findings = of_references(releases)
    assert [(f.rule, f.subject, f.period, f.difference) for f in findings] == [
        ("sum", "PERMITS_IN_FORCE", "2025-11-01", 1),
        ("sum", "PERMITS_IN_FORCE", "2025-12-01", 2),
    ]
    assert "stays as it was published" in findings[0].text
    assert releases == before


def test_parts_are_compared_within_one_agency_and_period_and_by_their_newest_figures() -> None:
    parts = {"1": 10, "2": 20, "3": 30, "4": 40, "SEASONAL": 50, "TRANSFER": 60}
    entries = [reference("PERMITS_IN_FORCE", 210), *(reference(f"PERMITS_IN_FORCE_{part}", n) for part, n in parts.items())]
    assert of_references(entries) == []
    elsewhere: list[Any] = [{**reference("PERMITS_IN_FORCE", 500), "key": "other/x"}, reference("PERMITS_IN_FORCE", 500, "2025-Q1")]
    assert of_references([*entries, *elsewhere]) == []
    corrected: Any = {**reference("PERMITS_IN_FORCE", 213, published_on="2025-08-01"), "key": "labour/correction"}
    assert [f.difference for f in of_references([corrected, *entries])] == [-3]


def test_parts_of_which_some_are_missing_may_be_less_than_their_whole_and_never_more() -> None:
    whole, part = reference("PERMITS_IN_FORCE", 100), reference("PERMITS_IN_FORCE_1", 90)
    assert of_references([whole, part]) == []
    assert [f.difference for f in of_references([whole, part, reference("PERMITS_IN_FORCE_2", 15)])] == [5]


def test_printed_shares_that_add_up_to_101_are_found() -> None:
    printed = {"UNSPECIFIED": 85, "EMPLOYMENT": 12, "EDUCATION": 4}
    findings = of_references([reference(f"RESIDENCE_PURPOSE_SHARE_{p}", n, unit="percent") for p, n in printed.items()])
    assert [(f.subject, f.difference) for f in findings] == [("RESIDENCE_PURPOSE_SHARE", 1)]


@pytest.mark.parametrize(
    ("figure", "value", "unit", "rule", "difference"),
    [
        ("INFORMAL_SHARE", 103, "percent", "share_range", 3),
        ("INFORMAL_SHARE", -2, "percent", "share_range", -2),
        ("MIGRANT_WORKERS_STOCK", -5, "persons", "negative", -5),
    ],
)
def test_what_cannot_be_is_found(figure: str, value: float, unit: str, rule: str, difference: float) -> None:
    assert [(f.rule, f.difference) for f in of_references([reference(figure, value, unit=unit)])] == [(rule, difference)]


@pytest.mark.parametrize(("figure", "value"), [("INFORMAL_SHARE", 0), ("INFORMAL_SHARE", 100), ("ARRIVALS_CHANGE_QOQ", 142)])
def test_what_can_be_is_not_found(figure: str, value: float) -> None:
    assert of_references([reference(figure, value, unit="percent")]) == []


ENTRIES = (
    *IOM,
    flow("arrivals", "2024-Q2", "DE", 200, "business"),
    flow("departures", "2024-Q2", "XX", 40),
    citizens("citizens_out", "2024-Q2", "TR", 70),
    citizens("citizens_out", "2024-Q3", "TR", 30),
    stock("permits_in_force", "2024-Q2", "CN", "1", 3),
    stock("permits_in_force", "2024-Q2", "CN", "2", 8),
    stock("permits_in_force", "2024-Q2", "KG", "2", 9),
    stock("students", "2024-Q2", "IN", "bachelor", 700),
    target(1000),
)
ESTIMATE = {"indicator": "INFORMAL_WORKERS", "method": "BENCHMARK", "period": "2024", "value": 5.0, "lower": 4.0, "upper": 6.0}


def test_figures_computed_here_fit_one_another() -> None:
    assert of_figures(published(*ENTRIES, estimates=(ESTIMATE,))) == []


@pytest.mark.parametrize(
    ("series", "period", "value", "subjects"),
    [
        ("Q.ARRIVALS.DE._T._T._Z", "2024-Q2", 201, {"Q.ARRIVALS._T._T._T._Z", "A.ARRIVALS.DE._T._T._Z", "Q.ARRIVALS.DE._T._T._Z"}),
        ("Q.ARRIVALS_SHARE.UZ._T._T._Z", "2024-Q2", 100.5, {"Q.ARRIVALS_SHARE.UZ._T._T._Z"}),
        ("Q.BORDER_BALANCE._T._T._T._Z", "2024-Q2", 1, {"Q.BORDER_BALANCE._T._T._T._Z"}),
        ("A.CITIZENS_OUT._T._T._T._Z", "2024", 99, {"A.CITIZENS_OUT._T._T._T._Z"}),
        ("Q.PERMITS_IN_FORCE._T._T.2._Z", "2024-Q2", 16, {"Q.PERMITS_IN_FORCE._T._T._T._Z"}),
        ("A.INFORMAL_WORKERS._T._T._T.BENCHMARK", "2024", 7, {"A.INFORMAL_WORKERS._T._T._T.BENCHMARK"}),
    ],
)
def test_a_figure_that_does_not_fit_is_found(series: str, period: str, value: float, subjects: set[str]) -> None:
    found = published(*ENTRIES, estimates=(ESTIMATE,))
    found[series, period] = found[series, period]._replace(value=value)
    assert subjects <= {finding.subject for finding in of_figures(found)}


def test_a_total_that_is_missing_counts_as_0() -> None:
    found = published(*ENTRIES)
    del found["Q.FOREIGN_STUDENTS._T._T._T._Z", "2024-Q2"]
    assert {f.difference for f in of_figures(found)} == {700}


def test_a_sum_with_a_suppressed_part_is_left_alone() -> None:
    found = published(*ENTRIES)
    key = "Q.PERMITS_IN_FORCE.CN._T._T._Z", "2024-Q2"
    found[key] = found[key]._replace(value=None, status=SUPPRESSED, confidentiality=SECONDARY)
    assert of_figures(found) == []


def test_a_nowcast_is_no_part_of_a_sum() -> None:
    estimate = {"indicator": "ARRIVALS", "method": "NOWCAST", "period": "2024-Q2", "value": 5e6, "lower": 4e6, "upper": 6e6}
    assert of_figures(published(*IOM, estimates=(estimate,))) == []
