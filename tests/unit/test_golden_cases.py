"""Golden cases: local days and quarters where they are easy to get wrong, from the agency's own text to the published figure.

Every case states its figures by hand, and an oracle in plain Python (zoneinfo, one record at a time) must state the same. It shares
no code with the services.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schemas.feeds import FEEDS
from services.shared.ingest.calendar_rules import latest
from services.shared.ingest.edge import Edge
from services.shared.ingest.refusal import Refusal
from tests.unit.chain import KEY_ID, SECRET, Chain, milliseconds

ALMATY = ZoneInfo("Asia/Almaty")
LATER = "2026-01-15T12:00:00+05:00"
CROSSING = {"direction": "arrival", "citizenship": "UZ", "counterpart": "UZ", "mode": "road", "checkpoint": "KZ-SARYAGASH"}
PERMIT = {"citizenship": "CN", "category": "2", "region": "KZ-75", "sector": "F", "employer": "980540000123"}
ENROLMENT = {"citizenship": "IN", "institution": "KazNU", "level": "bachelor", "field": "09"}
LEAVING = {"destination": "KR", "channel": "organised"}

Figures = dict[str, dict[str, float]]


# --- the oracle --------------------------------------------------------------------------------------------------------------


def quarter(day: date) -> str:
    return f"{day.year}-Q{(day.month + 2) // 3}"


def quarter_ends(first: date, today: date) -> Iterator[tuple[str, date]]:
    """(quarter, its last day, or yesterday while it is open)."""
    day = date(first.year, (first.month - 1) // 3 * 3 + 1, 1)
    while day <= today:
        after = date(day.year + day.month // 10, (day.month + 2) % 12 + 1, 1)
        yield quarter(day), min(after, today) - timedelta(days=1)
        day = after


def spans(feed: str, standing: list[dict[str, Any]]) -> Iterator[tuple[date, date]]:
    """(first day, first day on which it no longer counts) of each permit or enrolment."""
    for r in standing:
        if feed == "work-permits":
            last = date.fromisoformat(r["valid_to"]) + timedelta(days=1)
            yield date.fromisoformat(r["valid_from"]), min(last, date.fromisoformat(r.get("revoked_on", "9999-12-31")))
        else:
            yield date.fromisoformat(r["enrolled_on"]), date.fromisoformat(r.get("ended_on", "9999-12-31"))


class Case:
    """A chain and everything that was sent into it; `now` is when the last of it was appended."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.sent: dict[tuple[str, str], dict[str, Any]] = {}
        self.now = LATER
        self._ids = itertools.count(1)

    def send(self, feed: str, *records: dict[str, Any], at: str = LATER) -> "Case":
        """Send a file; records without an id or a version get a new id and version 1."""
        lines = []
        for record in records:
            whole = {"record_id": f"r{next(self._ids)}", "version": 1, **record}
            lines.append(json.dumps(whole).encode())
            known = self.sent.get((feed, whole["record_id"]))
            if known is None or whole["version"] > known["version"]:
                self.sent[feed, whole["record_id"]] = whole
        self.chain.send(feed, lines, at)
        self.now = at
        return self

    def _standing(self, feed: str) -> list[dict[str, Any]]:
        return [r for (name, _), r in self.sent.items() if name == feed and r.get("action") != "withdraw"]

    def counted(self) -> dict[str, Counter[str]]:
        """What the words of the contract say of the totals of everything sent."""
        found: dict[str, Counter[str]] = {}
        days = [datetime.fromisoformat(r["occurred_at"]).astimezone(ALMATY).date() for r in self._standing("border-crossings")]
        found["Q.ARRIVALS"] = Counter(quarter(day) for day in days)
        found["A.ARRIVALS"] = Counter(str(day.year) for day in days)
        found["D.ARRIVALS"] = Counter()
        if days:
            end = min(days) + timedelta(days=90)
            while end <= max(days):
                found["D.ARRIVALS"][end.isoformat()] = sum(end - timedelta(days=91) < day <= end for day in days)
                end += timedelta(days=1)
        gone = [date.fromisoformat(r["departed_on"]) for r in self._standing("labour-emigration")]
        found["Q.LABOUR_EMIGRATION"] = Counter(quarter(day) for day in gone)
        issued = [date.fromisoformat(r["valid_from"]) for r in self._standing("work-permits")]
        found["Q.PERMITS_ISSUED"] = Counter(quarter(day) for day in issued)
        today = datetime.fromisoformat(self.now).astimezone(ALMATY).date()
        for feed, series in (("work-permits", "Q.PERMITS_IN_FORCE"), ("student-enrolments", "Q.FOREIGN_STUDENTS")):
            found[series] = Counter()
            open_ones = list(spans(feed, self._standing(feed)))
            for period, end in quarter_ends(min((first for first, _ in open_ones), default=today), today):
                found[series][period] = sum(first <= end < last for first, last in open_ones)
        return {series: +counts for series, counts in found.items()}

    def gives(self, **figures: Mapping[str, float]) -> None:
        """The named totals are exactly these (`Q_ARRIVALS`: of each quarter), and every total is what the oracle says."""
        published = {series: self.chain.values(series) for series in self.counted()}
        for name, values in figures.items():
            assert published[name.replace("_", ".", 1)] == values, name
        assert published == self.counted()


