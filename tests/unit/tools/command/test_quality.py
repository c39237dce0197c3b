"""`tolqyn quality`: what it finds in a publication, and what it says of the targets."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from services.dissemination.quality import build
from services.shared.runtime.postgres.store import Published, Snapshot
from services.shared.statistics.exchange.observation import Observation
from services.shared.statistics.terms import calendar
from tests.unit.statistics.test_indicators import flow, published, stock, target
from tests.unit.statistics.test_plausibility import permit_releases
from tests.unit.statistics.test_quality import report as quality_report
from tests.unit.statistics.test_quality import reporting
from tools.command import __main__ as cli
from tools.command.quality import WIDTH_MIN, as_json, print_report, targets

AT = datetime(2025, 12, 2, tzinfo=UTC)
QUARTER = calendar.parse_quarter("2025-Q4")
GROWING = (24000, 25000, 26300, 27100, 28300, 29200, 30600, 31500)


def students() -> list[dict[str, Any]]:
    quarters = [calendar.quarter_label(QUARTER - i) for i in range(8)][::-1]
    return [stock("students", quarter, "IN", "bachelor", n) for quarter, n in zip(quarters, GROWING, strict=True)]


def snapshot(observations: dict[tuple[str, str], Observation], *references: Any, feeds: Any = ()) -> Snapshot:
    rows = {key: Published(*o, 7, AT) for key, o in observations.items()}
    entries = {f"reference|{r['period']}|{i}": r for i, r in enumerate(references)} | dict(feeds)
    told = quality_report(entries, observations, period="2025-Q4")
    stated: list[Any] = [{k: v for k, v in r.items() if k != "measure"} for r in references]
    return Snapshot(7, AT, {}, rows, stated, {}, {"2025-Q4": told})


def printed(of: Snapshot) -> str:
    output = io.StringIO()
    print_report(build(of, "2025-Q4", "en"), Console(file=output, width=WIDTH_MIN, highlight=False))
    return output.getvalue()


def said(*entries: dict[str, Any], references: tuple[dict[str, Any], ...] = ()) -> str:
    return "\n".join(targets(snapshot(published(*entries), *references), QUARTER))


def test_releases_of_permits_that_do_not_add_up_are_reported_and_their_own_figures_kept() -> None:
    text = printed(snapshot(published(*students()), *permit_releases()))
    assert "Quality of the figures: fourth quarter of 2025" in text
    assert "the parts do not add up to the whole: PERMITS_IN_FORCE, 1\u00a0November\u00a02025: +1" in text
    assert "the parts do not add up to the whole: PERMITS_IN_FORCE, 1\u00a0December\u00a02025: +2" in text
    assert "August" not in text  # of another quarter
    assert "2023" not in text


def test_figures_that_fit_are_said_to() -> None:
    of = snapshot(published(flow("arrivals", "2025-Q4", "UZ", 100), *students()))
    assert printed(of).count("Nothing that does not fit.") == 2


def test_a_figure_of_ours_that_does_not_fit_is_reported() -> None:
    found = published(flow("arrivals", "2025-Q4", "UZ", 100))
    key = "Q.ARRIVALS.UZ._T._T._Z", "2025-Q4"
    found[key] = found[key]._replace(value=101)
    assert "the parts do not add up to the whole: Q.ARRIVALS._T._T._T._Z, fourth quarter of 2025: +1" in printed(snapshot(found))


def test_every_feed_has_a_line_and_those_with_records_their_measures_and_no_line_is_too_wide() -> None:
    arrivals = reporting([(calendar.first_day(QUARTER), 0)] * 3 + [(calendar.first_day(QUARTER), 4)])
    text = printed(snapshot(published(*students()), feeds=arrivals))
    assert "Border crossings: doubtful – 25\u00a0% of the records came more than 1 d. after their day" in text
    assert text.count("no verdict – no record that counts is of the days of this quarter") == 5
    [measures] = [line for line in text.splitlines() if line.startswith("Border crossings ")]
    assert measures.replace("\u00a0", "").split()[2:] == ["4", "100%", "0", "4", "25%", "0", "0", "0", "–"]
    assert max(cell_len(line) for line in text.splitlines()) <= WIDTH_MIN


def test_as_json_the_report_is_that_of_the_topic_with_its_publication_and_the_targets() -> None:
    of = snapshot(published(*students()), {**target(150_000), "source": "Ministry", "unit": "persons"})
    told = as_json(of, QUARTER)
    assert {k: v for k, v in told.items() if k in of.qualities["2025-Q4"]} == of.qualities["2025-Q4"]
    assert (told["publication"], told["published_at"]) == (7, "2025-12-02T00:00:00.000Z")
    assert [(t["value"], t["arrival"]["year"]) for t in told["targets"]] == [(150_000, 2036)]
    assert json.loads(json.dumps(told)) == told


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
