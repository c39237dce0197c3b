"""When releases are due, what a calendar may say, and which figures are final."""

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest

from services.shared.statistics.exchange.observation import Observation
from services.shared.statistics.publication import release
from services.shared.statistics.publication.release import CalendarError, Due, Named, Released, parse_calendar, parse_name

ALMATY = ZoneInfo("Asia/Almaty")
BUNDLED = (files("schemas") / "releases.toml").read_text("utf-8")
RULE = '[rule]\nprovisional_days = 45\ntime = "09:00"\nfinal_quarters = 4\nfreeze_minutes = 60\n'
HOLIDAY = '[[exception]]\nperiod = "2025-Q2"\nkind = "provisional"\ninstant = 2025-08-18T12:30:00+05:00\nreason = "a day off"\n'


def almaty(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ALMATY)


def test_a_quarter_is_released_on_the_45th_day_after_it_at_9_and_final_with_that_of_a_year_later() -> None:
    bundled = parse_calendar(BUNDLED)
    for year in range(2020, 2032):
        for number, (month, day) in enumerate([(3, 31), (6, 30), (9, 30), (12, 31)], start=1):
            expected = date(year, month, day) + timedelta(days=45)
            while expected.strftime("%a") in ("Sat", "Sun"):
                expected += timedelta(days=1)
            at = datetime(expected.year, expected.month, expected.day, 9, tzinfo=ALMATY)
            assert bundled.instant(f"{year}-Q{number}", False) == at
            assert bundled.instant(f"{year - 1}-Q{number}", True) == at
    assert bundled.instant("2025-Q2", False) == almaty("2025-08-14T09:00")
    assert bundled.instant("2025-Q4", False) == almaty("2026-02-16T09:00"), "14 February 2026 is a Saturday"
    assert bundled.instant("2023-Q4", False) == almaty("2024-02-14T09:00") == datetime(2024, 2, 14, 3, tzinfo=UTC), "UTC+6 then"


def test_what_is_due_comes_in_order_of_time_and_each_instant_lies_in_exactly_one_span() -> None:
    bundled = parse_calendar(BUNDLED)
    first, last = almaty("2025-08-14T09:00"), almaty("2025-11-14T09:00")
    assert bundled.between(first - timedelta(microseconds=1), last) == [
        Due(first, "2024-Q2", True), Due(first, "2025-Q2", False), Due(last, "2024-Q3", True), Due(last, "2025-Q3", False),
    ]  # fmt: skip
    assert bundled.between(first, last - timedelta(microseconds=1)) == []
    assert bundled.next_after(first) == Due(last, "2024-Q3", True)
    assert bundled.freezing(Due(last, "2025-Q3", False)) == almaty("2025-11-14T08:00")


def test_an_exception_moves_one_release_and_what_goes_out_with_it() -> None:
    moved = parse_calendar(RULE + HOLIDAY)
    at = almaty("2025-08-18T12:30")
    assert moved.instant("2025-Q2", False) == moved.instant("2024-Q2", True) == at
    assert moved.instant("2025-Q2", True) == almaty("2026-08-14T09:00")
    assert [due.instant for due in moved.between(almaty("2025-08-01T00:00"), almaty("2025-09-01T00:00"))] == [at, at]
    late = HOLIDAY.replace("2025-08-18", "2031-01-15").replace('"provisional"', '"final"')
    assert parse_calendar(RULE + late).between(almaty("2031-01-01T00:00"), almaty("2031-02-01T00:00")) == [
        Due(almaty("2031-01-15T12:30"), "2025-Q2", True)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rule", "it is not TOML"),
        ("", "rule: the table is missing"),
        (RULE + "[holidays]\n", "there is no field holidays; there are rule, exception"),
        (RULE.replace("45", "0"), "rule.provisional_days: must be a whole number from 1 to 366"),
        (RULE.replace("45", "true"), "rule.provisional_days: must be a whole number"),
        (RULE.replace("final_quarters = 4\n", ""), "rule.final_quarters: must be a whole number from 1 to 20"),
        (RULE.replace("60", "20000"), "rule.freeze_minutes: must be a whole number from 1 to 10080"),
        (RULE.replace("09:00", "9 am"), "rule.time: must be a time of the day"),
        (RULE + "colour = 1\n", "rule: there is no field colour"),
        (RULE + HOLIDAY + HOLIDAY, "exception 2: there is one of 2025-Q2 provisional already"),
        (RULE + HOLIDAY.replace("2025-Q2", "2025-Q5"), "exception 1.period: a quarter is written like 2025-Q2"),
        (RULE + HOLIDAY.replace("provisional", "draft"), "exception 1.kind: must be provisional or final"),
        (RULE + HOLIDAY.replace("+05:00", ""), "exception 1.instant: must be a time with its offset"),
        (RULE + HOLIDAY.replace("2025-08-18T12:30:00", "2025-06-30T23:59:59"), "exception 1.instant: must be after the last day"),
        (RULE + HOLIDAY.replace("a day off", " "), "exception 1.reason: readers want to know why"),
        (RULE + HOLIDAY.replace('reason = "a day off"\n', ""), "exception 1.reason: is missing"),
        (RULE + HOLIDAY.replace("2025-08-18", "2026-09-01"), "exception of 2025-Q2: its final release would not come after"),
        ("exception = 3\n" + RULE, "exception: each one is a block"),
    ],
)  # fmt: skip
def test_a_calendar_that_cannot_be_is_refused_with_field_and_reason(text: str, said: str) -> None:
    with pytest.raises(CalendarError) as refused:
        parse_calendar(text)
    assert said in str(refused.value)