def crossing(at: str, **other: Any) -> dict[str, Any]:
    return {**CROSSING, "occurred_at": at, **other}


def permit(first: str, last: str, **other: Any) -> dict[str, Any]:
    return {**PERMIT, "valid_from": first, "valid_to": last, **other}


def enrolment(since: str, **other: Any) -> dict[str, Any]:
    return {**ENROLMENT, "enrolled_on": since, **other}


# --- the night of 2024-02-29, from UTC+6 to UTC+5 ----------------------------------------------------------------------------


def test_local_days_are_right_across_29_february_and_1_march_2024_from_utc_plus_6_to_plus_5() -> None:
    case = Case().send("border-crossings", *[crossing("2023-12-01T12:00:00+06:00")] * 2)
    case.send(
        "border-crossings",
        crossing("2024-02-28T17:59:59.999Z"),  # 28 February, its last millisecond at +6
        crossing("2024-02-28T18:00:00.000Z"),  # midnight at +6: 29 February
        crossing("2024-02-29T17:59:59.999Z"),  # 23:59:59.999 for the first time
        crossing("2024-02-29T18:00:00.000Z"),  # the clock went back: 23:00 again, at +5
        crossing("2024-02-29T18:59:59.999Z"),  # 23:59:59.999 for the second time
        crossing("2024-02-29T19:00:00.000Z"),  # midnight at +5: 1 March
    )
    assert case.chain.day_of("border-crossings", "arrival|UZ|UZ|unspecified") == {
        "2023-12-01": 2, "2024-02-28": 1, "2024-02-29": 4, "2024-03-01": 1,
    }  # fmt: skip
    case.gives(D_ARRIVALS={"2024-02-29": 7, "2024-03-01": 6}, Q_ARRIVALS={"2023-Q4": 2, "2024-Q1": 6})


def test_29_february_2024_had_twenty_five_hours_and_the_days_beside_it_twenty_four() -> None:
    start = datetime(2024, 2, 27, 18, tzinfo=UTC)
    case = Case().send("border-crossings", *(crossing((start + timedelta(minutes=15 * n)).isoformat()) for n in range(4 * 73)))
    days = case.chain.day_of("border-crossings", "arrival|UZ|UZ|unspecified")
    assert days == {"2024-02-28": 4 * 24, "2024-02-29": 4 * 25, "2024-03-01": 4 * 24}
    case.gives(Q_ARRIVALS={"2024-Q1": 4 * 73})


def test_quarters_end_at_midnight_of_plus_6_before_the_change_and_of_plus_5_after_it() -> None:
    Case().send(
        "border-crossings",
        crossing("2023-12-31T17:59:59.999Z"),
        crossing("2023-12-31T18:00:00.000Z"),  # midnight at +6: the first quarter begins
        crossing("2023-12-31T19:00:00.000Z"),
        crossing("2024-03-31T18:00:00.000Z"),  # 23:00 at +5: it would be April at +6
        crossing("2024-03-31T18:59:59.999Z"),
        crossing("2024-03-31T19:00:00.000Z"),
    ).gives(Q_ARRIVALS={"2023-Q4": 1, "2024-Q1": 4, "2024-Q2": 1}, A_ARRIVALS={"2023": 1, "2024": 5})


@pytest.mark.parametrize("offset", ["+06:00", "+05:00", "+00:00", "-08:00", "+05:30"])
def test_the_offset_in_which_an_agency_writes_moves_no_crossing_to_another_day(offset: str) -> None:
    zone = datetime.fromisoformat(f"2024-01-01T00:00:00{offset}").tzinfo
    moments = ("2024-02-29T18:59:59.999+00:00", "2024-02-29T19:00:00.000+00:00")
    written = [datetime.fromisoformat(m).astimezone(zone).isoformat(timespec="milliseconds") for m in moments]
    case = Case().send("border-crossings", *(crossing(text) for text in written))
    assert case.chain.day_of("border-crossings", "arrival|UZ|UZ|unspecified") == {"2024-02-29": 1, "2024-03-01": 1}


