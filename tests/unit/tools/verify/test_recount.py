"""The recount in SQL against figures worked out by hand, and against the engine on logs that nobody would write by hand."""

import random
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest

from services.shared.runtime.postgres.store import Published
from services.shared.statistics.publication.plausibility import of_figures
from tests.unit.tools.verify.log_of import APPENDED, SAMPLES, Log, add_odd_records, engine, recounted
from tools.verify.compare import differences, of_figure
from tools.verify.recount import Figures, sql

NOW = datetime(2025, 7, 1, tzinfo=UTC)


def values(figures: Figures, period: str, *series: str) -> list[float | None]:
    """The values of some series in a period; None where there is no such figure."""
    return [figures[one, period].value if (one, period) in figures else None for one in series]


def arrivals(figures: Figures, period: str = "2025-Q2", area: str = "_T") -> float | None:
    return values(figures, period, f"Q.ARRIVALS.{area}._T._T._Z")[0]


def test_the_highest_version_counts_in_whatever_order_versions_come(tmp_path: Path) -> None:
    log = Log().add("border-crossings", "1", 3, citizenship="CN").add("border-crossings", "1", 2).add("border-crossings", "1", 1)
    figures = recounted(log, tmp_path)
    assert (arrivals(figures), arrivals(figures, area="CN"), arrivals(figures, area="UZ")) == (1, 1, None)


def test_of_equal_versions_the_first_in_the_log_counts(tmp_path: Path) -> None:
    log = Log().add("border-crossings", "1", citizenship="CN").add("border-crossings", "1", citizenship="TR")
    log.withdraw("border-crossings", "1", 1)
    figures = recounted(log, tmp_path)
    assert (arrivals(figures, area="CN"), arrivals(figures, area="TR")) == (1, None)


def test_without_versions_the_last_in_the_log_counts_and_below_every_version(tmp_path: Path) -> None:
    log = Log().add("border-crossings", "1", 0, citizenship="CN").add("border-crossings", "1", 0, citizenship="TR")
    log.add("border-crossings", "2", 0).withdraw("border-crossings", "2", 0)
    log.withdraw("border-crossings", "3", 0).add("border-crossings", "3", 0, citizenship="DE")
    log.add("border-crossings", "4", 1, citizenship="PL").withdraw("border-crossings", "4", 0).add("border-crossings", "4", 0)
    figures = recounted(log, tmp_path)
    counted = {area: arrivals(figures, area=area) for area in ("CN", "TR", "UZ", "DE", "PL")}
    assert counted == {"CN": None, "TR": 1, "UZ": None, "DE": 1, "PL": 1}


def test_a_withdrawal_that_comes_first_wins_over_lower_versions_only(tmp_path: Path) -> None:
    log = Log().withdraw("border-crossings", "gone", 2).add("border-crossings", "gone", 1)
    log.withdraw("border-crossings", "back", 2).add("border-crossings", "back", 3, citizenship="TR")
    log.add("border-crossings", "kept", 2, citizenship="CN").withdraw("border-crossings", "kept", 1)
    figures = recounted(log, tmp_path)
    assert (arrivals(figures, area="UZ"), arrivals(figures, area="TR"), arrivals(figures, area="CN")) == (None, 1, 1)


@pytest.mark.parametrize(
    ("instant", "period"),
    [
        ("2025-03-31T18:59:59.999Z", "2025-Q1"),  # the quarter's last millisecond at UTC+5
        ("2025-03-31T19:00:00.000Z", "2025-Q2"),
        ("2023-12-31T17:59:59.999Z", "2023-Q4"),  # and at UTC+6
        ("2023-12-31T18:00:00.000Z", "2024-Q1"),
        ("2003-06-30T16:59:59.999Z", "2003-Q2"),  # and in the summer of 2003, at UTC+7
        ("2003-06-30T17:00:00.000Z", "2003-Q3"),
    ],
)
def test_a_crossing_belongs_to_its_local_quarter_to_the_millisecond(tmp_path: Path, instant: str, period: str) -> None:
    figures = recounted(Log().add("border-crossings", "1", occurred_at=instant), tmp_path)
    assert arrivals(figures, period) == 1


