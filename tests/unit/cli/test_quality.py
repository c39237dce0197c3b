"""`tolqyn quality`: what it finds in a publication, and what it says of the targets."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.cli import __main__ as cli
from services.cli.quality import report
from services.shared.runtime.store import Published, Snapshot
from services.shared.statistics import calendar
from services.shared.statistics.observation import Observation
from tests.unit.statistics.test_indicators import flow, published, stock, target
from tests.unit.statistics.test_plausibility import permit_releases

AT = datetime(2025, 12, 2, tzinfo=UTC)
QUARTER = calendar.parse_quarter("2025-Q4")
GROWING = (24000, 25000, 26300, 27100, 28300, 29200, 30600, 31500)


def students() -> list[dict[str, Any]]:
    quarters = [calendar.quarter_label(QUARTER - i) for i in range(8)][::-1]
    return [stock("students", quarter, "IN", "bachelor", n) for quarter, n in zip(quarters, GROWING, strict=True)]


def snapshot(observations: dict[tuple[str, str], Observation], *references: dict[str, Any]) -> Snapshot:
    rows = {key: Published(*o, 7, AT) for key, o in observations.items()}
    return Snapshot(7, AT, {}, rows, [{k: v for k, v in r.items() if k != "measure"} for r in references], {})


def said(*entries: dict[str, Any], references: tuple[dict[str, Any], ...] = ()) -> str:
    return "\n".join(report(snapshot(published(*entries), *references), QUARTER))


def test_releases_of_permits_that_do_not_add_up_are_reported_and_their_own_figures_kept() -> None:
    text = said(*students(), references=tuple(permit_releases()))
    assert "Quality of 2025-Q4, publication 7" in text
    assert "sum: PERMITS_IN_FORCE of 2025-11-01: its parts add up to 14464, +1 against 14463" in text
    assert "sum: PERMITS_IN_FORCE of 2025-12-01: its parts add up to 14105, +2 against 14103" in text
    assert "2025-08-01" not in text  # of another quarter
    assert "2023" not in text


def test_figures_that_fit_are_said_to() -> None:
    assert said(flow("arrivals", "2025-Q4", "UZ", 100), *students()).count("nothing that does not fit") == 2


def test_a_figure_of_ours_that_does_not_fit_is_reported() -> None:
    found = published(flow("arrivals", "2025-Q4", "UZ", 100))
    key = "Q.ARRIVALS.UZ._T._T._Z", "2025-Q4"
    found[key] = found[key]._replace(value=101)
    text = "\n".join(report(snapshot(found), QUARTER))
    assert "sum: Q.ARRIVALS._T._T._T._Z of 2025-Q4: its countries add up to 101, +1 against 100" in text


def test_both_targets_stand_with_their_sources_and_what_they_take() -> None:
    ministry = {**target(150_000), "source": "Ministry", "unit": "persons"}
    president = {**target(100_000, published_on="2025-10-31"), "source": "President", "unit": "persons"}
    text = said(*students(), references=(president, ministry))
    assert "Targets for foreign students, seen from the end of 2025-Q4 (2)" in text
    assert text.index("150,000 by the end of 2029 (Ministry, 2025-05-15)") < text.index("100,000 by the end of 2029 (President")
    assert f"it takes {100 * ((150 / 31.5) ** (1 / 4) - 1):+.1f} % a year from then on" in text
    assert "at the present pace of +16.9 % a year (+15.9 to +17.9) it is reached in 2036 (95 %: 2035 to 2036)" in text


def test_a_target_that_is_over_and_a_pace_that_is_unknown_are_said_to_be() -> None:
    over = {**target(40_000, "2024", "2023-01-01"), "source": "Ministry", "unit": "persons"}
    text = said(*students()[-3:], references=(over,))
    assert "no growth reaches it: the target's year is over; no year at the present pace: 3 quarters are known" in text


def test_a_gap_in_the_stock_ends_the_quarters_that_make_the_pace() -> None:
    known = students()
    text = said(*known[:2], *known[4:], references=({**target(150_000), "source": "Ministry", "unit": "persons"},))
    assert "4 quarters are known, and a pace needs 6" in text


def test_a_period_that_is_no_quarter_is_a_wrong_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["quality", "2025"]) == 2
    assert "2025-Q2" in capsys.readouterr().err