# --- leap days ---------------------------------------------------------------------------------------------------------------


def test_a_leap_day_counts_in_its_quarter_and_the_rolling_quarter_that_begins_on_it_has_91_days() -> None:
    case = Case().send(
        "border-crossings", *(crossing(f"{day}T12:00:00+05:00") for day in ("2024-02-29", "2024-05-29", "2024-05-30"))
    )
    case.send("labour-emigration", *({**LEAVING, "departed_on": day} for day in ("2024-02-29", "2024-03-31", "2024-04-01")))
    case.gives(
        Q_ARRIVALS={"2024-Q1": 1, "2024-Q2": 2},
        D_ARRIVALS={"2024-05-29": 2, "2024-05-30": 2},
        Q_LABOUR_EMIGRATION={"2024-Q1": 2, "2024-Q2": 1},
    )


def test_a_permit_of_a_leap_day_counts_as_issued_and_ends_before_its_quarter_does() -> None:
    Case().send("work-permits", permit("2024-02-29", "2024-02-29"), permit("2024-02-29", "2025-02-28")).gives(
        Q_PERMITS_ISSUED={"2024-Q1": 2}, Q_PERMITS_IN_FORCE=dict.fromkeys(("2024-Q1", "2024-Q2", "2024-Q3", "2024-Q4"), 1)
    )


@pytest.mark.parametrize(
    ("day", "there"), [("2000-02-29", True), ("2024-02-29", True), ("2023-02-29", False), ("2100-02-29", False)]
)
def test_a_leap_day_is_taken_in_leap_years_and_refused_in_others(day: str, there: bool) -> None:
    edge = Edge(FEEDS["work-permits"], SECRET, KEY_ID)
    record = json.dumps({"record_id": "r", **permit("2000-01-01", day)}).encode()
    assert isinstance(edge.check(record, latest(milliseconds(LATER))), Refusal) != there


# --- the last millisecond of a quarter ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "period"),
    [
        ("2025-06-30T23:59:59.999+05:00", "2025-Q2"),
        ("2025-06-30T23:59:59.999999999+05:00", "2025-Q2"),  # cut off, not rounded up
        ("2025-06-30T18:59:59.999Z", "2025-Q2"),
        ("2025-07-01T00:00:00+05:00", "2025-Q3"),
        ("2025-06-30T19:00:00.000Z", "2025-Q3"),
        ("2025-12-31T23:59:59.999+05:00", "2025-Q4"),
        ("2025-12-31T19:00:00.000Z", "2026-Q1"),
    ],
)
def test_the_last_millisecond_of_a_quarter_belongs_to_it_and_the_next_does_not(written: str, period: str) -> None:
    Case().send("border-crossings", crossing(written)).gives(Q_ARRIVALS={period: 1})


@pytest.mark.parametrize(
    ("appended", "in_force"),
    [
        ("2025-06-30T23:59:59.999+05:00", {}),  # the day is not over: the stock is that of 29 June
        ("2025-07-01T00:00:00.000+05:00", {"2025-Q2": 1, "2025-Q3": 1}),  # over: that of 30 June, of the new quarter too
    ],
)
def test_a_stock_becomes_that_of_the_quarter_s_end_when_its_last_millisecond_is_over(
    appended: str, in_force: dict[str, float]
) -> None:
    Case().send("work-permits", permit("2025-06-30", "2025-07-31"), at=appended).gives(
        Q_PERMITS_ISSUED={"2025-Q2": 1}, Q_PERMITS_IN_FORCE=in_force
    )


# --- a permit valid for one day ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "in_force"), [("2025-03-30", {}), ("2025-03-31", {"2025-Q1": 1}), ("2025-04-01", {}), ("2025-06-30", {"2025-Q2": 1})]
)
def test_a_permit_valid_for_one_day_is_in_force_at_a_quarter_s_end_only_if_it_is_that_day(
    day: str, in_force: dict[str, float]
) -> None:
    issued = {quarter(date.fromisoformat(day)): 1.0}
    Case().send("work-permits", permit(day, day)).gives(Q_PERMITS_ISSUED=issued, Q_PERMITS_IN_FORCE=in_force)