def test_the_leap_day_on_which_the_clock_went_back_is_an_hour_longer(tmp_path: Path) -> None:
    log = Log().add("border-crossings", "1", occurred_at="2024-02-29T18:59:59.999Z")
    log.add("border-crossings", "first", occurred_at="2023-12-01T12:00:00.000Z")  # its 91 days end on 2024-02-29
    figures = recounted(log, tmp_path)
    assert values(figures, "2024-02-29", "D.ARRIVALS._T._T._T._Z") == [2]
    figures = recounted(log.add("border-crossings", "2", occurred_at="2024-02-29T19:00:00.000Z"), tmp_path / "again")
    assert values(figures, "2024-03-01", "D.ARRIVALS._T._T._T._Z") == [2], "the first of the 91 days is out"


def test_local_days_are_those_of_the_time_zone_database_around_every_change() -> None:
    database = duckdb.connect(":memory:")
    database.execute(sql("rules"))
    hourly = "generate_series(TIMESTAMP '2000-01-01', TIMESTAMP '2030-01-01', INTERVAL 1 HOUR)"
    hours = database.execute(f"SELECT t, local_day(t) FROM (SELECT unnest({hourly}) AS t)").fetchall()
    almaty, utc = ZoneInfo("Asia/Almaty"), ZoneInfo("UTC")
    assert all(t.replace(tzinfo=utc).astimezone(almaty).date() == day for t, day in hours)


PERMITS = "Q.PERMITS_IN_FORCE._T._T._T._Z", "Q.PERMITS_ISSUED._T._T._T._Z"


def test_a_permit_is_in_force_on_its_last_day_and_not_on_the_next(tmp_path: Path) -> None:
    log = Log().add("work-permits", "1", valid_to="2025-03-31").add("work-permits", "2", valid_to="2025-03-30")
    figures = recounted(log, tmp_path)
    assert values(figures, "2025-Q1", *PERMITS) == [1, 2]
    assert values(figures, "2025-Q2", *PERMITS) == [None, None]


def test_a_permit_of_one_day_counts_on_that_day(tmp_path: Path) -> None:
    figures = recounted(Log().add("work-permits", "1", valid_from="2025-03-31", valid_to="2025-03-31"), tmp_path)
    assert values(figures, "2025-Q1", *PERMITS) == [1, 1]


def test_a_permit_revoked_before_it_began_was_issued_and_never_in_force(tmp_path: Path) -> None:
    log = Log().add("work-permits", "1", revoked_on="2024-12-01").add("work-permits", "2", revoked_on="2025-03-31")
    figures = recounted(log, tmp_path)
    assert values(figures, "2025-Q1", *PERMITS) == [None, 2]


def test_the_open_quarter_shows_the_stock_of_the_newest_past_day(tmp_path: Path) -> None:
    log = (
        Log()
        .add("work-permits", "1", valid_to="2025-12-31")
        .add("work-permits", "2", valid_from="2025-07-01", valid_to="2025-12-31")
    )
    figures = recounted(log, tmp_path)
    assert values(figures, "2025-Q3", *PERMITS) == [1, 1], "today, the first of July, is not past"
    assert values(figures, "2025-Q4", *PERMITS) == [None, None]


def test_a_branch_is_counted_once_however_many_enrol_there_citizens_too(tmp_path: Path) -> None:
    log = Log().add("student-enrolments", "1", citizenship="KZ").add("student-enrolments", "2", citizenship="KZ")
    log.add("student-enrolments", "3", branch_of=None, institution="OTHER")
    log.add("student-enrolments", "4", institution="CLOSED", ended_on="2025-06-30")
    figures = recounted(log, tmp_path)
    series = "Q.FOREIGN_BRANCHES._T._T._T._Z", "Q.FOREIGN_STUDENTS._T._T._T._Z"
    assert values(figures, "2025-Q1", *series) == [2, 2]
    assert values(figures, "2025-Q2", *series) == [1, 1]