def test_a_release_is_named_by_period_kind_and_number() -> None:
    named = Named("2025-Q2", False, 1)
    assert (str(named), named.title) == ("2025-Q2.P1", "2025-Q2 provisional 1")
    assert parse_name("2024-Q4.F12") == Named("2024-Q4", True, 12)
    for text in ("2025-Q2", "2025-Q2.P0", "2025-Q5.P1", "2025-Q2.A1", "2025-Q2.P1 "):
        with pytest.raises(ValueError, match=r"2025-Q2\.P1"):
            parse_name(text)
    assert release.periods_of("2025-Q4") == ("2025-Q4", "2025")
    assert release.periods_of("2025-Q3") == ("2025-Q3",)


def test_a_quarter_is_over_with_its_last_millisecond_in_almaty() -> None:
    end = almaty("2025-07-01T00:00")
    assert release.is_over("2025-Q2", end)
    assert not release.is_over("2025-Q2", end - timedelta(milliseconds=1))


def figure(series: str, value: float, status: str = "P", period: str = "2025-Q4") -> Observation:
    return Observation(series, period, value, None, None, "persons", 0, status)


def keyed(*figures: Observation) -> dict[tuple[str, str], Observation]:
    return {one.key: one for one in figures}


def test_a_figure_is_final_while_its_value_is_that_of_the_newest_final_release() -> None:
    finals = {("A", "2025-Q4"): 10, ("E", "2025-Q4"): 7, ("GONE", "2025-Q4"): 1}
    now = keyed(figure("A", 10.0), figure("A", 10, period="2025-Q3"), figure("B", 10), figure("E", 7, "E"), figure("T", 5, "F"))
    inner = keyed(figure("I", 3, "A"))
    found = release.standing(now, Released(inner, finals))
    statuses = {(key[0], key[1][-2:]): o.status for key, o in found.items()}
    expected = {("A", "Q4"): "A", ("A", "Q3"): "P", ("B", "Q4"): "P", ("E", "Q4"): "E", ("T", "Q4"): "F", ("I", "Q4"): "A"}
    assert statuses == expected
    changed = release.standing(keyed(figure("A", 11, "A")), Released({}, finals))
    assert changed == keyed(figure("A", 11, "P"))
    assert release.standing(changed, Released({}, {("A", "2025-Q4"): 11})) == keyed(figure("A", 11, "A"))


def test_a_release_holds_its_quarter_and_with_the_fourth_quarter_the_year() -> None:
    now = keyed(figure("A", 1), figure("A", 2, period="2025"), figure("A", 3, period="2025-Q3"), figure("S", 4, "E"))
    inner = keyed(figure("I", 5), figure("H", 0, "Q")._replace(value=None))
    provisional = release.frozen(now, inner, Named("2025-Q4", False, 1))
    assert {(k[0], k[1], o.status) for k, o in provisional.items()} == {
        ("A", "2025-Q4", "P"), ("A", "2025", "P"), ("S", "2025-Q4", "E"), ("I", "2025-Q4", "P"), ("H", "2025-Q4", "Q"),
    }  # fmt: skip
    final = release.frozen(now, inner, Named("2025-Q4", True, 1))
    assert {o.status for o in final.values()} == {"A", "E", "Q"}
    assert {key: o.value for key, o in final.items()} == {key: o.value for key, o in provisional.items()}
