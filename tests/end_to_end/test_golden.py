"""The published figures of 2025-Q2 out of the whole stack, and every series against the files that were sent.

The oracle reads the files line by line and applies the words of the contract; it shares no code with the services.
"""

import csv
import io
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from schemas.feeds import FEEDS
from tests.end_to_end.conftest import Stack

ALMATY = ZoneInfo("Asia/Almaty")
CIS = {"AM", "AZ", "BY", "KG", "MD", "RU", "TJ", "TM", "UZ"}
EAEU = {"AM", "BY", "KG", "RU"}
NOT_FAR = CIS | {"GE", "UA", "XX", "KZ"}
ROLLING = 91

Key = tuple[str, str]  # (series, period)
DIMENSIONS = ("FREQ", "INDICATOR", "COUNTERPART_AREA", "PURPOSE", "CATEGORY", "METHOD")


@pytest.fixture(scope="module")
def rows(stack: Stack) -> dict[Key, dict[str, str]]:
    """The export by key."""
    read = list(csv.DictReader(io.StringIO(stack.export)))
    found = {(".".join(row[d] for d in DIMENSIONS), row["TIME_PERIOD"]): row for row in read}
    assert len(found) == len(read), "one row per key"
    return found


# --- the figures of the article ----------------------------------------------------------------------------------------------

GOLDEN = {
    "ARRIVALS._T._T._T._Z": 43_700,  # 4.37 million at a hundredth of its size
    "ARRIVALS_CHANGE_QOQ._T._T._T._Z": 42.0,
    "ARRIVALS_SHARE.CIS._T._T._Z": 89.0,
    "ARRIVALS_SHARE.UZ._T._T._Z": 36.0,
    "ARRIVALS_SHARE.RU._T._T._Z": 23.0,
    "ARRIVALS_SHARE.KG._T._T._Z": 22.0,
    "DEPARTURES._T._T._T._Z": 42_000,
    "DEPARTURES_CHANGE_QOQ._T._T._T._Z": 32.0,
    "DEPARTURES_SHARE.UZ._T._T._Z": 35.0,
    "DEPARTURES_SHARE.KG._T._T._Z": 23.0,
    "DEPARTURES_SHARE.RU._T._T._Z": 22.0,
    "DEPARTURES_SHARE.FAR_ABROAD._T._T._Z": 12.0,
    "BORDER_BALANCE._T._T._T._Z": 1_700,
    "CITIZENS_IN._T._T._T._Z": 850,
    "CITIZENS_OUT._T._T._T._Z": 875,
    "PERMITS_IN_FORCE._T._T._T._Z": 14_820,
    "PERMITS_IN_FORCE_CHANGE_YOY._T._T._T._Z": 14.0,
    "FOREIGN_STUDENTS._T._T._T._Z": 31_500,
    "FOREIGN_STUDENTS_GAP._T._T._T._Z": 118_500,
    "FOREIGN_STUDENTS_GROWTH_REQUIRED._T._T._T._Z": 41.5,
    "FOREIGN_BRANCHES._T._T._T._Z": 33,
    "RESIDENCE_PURPOSE_SHARE._T.unspecified._T._Z": 84.6,  # printed as 85
    "RESIDENCE_PURPOSE_SHARE._T.employment._T._Z": 11.6,  # as 12
    "RESIDENCE_PURPOSE_SHARE._T.education._T._Z": 3.7,  # as 4
    "INFORMAL_SHARE._T._T._T.SURVEY": 34.0,
    "INFORMAL_WORKERS._T._T._T.BENCHMARK": 187_000,
}


@pytest.mark.parametrize(("series", "expected"), GOLDEN.items())
def test_a_figure_of_the_article_comes_out_of_the_events(rows: dict[Key, dict[str, str]], series: str, expected: float) -> None:
    row = rows[f"Q.{series}", "2025-Q2"]
    assert round(float(row["OBS_VALUE"]), int(row["DECIMALS"])) == expected