def test_changes_shares_and_contributions_follow_from_counts(tmp_path: Path) -> None:
    log = Log()
    for n, (citizenship, month) in enumerate([("UZ", 2), ("UZ", 2), ("CN", 2), ("UZ", 5), ("KG", 5)] + [("KG", 6)] * 4):
        log.add("border-crossings", str(n), citizenship=citizenship, occurred_at=f"2025-0{month}-10T10:00:00.000Z")
    figures = recounted(log, tmp_path)
    assert values(figures, "2025-Q2", "Q.ARRIVALS_CHANGE_QOQ._T._T._T._Z") == [100]
    assert values(figures, "2025-Q1", "Q.ARRIVALS_CHANGE_QOQ._T._T._T._Z") == [None]
    shares = [f"Q.ARRIVALS_SHARE.{area}._T._T._Z" for area in ("CIS", "UZ", "CN", "EAEU", "_T")]
    assert values(figures, "2025-Q2", *shares) == [100, pytest.approx(100 / 6), None, None, None]
    areas = ("UZ", "KG", "CN", "CIS", "FAR_ABROAD")
    contributions = values(figures, "2025-Q2", *(f"Q.ARRIVALS_CONTRIBUTION_QOQ.{area}._T._T._Z" for area in areas))
    assert contributions == pytest.approx([-100 / 3, 500 / 3, -100 / 3, 400 / 3, -100 / 3])


def test_the_residual_needs_more_workers_than_permits(tmp_path: Path) -> None:
    log = Log()
    for n in range(9):
        log.add("border-crossings", str(n), citizenship="CN", direction="departure" if n == 8 else "arrival")
    for n in range(3):
        log.add("work-permits", str(n), valid_to="2025-05-31")
    log.add("border-crossings", "eaeu", citizenship="KG")
    figures = recounted(log, tmp_path)
    workers = figures["Q.INFORMAL_WORKERS._T._T._T.RESIDUAL", "2025-Q2"]
    assert (workers.value, workers.lower, workers.upper) == pytest.approx((7, 7 - 1.959964 * 3, 7 + 1.959964 * 3))
    assert (workers.status, workers.unit) == ("E", "persons")
    assert values(figures, "2025", "A.INFORMAL_SHARE._T._T._T.RESIDUAL") == [100]


def test_persons_found_are_counted_once_each_and_estimated_by_the_year(tmp_path: Path) -> None:
    log = Log()
    for n, person in enumerate("aaabbcd"):  # f1 = 2, f2 = 1, f3 = 1
        log.add("migration-violations", str(n), person=person * 32, citizenship="UZ" if n else "KG")
    log.add("migration-violations", "other", kind="overstay", person="e" * 32)
    log.add("migration-violations", "gone", person="e" * 32).withdraw("migration-violations", "gone", 2)
    figures = recounted(log, tmp_path)
    workers = figures["A.INFORMAL_WORKERS._T._T._T.CHAO", "2025"]
    assert (workers.value, workers.status) == (6, "E")
    # Persons above 0 with a mean of 7 / 4: the rate 1.247222 has it, and then 1 - e^-1.247222 of all are found.
    assert values(figures, "2025", "A.INFORMAL_WORKERS._T._T._T.TRUNCATED_POISSON") == [pytest.approx(4 / 0.712698, rel=1e-5)]
    assert_as_the_engine_says(log, tmp_path / "again")


def test_what_was_appended_last_says_what_day_it_is_whatever_it_is_worth(tmp_path: Path) -> None:
    log = Log().add("work-permits", "1", valid_to="2026-12-31")
    log.raw("border-crossings", b"odd/1", b"not JSON", at=APPENDED + 92 * 86_400_000)
    assert values(recounted(log, tmp_path), "2025-Q4", PERMITS[0]) == [1]


def assert_as_the_engine_says(log: Log, folder: Path) -> None:
    theirs = engine(log.records()).observations
    published = {key: Published(*observation, as_of=1, published_at=NOW) for key, observation in theirs.items()}
    compared, found = differences(published, {key: of_figure(f) for key, f in recounted(log, folder).items()}, {}, None)
    assert compared == len(theirs)
    assert [str(difference) for difference in found if difference.wrong] == []
    assert of_figures(theirs) == []  # countries add up to their totals, quarters to their years, and so on


