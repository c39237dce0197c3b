"""What the simulated files add up to, by an oracle: the published figures of 2025-Q1 and Q2, exactly."""

import json
from collections import Counter
from typing import Any

import pytest
from pydantic import TypeAdapter

from schemas.feeds import FEEDS

Records = dict[str, list[dict[str, Any]]]

CIS = {"AM", "AZ", "BY", "KG", "MD", "RU", "TJ", "TM", "UZ"}
EAEU = {"AM", "BY", "KG", "RU"}
NEAR = CIS | {"GE", "UA", "XX", "KZ"}


def crossings(records: Records, period: str, direction: str, citizens: bool = False) -> list[dict[str, Any]]:
    months = {"2025-Q1": ("01", "02", "03"), "2025-Q2": ("04", "05", "06")}[period]
    return [
        record
        for record in records["border-crossings"]
        if record["direction"] == direction
        and record["occurred_at"][:4] == "2025"
        and record["occurred_at"][5:7] in months
        and (record["citizenship"] == "KZ") == citizens
    ]


def in_force(records: Records, day: str) -> list[dict[str, Any]]:
    return [
        permit
        for permit in records["work-permits"]
        if permit["valid_from"] <= day <= permit["valid_to"] and not permit.get("revoked_on", "9999") <= day
    ]


def enrolled(records: Records, day: str) -> list[dict[str, Any]]:
    return [
        enrolment
        for enrolment in records["student-enrolments"]
        if enrolment["enrolled_on"] <= day < enrolment.get("ended_on", "9999")
    ]


@pytest.mark.parametrize(
    ("period", "direction", "total"),
    [
        ("2025-Q1", "arrival", 30775),
        ("2025-Q2", "arrival", 43700),
        ("2025-Q1", "departure", 31818),
        ("2025-Q2", "departure", 42000),
    ],
)
def test_crossings_of_foreigners_are_a_hundredth_of_the_published_total(
    records: Records, period: str, direction: str, total: int
) -> None:
    assert len(crossings(records, period, direction)) == total


def test_shares_of_arrivals_are_the_published_ones_exactly(records: Records) -> None:
    by_citizenship = Counter(record["citizenship"] for record in crossings(records, "2025-Q2", "arrival"))
    assert [by_citizenship[code] * 100 / 43700 for code in ("UZ", "RU", "KG")] == [36, 23, 22]
    assert sum(by_citizenship[code] for code in CIS) * 100 / 43700 == 89


def test_shares_of_departures_by_destination_are_the_published_ones_exactly(records: Records) -> None:
    by_destination = Counter(record["counterpart"] for record in crossings(records, "2025-Q2", "departure"))
    assert [by_destination[code] * 100 / 42000 for code in ("UZ", "KG", "RU")] == [35, 23, 22]
    assert sum(count for code, count in by_destination.items() if code not in NEAR) * 100 / 42000 == 12


def test_the_citizenship_of_those_who_leave_is_mostly_but_not_always_that_of_the_destination(records: Records) -> None:
    leaving = crossings(records, "2025-Q2", "departure")
    own = sum(record["citizenship"] == record["counterpart"] for record in leaving)
    assert 0.8 < own / len(leaving) < 0.95


def test_citizens_of_kazakhstan_cross_too_and_are_not_among_the_foreigners(records: Records) -> None:
    counts = {
        (period, direction): len(crossings(records, period, direction, citizens=True))
        for period in ("2025-Q1", "2025-Q2")
        for direction in ("arrival", "departure")
    }
    assert list(counts.values()) == [615, 636, 850, 875]
    assert sum(counts.values()) + 30775 + 43700 + 31818 + 42000 == len(records["border-crossings"])


def test_every_purpose_occurs_and_unknown_citizens_have_no_employment(records: Records) -> None:
    for direction in ("arrival", "departure"):
        purposes = {record.get("purpose", "unspecified") for record in crossings(records, "2025-Q2", direction)}
        assert len(purposes) == 9
    unknown = [record for record in records["border-crossings"] if record["citizenship"] == "XX"]
    assert unknown
    assert all(record.get("purpose") != "employment" for record in unknown)