GOLDEN_YEARS = {
    ("NET_MIGRATION._T._T._T._Z", "2024"): 16_500,
    ("LABOUR_EMIGRATION._T._T._T._Z", "2023"): 1_900,  # about 190,000 at a hundredth of its size
    ("LABOUR_EMIGRATION._T._T._T._Z", "2024"): 1_400,
    ("LABOUR_EMIGRATION_CHANGE_YOY._T._T._T._Z", "2024"): -26.3,
    ("FOREIGN_GUESTS._T._T._T._Z", "2021"): 3_300,
    ("FOREIGN_GUESTS._T._T._T._Z", "2024"): 12_000,
    ("MEDICAL_VISITORS_RATIO_5Y._T._T._T._Z", "2024"): 5.0,
    ("MEDICAL_VISITORS_RATIO_5Y.CN._T._T._Z", "2024"): 24.0,
    ("MEDICAL_VISITORS_RATIO_5Y.IN._T._T._Z", "2024"): 40.0,
    ("MEDICAL_VISITORS_RATIO_5Y.TR._T._T._Z", "2024"): 3.0,
    ("INFORMAL_WORKERS._T._T._T.CHAO", "2024"): 44_367,  # 9,346 found, of them 8,200 once and 960 twice
}


@pytest.mark.parametrize(("key", "expected"), GOLDEN_YEARS.items())
def test_a_figure_of_a_year_comes_out_of_the_events(rows: dict[Key, dict[str, str]], key: Key, expected: float) -> None:
    row = rows[f"A.{key[0]}", key[1]]
    assert round(float(row["OBS_VALUE"]), int(row["DECIMALS"])) == expected


def test_the_leading_destinations_of_labour_emigration_are_those_of_the_article(rows: dict[Key, dict[str, str]]) -> None:
    areas = {
        s.split(".")[2]: float(r["OBS_VALUE"]) for (s, p), r in rows.items() if s.startswith("A.LABOUR_EMIGRATION.") and p == "2024"
    }
    del areas["_T"]
    assert sorted(areas, key=lambda area: -areas[area])[:5] == ["RU", "KR", "TR", "AE", "GB"]


def test_the_informal_share_has_its_interval_and_is_an_estimate(rows: dict[Key, dict[str, str]]) -> None:
    row = rows["Q.INFORMAL_SHARE._T._T._T.SURVEY", "2025-Q2"]
    assert (round(float(row["LOWER"]), 1), round(float(row["UPPER"]), 1)) == (31.9, 36.2)
    assert row["OBS_STATUS"] == "E"


def test_the_leading_citizenships_of_permits_are_those_of_the_article(rows: dict[Key, dict[str, str]]) -> None:
    areas = {
        s.split(".")[2]: float(r["OBS_VALUE"])
        for (s, p), r in rows.items()
        if s.startswith("Q.PERMITS_IN_FORCE.") and p == "2025-Q2"
    }
    countries = {area: value for area, value in areas.items() if len(area) == 2 and area != "_T"}
    assert sorted(countries, key=lambda area: -countries[area])[:4] == ["CN", "UZ", "IN", "TR"]


def test_the_residual_is_absent_at_sample_scale_and_the_target_is_a_target(rows: dict[Key, dict[str, str]]) -> None:
    assert not [series for series, _ in rows if series.endswith(".RESIDUAL")]
    target = rows["A.FOREIGN_STUDENTS_TARGET._T._T._T._Z", "2029"]
    assert (float(target["OBS_VALUE"]), target["OBS_STATUS"]) == (150_000, "F")


def test_every_record_sent_was_accepted_once(stack: Stack) -> None:
    for feed in FEEDS:
        with (stack.events / f"{feed}.ndjson").open("rb") as file:
            lines = sum(1 for _ in file)
        receipt = stack.receipts[feed]
        assert (receipt["received"], receipt["accepted"], receipt["rejected"], receipt["retry"]) == (lines, lines, 0, 0), feed


def test_nothing_was_set_aside(stack: Stack) -> None:
    assert "conflict" not in stack.tolqyn("dead-letters", "list")


# --- every series, from the files --------------------------------------------------------------------------------------------


def standing(path: Path) -> Iterator[dict[str, Any]]:
    """The records that count: of each id the highest version, unless that is a withdrawal."""
    newest: dict[str, dict[str, Any]] = {}
    with path.open("rb") as file:
        for line in file:
            record = orjson.loads(line)
            known = newest.get(record["record_id"])
            if known is None or record["version"] > known["version"]:
                newest[record["record_id"]] = record
    return (record for record in newest.values() if record.get("action") != "withdraw")