def test_odd_records_count_for_verify_exactly_where_they_count_for_the_engine(tmp_path: Path) -> None:
    log = Log()
    counting = add_odd_records(log)
    log.raw("reference-figures", b"\xff\xfe", b'{"record_id":"x","version":1,"action":"record"}')
    assert counting == 24
    assert_as_the_engine_says(log, tmp_path)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_log_gives_the_same_figures_by_both_paths(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    log, countries = Log(), ["UZ", "RU", "KG", "CN", "DE", "XX", "GE", "KZ"]

    def day(first: int, last: int) -> str:
        return f"{rng.randint(first, last)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"

    for _ in range(1500):
        record, version = f"r{rng.randrange(400)}", rng.choice([0, 0, 0, 1, 2, 3, 4])
        feed = rng.choice(["border-crossings"] * 4 + [*SAMPLES][1:])
        if rng.random() < 0.1:
            log.withdraw(feed, record, version)
        elif feed == "border-crossings":
            log.add(
                feed, record, version, occurred_at=f"{day(2023, 2025)}T{rng.randint(10, 23)}:59:59.999Z",
                citizenship=rng.choice(countries), counterpart=rng.choice(countries),
                direction=rng.choice(["arrival", "departure"]), purpose=rng.choice(["employment", "transit"]),
            )  # fmt: skip
        elif feed == "residence-registrations":
            log.add(
                feed, record, version, occurred_on=day(2023, 2025), direction=rng.choice(["arrival", "departure"]),
                citizenship=rng.choice(countries), counterpart=rng.choice(countries), purpose=rng.choice(["employment", "transit"]),
            )  # fmt: skip
        elif feed == "labour-emigration":
            log.add(feed, record, version, departed_on=day(2022, 2024), destination=rng.choice(countries))
        elif feed == "visitor-stays":
            log.add(
                feed, record, version, arrived_on=day(2018, 2025), citizenship=rng.choice(countries),
                kind=rng.choice(["guest", "medical", "medical"]),
            )  # fmt: skip
        elif feed == "migration-violations":
            log.add(
                feed, record, version, occurred_on=day(2024, 2025), citizenship=rng.choice(countries),
                kind=rng.choice(["work_without_permit", "work_without_contract", "overstay"]), person=rng.choice("abcdef0123") * 32,
            )  # fmt: skip
        elif feed == "work-permits":
            log.add(
                feed, record, version, valid_from=day(2023, 2024), valid_to=day(2024, 2026), category=rng.choice(["1", "seasonal"]),
                revoked_on=rng.choice([None, day(2023, 2026)]), citizenship=rng.choice(countries),
            )  # fmt: skip
        elif feed == "student-enrolments":
            log.add(
                feed, record, version, enrolled_on=day(2022, 2023), ended_on=rng.choice([None, day(2024, 2026)]),
                citizenship=rng.choice(countries), branch_of=rng.choice([None, "RU"]), institution=rng.choice(["A", 'B|"\\', "Ә"]),
            )  # fmt: skip
        else:
            figure, value, period = rng.choice(
                [("INFORMAL_SHARE", 31.5, "2024"), ("INFORMAL_SHARE", 34, "2025-Q1"), ("MIGRANT_WORKERS_STOCK", 550000, "2023-S2"),
                 ("FOREIGN_STUDENTS_TARGET", 150000, "2029"), ("FOREIGN_STUDENTS_TARGET", 90, "2025-01"),
                 ("MIGRANT_WORKERS_STOCK", 1e5, "2024/25")]
            )  # fmt: skip
            log.add(
                feed, record, version, figure=figure, value=value, period=period, published_on=day(2024, 2025),
                sample_size=rng.choice([None, 900]), design_effect=rng.choice([None, 2, 1.25]), note=rng.choice([None, "a\nb"]),
            )  # fmt: skip
    assert_as_the_engine_says(log, tmp_path)