def test_the_employment_balance_of_those_who_need_a_permit_is_a_hundredth_of_190000(records: Records) -> None:
    balance: Counter[str] = Counter()
    for record in records["border-crossings"]:
        if record.get("purpose") == "employment" and record["citizenship"] not in EAEU | {"KZ"}:
            balance[record["citizenship"]] += 1 if record["direction"] == "arrival" else -1
    assert sum(max(0, count) for count in balance.values()) == 1900
    # Below the permits in force: at this scale the residual estimate is to be absent.
    assert len(in_force(records, "2025-06-30")) > 1900


def test_the_first_and_the_last_millisecond_of_each_quarter_occur_in_both_directions(records: Records) -> None:
    moments = {(record["occurred_at"], record["direction"]) for record in records["border-crossings"]}
    for first, last in (("2025-01-01", "2025-03-31"), ("2025-04-01", "2025-06-30")):
        for direction in ("arrival", "departure"):
            assert (f"{first}T00:00:00.000+05:00", direction) in moments
            assert (f"{last}T23:59:59.999+05:00", direction) in moments


def test_every_day_of_both_quarters_has_crossings_and_fridays_have_more_than_tuesdays(records: Records) -> None:
    by_day = Counter(record["occurred_at"][:10] for record in records["border-crossings"])
    assert len(by_day) == 181
    fridays, tuesdays = ("2025-05-09", "2025-05-16", "2025-05-23"), ("2025-05-06", "2025-05-13", "2025-05-20")
    assert sum(by_day[day] for day in fridays) > sum(by_day[day] for day in tuesdays)


@pytest.mark.parametrize(
    ("day", "stock"), [("2024-06-30", 13000), ("2024-12-31", 13870), ("2025-03-31", 14200), ("2025-06-30", 14820)]
)
def test_permits_in_force_are_the_stated_stock_on_each_date(records: Records, day: str, stock: int) -> None:
    assert len(in_force(records, day)) == stock


def test_permits_have_the_published_order_of_citizenships_and_structure_of_categories(records: Records) -> None:
    permits = in_force(records, "2025-06-30")
    leading = Counter(permit["citizenship"] for permit in permits).most_common(4)
    assert [code for code, _ in leading] == ["CN", "UZ", "IN", "TR"]
    assert len({count for _, count in leading}) == 4
    assert not EAEU & {permit["citizenship"] for permit in permits}
    published = {"1": 549, "2": 2258, "3": 3786, "4": 904, "seasonal": 2889, "transfer": 3744}
    categories = Counter(permit["category"] for permit in permits)
    assert all(abs(categories[code] - 14820 * count / 14130) <= 1 for code, count in published.items())


def test_permits_exercise_revocation_one_day_and_never_in_force_and_none_begins_later(records: Records) -> None:
    permits = records["work-permits"]
    assert sum(permit.get("revoked_on", "9999") <= permit["valid_from"] for permit in permits) == 60
    assert any(permit.get("revoked_on") == permit["valid_from"] for permit in permits)
    assert sum(permit["valid_from"] == permit["valid_to"] for permit in permits) >= 25
    assert any(permit.get("revoked_on", "") > "2025-06-30" for permit in permits)
    assert max(permit["valid_from"] for permit in permits) <= "2025-06-30"
    years = [int(permit["valid_to"][:4]) - int(permit["valid_from"][:4]) for permit in permits]
    assert max(years) <= 3


@pytest.mark.parametrize(("day", "stock"), [("2024-09-30", 32100), ("2025-03-31", 31720), ("2025-06-30", 31500)])
def test_foreign_students_are_the_stated_stock_on_each_date(records: Records, day: str, stock: int) -> None:
    assert sum(enrolment["citizenship"] != "KZ" for enrolment in enrolled(records, day)) == stock


def test_branches_with_an_open_enrolment_are_33_and_others_are_closed(records: Records) -> None:
    open_ones = {e["institution"] for e in enrolled(records, "2025-06-30") if "branch_of" in e}
    ever = {e["institution"] for e in records["student-enrolments"] if "branch_of" in e}
    assert (len(open_ones), len(ever)) == (33, 36)
    parents = {(e["institution"], e.get("branch_of")) for e in records["student-enrolments"]}
    assert len(parents) == len({institution for institution, _ in parents}), "a branch has one parent, ever"


def test_citizens_study_in_branches_and_only_there(records: Records) -> None:
    citizens = [e for e in enrolled(records, "2025-06-30") if e["citizenship"] == "KZ"]
    assert len(citizens) == 1800
    assert all("branch_of" in enrolment for enrolment in citizens)