def quarter(day: date) -> str:
    return f"{day.year}-Q{(day.month + 2) // 3}"


def before(period: str, quarters: int) -> str:
    number = int(period[:4]) * 4 + int(period[-1]) - 1 - quarters
    return f"{number // 4}-Q{number % 4 + 1}"


def groups(area: str) -> list[str]:
    found = ["_T", *(["CIS"] if area in CIS else []), *(["EAEU"] if area in EAEU else [])]
    return found if area in NOT_FAR else [*found, "FAR_ABROAD"]


def quarter_ends(first: date, today: date) -> Iterator[tuple[str, date]]:
    """(quarter, its last day, or yesterday while it is open)."""
    day = date(first.year, (first.month - 1) // 3 * 3 + 1, 1)
    while day <= today:
        after = date(day.year + day.month // 10, (day.month + 2) % 12 + 1, 1)
        yield quarter(day), min(after, today) - timedelta(days=1)
        day = after


class Oracle:
    """The expected value of every key of the indicators that come straight from events."""

    def __init__(self, folder: Path, today: date) -> None:
        self.values: dict[Key, float] = {}
        self.today = today
        self.flows(list(standing(folder / "border-crossings.ndjson")))
        self.permits(list(standing(folder / "work-permits.ndjson")))
        self.students(list(standing(folder / "student-enrolments.ndjson")))
        self.residence(list(standing(folder / "residence-registrations.ndjson")))
        self.emigration(list(standing(folder / "labour-emigration.ndjson")))
        self.stays(list(standing(folder / "visitor-stays.ndjson")))

    def add(self, counts: Counter[Any]) -> None:
        self.values |= {key: n for key, n in counts.items() if n}

    def flows(self, records: list[dict[str, Any]]) -> None:
        counts: Counter[Key] = Counter()
        days: dict[tuple[str, str], Counter[date]] = defaultdict(Counter)
        all_days = set()
        for r in records:
            day = datetime.fromisoformat(r["occurred_at"]).astimezone(ALMATY).date()
            all_days.add(day)
            arrives = r["direction"] == "arrival"
            periods = (("Q", quarter(day)), ("A", str(day.year)))
            if r["citizenship"] == "KZ":
                for freq, period in periods:
                    for area in ("_T", r["counterpart"]):
                        counts[f"{freq}.CITIZENS_{'IN' if arrives else 'OUT'}.{area}._T._T._Z", period] += 1
                continue
            indicator, area = ("ARRIVALS", r["citizenship"]) if arrives else ("DEPARTURES", r["counterpart"])
            for group in groups(area):
                days[indicator, group][day] += 1
            for freq, period in periods:
                counts[f"{freq}.BORDER_BALANCE._T._T._T._Z", period] += 1 if arrives else -1
                for one in (area, *groups(area)):
                    for purpose in ("_T", *([r.get("purpose", "unspecified")] if arrives else [])):
                        counts[f"{freq}.{indicator}.{one}.{purpose}._T._Z", period] += 1
        self.add(counts)
        self.rolling(days, min(all_days), max(all_days))
        for indicator in ("ARRIVALS", "DEPARTURES"):
            self.changes(indicator, counts)
            self.shares(indicator, counts)
        self.contributions(counts)

    def rolling(self, days: dict[tuple[str, str], Counter[date]], first: date, last: date) -> None:
        for (indicator, group), by_day in days.items():
            ordered = sorted(by_day.elements())
            day = first + timedelta(days=ROLLING - 1)
            while day <= last:
                n = bisect_right(ordered, day) - bisect_right(ordered, day - timedelta(days=ROLLING))
                if n:
                    self.values[f"D.{indicator}.{group}._T._T._Z", day.isoformat()] = n
                day += timedelta(days=1)

    def changes(self, indicator: str, counts: Counter[Key]) -> None:
        total = f"Q.{indicator}._T._T._T._Z"
        for (series, period), n in counts.items():
            if series == total:
                for name, quarters in (("QOQ", 1), ("YOY", 4)):
                    base = counts.get((series, before(period, quarters)))
                    if base:
                        self.values[f"Q.{indicator}_CHANGE_{name}._T._T._T._Z", period] = 100 * (n - base) / base

    def shares(self, indicator: str, counts: Counter[Key]) -> None:
        for (series, period), n in counts.items():
            freq, name, area, purpose, *_ = series.split(".")
            if (freq, name) != ("Q", indicator):
                continue
            total = counts[f"Q.{indicator}._T._T._T._Z", period]
            if purpose == "_T" and area not in ("_T", "EAEU"):
                self.values[f"Q.{indicator}_SHARE.{area}._T._T._Z", period] = 100 * n / total
            if area == "_T" and purpose != "_T":
                self.values[f"Q.ARRIVALS_PURPOSE_SHARE._T.{purpose}._T._Z", period] = 100 * n / total

    def contributions(self, counts: Counter[Key]) -> None:
        quarters = {period for series, period in counts if series == "Q.ARRIVALS._T._T._T._Z"}
        series_of = {s for s, _ in counts if s.startswith("Q.ARRIVALS.") and s.endswith("._T._T._Z")}
        for period in quarters:
            base = counts.get(("Q.ARRIVALS._T._T._T._Z", before(period, 1)))
            if not base:
                continue
            for series in series_of:
                area = series.split(".")[2]
                now, then = counts.get((series, period), 0), counts.get((series, before(period, 1)), 0)
                if area not in ("_T", "EAEU") and (now or then):
                    self.values[f"Q.ARRIVALS_CONTRIBUTION_QOQ.{area}._T._T._Z", period] = 100 * (now - then) / base

    def residence(self, records: list[dict[str, Any]]) -> None:
        counts: Counter[Key] = Counter()
        net: Counter[Key] = Counter()
        for r in records:
            day, arrives = date.fromisoformat(r["occurred_on"]), r["direction"] == "arrival"
            for freq, period in (("Q", quarter(day)), ("A", str(day.year))):
                net[f"{freq}.NET_MIGRATION._T._T._T._Z", period] += 1 if arrives else -1
                for area in ("_T", r["citizenship"] if arrives else r["counterpart"]):
                    for purpose in ("_T", r.get("purpose", "unspecified")) if arrives else ("_T",):
                        name = "RESIDENCE_ARRIVALS" if arrives else "RESIDENCE_DEPARTURES"
                        counts[f"{freq}.{name}.{area}.{purpose}._T._Z", period] += 1
        self.add(counts + Counter())
        self.values |= net
        for (series, period), n in counts.items():
            freq, name, area, purpose, *_ = series.split(".")
            if (name, area) == ("RESIDENCE_ARRIVALS", "_T") and purpose != "_T":
                share = 100 * n / counts[f"{freq}.RESIDENCE_ARRIVALS._T._T._T._Z", period]
                self.values[f"{freq}.RESIDENCE_PURPOSE_SHARE._T.{purpose}._T._Z", period] = share

    def emigration(self, records: list[dict[str, Any]]) -> None:
        counts: Counter[Key] = Counter()
        for r in records:
            day = date.fromisoformat(r["departed_on"])
            for freq, period in (("Q", quarter(day)), ("A", str(day.year))):
                for area in ("_T", r["destination"]):
                    counts[f"{freq}.LABOUR_EMIGRATION.{area}._T._T._Z", period] += 1
        self.add(counts)
        for (series, period), n in counts.items():
            base = counts.get((series, f"{int(period[:4]) - 1}{period[4:]}"))
            if series[2:] == "LABOUR_EMIGRATION._T._T._T._Z" and base:
                self.values[f"{series[0]}.LABOUR_EMIGRATION_CHANGE_YOY._T._T._T._Z", period] = 100 * (n - base) / base

    def stays(self, records: list[dict[str, Any]]) -> None:
        counts: Counter[Key] = Counter()
        for r in records:
            day = date.fromisoformat(r["arrived_on"])
            indicator = "FOREIGN_GUESTS" if r["kind"] == "guest" else "MEDICAL_VISITORS"
            for freq, period in (("Q", quarter(day)), ("A", str(day.year))):
                for area in ("_T", r["citizenship"]):
                    counts[f"{freq}.{indicator}.{area}._T._T._Z", period] += 1
        self.add(counts)
        for (series, period), n in counts.items():
            base = counts.get((series, f"{int(period[:4]) - 5}{period[4:]}"))
            if series.startswith("A.MEDICAL_VISITORS.") and base:
                area = series.split(".")[2]
                self.values[f"A.MEDICAL_VISITORS_RATIO_5Y.{area}._T._T._Z", period] = n / base

    def stock(self, indicator: str, spans: list[tuple[date, date, list[str]]], since: date) -> None:
        """`spans`: (first day, first day that no longer counts, margins that it belongs to)."""
        counts: Counter[Key] = Counter()
        for period, end in quarter_ends(since, self.today):
            for first, last, margins in spans:
                if first <= end < last:
                    for margin in margins:
                        counts[f"Q.{indicator}.{margin}._Z", period] += 1
        self.add(counts)

    def permits(self, records: list[dict[str, Any]]) -> None:
        issued: Counter[Key] = Counter()
        spans = []
        for r in records:
            first, last = date.fromisoformat(r["valid_from"]), date.fromisoformat(r["valid_to"]) + timedelta(days=1)
            if r.get("revoked_on"):
                last = min(last, date.fromisoformat(r["revoked_on"]))
            margins = ["_T._T._T", f"{r['citizenship']}._T._T", f"_T._T.{r['category']}"]
            for freq, period in (("Q", quarter(first)), ("A", str(first.year))):
                for margin in margins:
                    issued[f"{freq}.PERMITS_ISSUED.{margin}._Z", period] += 1
            spans.append((first, last, [*margins, *(["EAEU._T._T"] if r["citizenship"] in EAEU else [])]))
        self.add(issued)
        self.stock("PERMITS_IN_FORCE", spans, min(first for first, _, _ in spans))
        series = "Q.PERMITS_IN_FORCE._T._T._T._Z"
        for period in [p for s, p in self.values if s == series]:
            base = self.values.get((series, before(period, 4)))
            if base:
                self.values["Q.PERMITS_IN_FORCE_CHANGE_YOY._T._T._T._Z", period] = 100 * (self.values[series, period] - base) / base

    def students(self, records: list[dict[str, Any]]) -> None:
        spans, institutions = [], defaultdict(list)
        for r in records:
            first = date.fromisoformat(r["enrolled_on"])
            last = date.fromisoformat(r["ended_on"]) if r.get("ended_on") else date.max
            margins = ["_T._T._T", f"{r['citizenship']}._T._T", f"_T._T.{r['level']}"]
            spans.append((first, last, margins if r["citizenship"] != "KZ" else []))
            if r.get("branch_of"):
                institutions[r["institution"]].append((first, last))
        since = min(first for first, _, _ in spans)
        self.stock("FOREIGN_STUDENTS", spans, since)
        for period, end in quarter_ends(since, self.today):
            n = sum(any(first <= end < last for first, last in of) for of in institutions.values())
            if n:
                self.values["Q.FOREIGN_BRANCHES._T._T._T._Z", period] = n


# These come from reference figures, or by formulas that the golden figures above check.
ELSEWHERE = {
    "INFORMAL_SHARE", "INFORMAL_WORKERS", "FOREIGN_STUDENTS_TARGET", "FOREIGN_STUDENTS_GAP", "FOREIGN_STUDENTS_GROWTH_REQUIRED",
}  # fmt: skip


def sample(keys: Iterable[Key]) -> list[Key]:
    return sorted(keys)[:10]


def test_every_series_is_what_the_files_say_and_there_are_no_others(stack: Stack, rows: dict[Key, dict[str, str]]) -> None:
    expected = Oracle(stack.events, date.fromisoformat(stack.day)).values
    published = {k: float(row["OBS_VALUE"]) for k, row in rows.items() if k[0].split(".")[1] not in ELSEWHERE}
    assert sample(expected.keys() - published.keys()) == [], "missing"
    assert sample(published.keys() - expected.keys()) == [], "surplus"
    assert {k: v for k, v in published.items() if v != pytest.approx(expected[k], rel=1e-12, abs=1e-9)} == {}
    assert len(published) > 1000, "the sample has figures enough to be wrong in"


def test_the_export_as_json_has_the_same_rows(stack: Stack, rows: dict[Key, dict[str, str]]) -> None:
    objects = json.loads(stack.tolqyn("export", "--format", "json"))
    assert len(objects) == len(rows)
    for row in objects:
        line = rows[".".join(row[d] for d in DIMENSIONS), row["TIME_PERIOD"]]
        assert float(line["OBS_VALUE"]) == row["OBS_VALUE"]
