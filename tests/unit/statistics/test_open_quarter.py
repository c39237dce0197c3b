"""Nowcasts from the aggregates' entries: which there are, what they rest on, and when there is none."""

import csv
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.indicators import units
from services.shared.statistics.estimation import open_quarter
from services.shared.statistics.estimation.open_quarter import NO_HISTORY, PUBLISHED, Nowcasts, nowcasts
from services.shared.statistics.folding.sheet import DELAY_DAYS
from services.shared.statistics.publication.indicators import observations

CATALOGUE = Path(__file__).parents[3] / "schemas" / "indicators.csv"
Entries = dict[str, Any]


def noon(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 7, tzinfo=UTC).timestamp() * 1000)


def entries(feed: str, flows: Mapping[str, tuple[int, ...]], first: date, today: date, loaded: date | None = None) -> Entries:
    """Every day the same: so many records the same day, so many the next. From `loaded` to `first` all came on `first`."""
    found: Entries = {}
    day = loaded or first
    while day <= today:
        period, number = f"{day.year}-Q{(day.month + 2) // 3}", (day - date(day.year, (day.month - 1) // 3 * 3 + 1, 1)).days
        entry = found.setdefault(
            f"reporting|{period}|{feed}", {"measure": "reporting", "period": period, "feed": feed, "value": 0, "flows": {}}
        )
        for flow, delays in flows.items():
            rows = entry["flows"].setdefault(flow, [])
            rows += [[] for _ in range(number + 1 - len(rows))]
            came = [n for late, n in enumerate(delays) if day + timedelta(days=late) <= today]
            rows[number] = [0, *came] if day >= first else [min(DELAY_DAYS, (first - day).days), sum(delays)]
        day += timedelta(days=1)
    return found


REGULAR = entries("border-crossings", {"arrivals": (60, 30, 10), "citizens_in": (5,)}, date(2021, 1, 1), date(2025, 4, 30))


def test_the_open_quarter_is_told_with_what_is_known_of_it() -> None:
    found: dict[str, Any] = nowcasts(REGULAR, noon(date(2025, 4, 30)))
    arrivals = found["NOWCAST|2025-Q2|ARRIVALS"]
    assert (arrivals["value"], arrivals["lower"], arrivals["upper"]) == pytest.approx((9100, 9100, 9100))
    assert (arrivals["inputs"]["known"], arrivals["inputs"]["history_from"], arrivals["unit"]) == (2950, "2021-01-01", "crossings")
    assert arrivals["inputs"]["completeness"] == pytest.approx(100 * 2950 / 3000)
    # In both flows 105 records a day, of which 10 of the day before and 40 of this day are yet to come.
    assert arrivals["inputs"]["feed_completeness"] == pytest.approx(100 * (1 - 50 / 3150))
    assert {assumption["rating"] for assumption in arrivals["assumptions"]} == {"amber", "red"}


@pytest.mark.parametrize(("today", "periods"), [("2025-05-30", {"2025-Q1", "2025-Q2"}), ("2025-05-31", {"2025-Q2"})])
def test_the_quarter_before_is_told_until_60_days_after_its_end(today: str, periods: set[str]) -> None:
    day = date.fromisoformat(today)
    found: dict[str, Any] = nowcasts(
        entries("labour-emigration", {"labour_emigration": (60, 30, 10)}, date(2021, 1, 1), day), noon(day)
    )
    assert {(key, "value" in estimate) for key, estimate in found.items()} == {
        (f"NOWCAST|{period}|LABOUR_EMIGRATION", True) for period in periods
    }


def test_a_nowcast_is_published_as_an_estimate_with_its_95_percent_limits() -> None:
    estimates: dict[str, Any] = nowcasts(REGULAR, noon(date(2025, 4, 30)))
    found = observations({}, estimates.values(), units())
    one = found["Q.ARRIVALS._T._T._T.NOWCAST", "2025-Q2"]
    estimate = estimates["NOWCAST|2025-Q2|ARRIVALS"]
    assert (one.value, one.lower, one.upper, one.status) == (estimate["value"], estimate["lower"], estimate["upper"], "E")
    assert (one.unit, one.decimals) == ("crossings", 0)


def test_what_was_loaded_when_the_log_began_tells_nothing_of_how_late_records_are() -> None:
    first, today = date(2022, 3, 1), date(2025, 4, 30)
    flows = {"guests": (60, 30, 10)}
    loaded: dict[str, Any] = nowcasts(entries("visitor-stays", flows, first, today, loaded=date(2019, 1, 1)), noon(today))
    assert loaded == nowcasts(entries("visitor-stays", flows, first, today), noon(today))
    assert loaded["NOWCAST|2025-Q2|FOREIGN_GUESTS"]["value"] == pytest.approx(9100)
    assert loaded["NOWCAST|2025-Q2|FOREIGN_GUESTS"]["inputs"]["history_from"] == "2022-03-01"


def test_without_any_record_that_came_in_time_there_is_no_history() -> None:
    today = date(2025, 4, 30)
    all_at_once = entries("visitor-stays", {"guests": (100,)}, today, today, loaded=date(2020, 1, 1))
    late = {k: v | {"flows": {"guests": [row and [60, row[1]] for row in v["flows"]["guests"]]}} for k, v in all_at_once.items()}
    none: dict[str, Any] = nowcasts(late, noon(today))
    for estimate in none.values():
        assert (estimate["reason"], estimate["inputs"]) == (NO_HISTORY, {"feed": "visitor-stays"})


def test_completeness_is_told_as_soon_as_60_days_are_seen_while_a_nowcast_needs_years() -> None:
    for days, told in ((59, False), (60, True)):
        first = date(2025, 3, 1)
        today = first + timedelta(days=days)
        found: dict[str, Any] = nowcasts(entries("work-permits", {"permits_issued": (60, 30, 10)}, first, today), noon(today))
        estimate = found["NOWCAST|2025-Q2|PERMITS_ISSUED"]
        assert "too short" in estimate["reason"]
        assert ("completeness" in estimate["inputs"], "feed_completeness" in estimate["inputs"]) == (told, told)
        assert estimate["inputs"]["known"] == 100 * (today - date(2025, 4, 1)).days - 10 + 60


def test_records_of_days_yet_to_come_are_not_known_ones() -> None:
    today = date(2025, 4, 30)
    ahead = entries("work-permits", {"permits_issued": (100,)}, date(2021, 1, 1), date(2025, 9, 30))
    found: dict[str, Any] = nowcasts(ahead, noon(today))
    assert found["NOWCAST|2025-Q2|PERMITS_ISSUED"]["inputs"]["known"] == 3000
    assert found["NOWCAST|2025-Q2|PERMITS_ISSUED"]["value"] == pytest.approx(9100)


def test_kept_up_to_date_entry_by_entry_they_are_those_made_at_once() -> None:
    kept, today = Nowcasts(), date(2025, 4, 29)
    before = entries("border-crossings", {"arrivals": (60, 30, 10)}, date(2021, 1, 1), today)
    extra = {"reporting|2019-Q1|border-crossings": before["reporting|2025-Q1|border-crossings"] | {"period": "2019-Q1"}}
    for key, entry in (before | extra).items():
        kept.put(key, entry)
    assert kept.estimates(noon(today)) == nowcasts(before | extra, noon(today))
    kept.put(next(iter(extra)), None)
    assert kept.estimates(noon(today)) == nowcasts(before, noon(today))
    after = entries("border-crossings", {"arrivals": (60, 30, 10)}, date(2021, 1, 1), today + timedelta(days=1))
    for key in ("reporting|2025-Q2|border-crossings", "reporting|2025-Q1|border-crossings"):
        kept.put(key, after[key])
    assert kept.estimates(noon(today + timedelta(days=1))) == nowcasts(after, noon(today + timedelta(days=1)))
    assert kept.estimates(noon(today + timedelta(days=32))) == nowcasts(after, noon(today + timedelta(days=32))), (
        "a later day alone"
    )


def test_a_feed_of_which_nothing_changed_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Nowcasts()
    for key, entry in REGULAR.items():
        kept.put(key, entry)
    first = kept.estimates(noon(date(2025, 4, 30)))
    monkeypatch.setattr(open_quarter, "nowcast", lambda *_: pytest.fail("computed again"))
    assert kept.estimates(noon(date(2025, 4, 30)) + 1000) == first


def test_the_catalogue_names_the_method_for_exactly_the_indicators_that_have_nowcasts() -> None:
    with CATALOGUE.open(newline="", encoding="utf-8") as file:
        named = {row["indicator"]: row["unit"] for row in csv.DictReader(file) if "NOWCAST" in row["method"].split()}
    assert named == {indicator: unit for flows in PUBLISHED.values() for indicator, unit in flows.values()}