def test_a_permit_valid_for_one_day_and_revoked_on_it_is_issued_and_never_in_force() -> None:
    Case().send("work-permits", permit("2025-03-31", "2025-03-31", revoked_on="2025-03-31")).gives(
        Q_PERMITS_ISSUED={"2025-Q1": 1}, Q_PERMITS_IN_FORCE={}
    )


# --- enrolments without an end -----------------------------------------------------------------------------------------------


def test_an_open_ended_enrolment_stands_at_every_quarter_s_end_since_and_in_the_open_quarter_as_of_yesterday() -> None:
    case = Case().send("student-enrolments", enrolment("2024-12-31"), at="2025-05-05T12:00:00+05:00")
    case.gives(Q_FOREIGN_STUDENTS={"2024-Q4": 1, "2025-Q1": 1, "2025-Q2": 1})
    case.send("student-enrolments", enrolment("2025-05-05"), at="2025-05-05T23:59:59.999+05:00")
    case.gives(Q_FOREIGN_STUDENTS={"2024-Q4": 1, "2025-Q1": 1, "2025-Q2": 1})
    case.send("student-enrolments", enrolment("2025-05-06"), at="2025-05-06T00:00:00+05:00")
    case.gives(Q_FOREIGN_STUDENTS={"2024-Q4": 1, "2025-Q1": 1, "2025-Q2": 2})


def test_an_open_ended_enrolment_that_is_given_an_end_leaves_the_quarters_from_that_end_on_and_may_be_opened_again() -> None:
    case = Case().send("student-enrolments", enrolment("2024-09-01", record_id="e"))
    since = {"2024-Q3": 1, "2024-Q4": 1}
    year = {"2025-Q1": 1, "2025-Q2": 1, "2025-Q3": 1, "2025-Q4": 1, "2026-Q1": 1}
    case.gives(Q_FOREIGN_STUDENTS=since | year)
    case.send("student-enrolments", enrolment("2024-09-01", record_id="e", version=2, ended_on="2025-06-30", outcome="graduated"))
    case.gives(Q_FOREIGN_STUDENTS=since | {"2025-Q1": 1})  # it ended on the last day: that day it no longer counts
    case.send("student-enrolments", enrolment("2024-09-01", record_id="e", version=3, ended_on="2025-07-01", outcome="graduated"))
    case.gives(Q_FOREIGN_STUDENTS=since | {"2025-Q1": 1, "2025-Q2": 1})
    case.send("student-enrolments", enrolment("2024-09-01", record_id="e", version=4))
    case.gives(Q_FOREIGN_STUDENTS=since | year)


# --- a permit corrected across a quarter's boundary --------------------------------------------------------------------------

FIRST = permit("2025-03-31", "2025-07-15", record_id="p")
CORRECTED = permit("2025-04-01", "2025-06-29", record_id="p", version=2)


def test_a_permit_corrected_across_a_quarter_boundary_leaves_the_old_quarter_and_enters_the_new_one() -> None:
    case = Case().send("work-permits", FIRST, permit("2025-01-10", "2025-12-31"))
    case.gives(Q_PERMITS_ISSUED={"2025-Q1": 2}, Q_PERMITS_IN_FORCE={"2025-Q1": 2, "2025-Q2": 2, "2025-Q3": 1, "2025-Q4": 1})
    case.send("work-permits", CORRECTED)
    corrected = {"2025-Q1": 1, "2025-Q2": 1, "2025-Q3": 1, "2025-Q4": 1}
    case.gives(Q_PERMITS_ISSUED={"2025-Q1": 1, "2025-Q2": 1}, Q_PERMITS_IN_FORCE=corrected)
    case.send("work-permits", {**CORRECTED, "version": 3, "citizenship": "TR"})  # another cell on the same days
    case.gives(Q_PERMITS_ISSUED={"2025-Q1": 1, "2025-Q2": 1}, Q_PERMITS_IN_FORCE=corrected)
    case.send("work-permits", {"record_id": "p", "version": 4, "action": "withdraw"})
    case.gives(Q_PERMITS_ISSUED={"2025-Q1": 1}, Q_PERMITS_IN_FORCE=corrected)


def test_a_permit_corrected_across_a_quarter_boundary_counts_the_same_if_the_correction_comes_first_or_twice() -> None:
    forward = Case().send("work-permits", FIRST).send("work-permits", CORRECTED)
    backward = Case().send("work-permits", CORRECTED, CORRECTED).send("work-permits", FIRST, CORRECTED)
    for case in (forward, backward):
        case.gives(Q_PERMITS_ISSUED={"2025-Q2": 1}, Q_PERMITS_IN_FORCE={})
    assert forward.chain.snapshot().observations == backward.chain.snapshot().observations