def test_reference_figures_are_those_of_the_targets_and_the_scale(records: Records) -> None:
    figures = {record["figure"]: record for record in records["reference-figures"]}
    values = {code: (figure["period"], figure["value"], figure["unit"]) for code, figure in figures.items()}
    assert values == {
        "INFORMAL_SHARE": ("2024", 34, "percent"),
        "MIGRANT_WORKERS_STOCK": ("2024", 550000, "persons"),
        "FOREIGN_STUDENTS_TARGET": ("2029", 150000, "persons"),
        "SIMULATION_SCALE": ("2025-Q2", 0.01, "ratio"),
    }
    assert figures["INFORMAL_SHARE"]["sample_size"] == 1845
    assert figures["SIMULATION_SCALE"]["source"] == "tolqyn simulate"


@pytest.mark.parametrize("name", list(FEEDS))
def test_every_line_is_what_the_contract_of_its_feed_accepts(lines: dict[str, list[str]], name: str) -> None:
    adapter = TypeAdapter[dict[str, Any]](FEEDS[name].record)
    for line in lines[name]:
        record = json.loads(line)
        assert type(record["version"]) is int
        if record.get("action") != "withdraw":
            adapter.validator.validate_json(line)
            for order in FEEDS[name].orders:
                if order.later in record:
                    assert record[order.earlier] <= record[order.later]
                    assert not (order.strict and record[order.earlier] == record[order.later])


def of_year(records: Records, feed: str, field: str, year: str) -> list[dict[str, Any]]:
    return [record for record in records[feed] if record[field][:4] == year]


def test_more_moved_in_than_out_in_2024_by_the_published_number(records: Records) -> None:
    moved = Counter(record["direction"] for record in of_year(records, "residence-registrations", "occurred_on", "2024"))
    assert moved["arrival"] - moved["departure"] == 16500


def test_purposes_of_residence_of_2025_q2_round_to_the_printed_shares(records: Records) -> None:
    came = [
        r for r in records["residence-registrations"] if r["direction"] == "arrival" and "2025-04" <= r["occurred_on"] < "2025-07"
    ]
    purposes = Counter(record["purpose"] for record in came)
    assert [round(100 * purposes[p] / len(came)) for p in ("unspecified", "employment", "education")] == [85, 12, 4]


def test_labour_emigration_is_a_hundredth_of_the_published_numbers_with_the_published_order(records: Records) -> None:
    of = {year: of_year(records, "labour-emigration", "departed_on", year) for year in ("2023", "2024")}
    assert (len(of["2023"]), len(of["2024"])) == (1900, 1400)
    leading = Counter(record["destination"] for record in of["2024"]).most_common(5)
    assert [code for code, _ in leading] == ["RU", "KR", "TR", "AE", "GB"]


def test_stays_are_a_hundredth_of_the_published_numbers_and_patients_grow_as_printed(records: Records) -> None:
    kinds = {year: Counter(r["kind"] for r in of_year(records, "visitor-stays", "arrived_on", year)) for year in ("2021", "2024")}
    assert (kinds["2021"]["guest"], kinds["2024"]["guest"]) == (3300, 12000)
    patients = {
        year: Counter(r["citizenship"] for r in of_year(records, "visitor-stays", "arrived_on", year) if r["kind"] == "medical")
        for year in ("2019", "2024")
    }
    assert [patients["2024"][code] / patients["2019"][code] for code in ("CN", "IN", "TR")] == [24, 40, 3]
    assert patients["2024"].total() / patients["2019"].total() == 5


@pytest.mark.parametrize(
    ("year", "expected"), [("2024", {1: 8200, 2: 960, 3: 150, 4: 30, 5: 6}), ("2025", {1: 4100, 2: 390, 3: 48, 4: 7})]
)
def test_persons_are_found_at_work_exactly_as_often_as_stated(records: Records, year: str, expected: dict[int, int]) -> None:
    offences = of_year(records, "migration-violations", "occurred_on", year)
    times = Counter(record["person"] for record in offences if record["kind"].startswith("work_"))
    assert Counter(times.values()) == expected
    assert {record["kind"] for record in offences} > {"overstay", "other"}
    assert max(record["occurred_on"] for record in records["migration-violations"]) <= "2025-06-30"
