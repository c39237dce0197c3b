"""Quality reports: the page's example, what is late and complete by hand, mirror figures, findings, and reports kept up to date."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.indicators import units
from services.shared.feeds.catalogue import RULES
from services.shared.statistics.exchange.observation import Observation, series_key
from services.shared.statistics.publication import mirror, quality
from services.shared.statistics.publication.indicators import observations
from services.shared.statistics.publication.quality import LATE, Reports, Sources
from services.shared.statistics.terms import calendar
from tests.unit.statistics.test_indicators import citizens, flow
from tests.unit.statistics.test_plausibility import permit_releases

PAGE = (Path(__file__).parents[3] / "docs" / "methods" / "quality.md").read_text("utf-8")
UNITS = {name: unit for name, (unit, _) in units().items()}
FEED = "border-crossings"
PERIOD = "2025-Q2"
FIRST_DAY = calendar.first_day(calendar.parse_quarter(PERIOD))
LONG_AFTER = calendar.first_day(calendar.parse_quarter("2026-Q1"))

Entries = dict[str, Any]
Arrived = list[tuple[int, int]]  # (day number, how many days later)


def at_noon(day: int) -> int:
    """Milliseconds of a local noon; 10,957 days lie between 1970 and 2000."""
    return (day + 10_957) * 86_400_000 + 7 * 3_600_000


def reporting(records: Arrived, feed: str = FEED, flow_name: str = "arrivals") -> Entries:
    """Entries of records that all count, by the words of the aggregates' description."""
    by_quarter: dict[str, dict[int, Counter[int]]] = {}
    for day, delay in records:
        quarter = calendar.quarter_of(day)
        days = by_quarter.setdefault(calendar.quarter_label(quarter), {})
        days.setdefault(day - calendar.first_day(quarter), Counter())[delay] += 1
    entries = {}
    for period, days in by_quarter.items():
        rows = []
        for day in range(max(days) + 1):
            delays = days.get(day, Counter[int]())
            rows.append([min(delays), *(delays[d] for d in range(min(delays), max(delays) + 1))] if delays else [])
        n = sum(map(Counter.total, days.values()))
        entry = {"measure": "reporting", "period": period, "feed": feed, "value": n, "flows": {flow_name: rows}}
        entries[f"reporting|{period}|{feed}"] = entry
    return entries


def corrections(corrected: int, withdrawn: int, conflicts: int, period: str = PERIOD, feed: str = FEED) -> Entries:
    fates = {"corrected": corrected, "withdrawn": withdrawn, "conflicts": conflicts}
    entry = {"measure": "corrections", "period": period, "feed": feed, "value": sum(fates.values()), **fates, "records": 0}
    return {f"corrections|{period}|{feed}": entry}


def mirrored(figure: str, value: float, period: str = PERIOD, **more: Any) -> dict[str, Any]:
    key = f"office/{figure}/{period}/{more.get('published_on', '')}"
    common = {"measure": "reference", "key": key, "unit": "crossings", "source": "Statistics of Uzbekistan", "counterpart": "UZ"}
    return common | {"figure": figure, "period": period, "value": value, "published_on": "2025-08-01"} | more


def figure(indicator: str, period: str, value: float) -> dict[tuple[str, str], Observation]:
    series = series_key("Q", indicator)
    return {(series, period): Observation(series, period, value, None, None, "crossings", 0, "P")}


def numbered(*entries: dict[str, Any]) -> Entries:
    return {f"{e['measure']}|{e['period']}|{i}": e for i, e in enumerate(entries)}


def report(entries: Entries, found: Any = None, first: Any = None, today: int = LONG_AFTER, period: str = PERIOD) -> Any:
    found = observations(entries, (), units()) | figure("CITIZENS_IN", period, 1) if found is None else found
    sources = Sources(entries, found, first or {}, UNITS, at_noon(today))
    return dict(Reports().update(sources, ())[period])


def line(told: dict[str, Any], feed: str = FEED) -> dict[str, Any]:
    [found] = [each for each in told["feeds"] if each["feed"] == feed]
    return dict(found)


# --- the page ----------------------------------------------------------------------------------------------------------------


def test_the_example_of_the_page_comes_out_as_printed() -> None:
    printed = {name: float(number) for name, number in re.findall(r"^(\w+) = ([\d.]+)$", PAGE, re.MULTILINE)}
    records = [(FIRST_DAY + day, delay) for day in range(3) for delay in [0] * 6 + [1] * 3 + [5]]
    ways_out = (flow("departures", PERIOD, "UZ", 700), citizens("citizens_out", PERIOD, "UZ", 400))
    entries = reporting(records) | corrections(1, 1, 0) | numbered(*ways_out, mirrored("MIRROR_ARRIVALS", 1000))
    found = observations(entries, (), units()) | figure("ARRIVALS", PERIOD, 15) | figure("DEPARTURES", PERIOD, 15)
    first = {(series_key("Q", "ARRIVALS"), PERIOD): 14.0, (series_key("Q", "DEPARTURES"), PERIOD): 15.0}
    told = report(entries, found, first)
    mine = line(told)
    computed = {name: mine[name] for name in ("records", "median_days", "p95_days", "late")}
    computed |= {"completeness": mine["completeness"]["value"], "revision": mine["revision"]["percent"]}
    computed["asymmetry"] = told["mirrors"][0]["asymmetry"]
    assert {name: round(value, 1) for name, value in computed.items()} == printed
    assert (mine["corrected"], mine["withdrawn"], mine["revision"]["mean_absolute"]) == (1, 1, 0.5)
    assert mine["doubts"] == ["late", "corrected", "withdrawn", "revised"]


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| ([a-z-]+) \| (\d+) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert rows == [(feed, str(limit.days), limit.reason) for feed, limit in LATE.items()]
    codes = re.findall(r"^\| (MIRROR_[A-Z]+) \| .+? \| ([A-Z_ +]+) to the partner \|$", PAGE, re.MULTILINE)
    assert codes == [(code, " + ".join(of.indicators)) for code, of in mirror.MIRRORS.items()]
    limits = (quality.COMPLETENESS_MIN, quality.LATE_SHARE_MAX, quality.CORRECTED_SHARE_MAX, quality.WITHDRAWN_SHARE_MAX)
    stated = re.findall(r"^\| (?:incomplete|late|corrected|withdrawn|revised) \| .*?(\d+) %", PAGE, re.MULTILINE)
    assert [float(n) for n in stated] == [*limits, quality.REVISION_MAX]


# --- timeliness and what is late ---------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 60)), min_size=1, max_size=60), st.sampled_from(sorted(LATE)))
@settings(max_examples=150, deadline=None)
def test_half_and_95_percent_of_the_records_were_known_after_the_days_that_sorting_them_says(records: Arrived, feed: str) -> None:
    placed = [(FIRST_DAY + day, delay) for day, delay in records]
    mine = line(report(reporting(placed, feed, RULES[feed].flow_names[0])), feed)
    delays = sorted(delay for _, delay in records)
    n = len(delays)
    assert mine["records"] == n
    assert mine["median_days"] == delays[(n + 1) // 2 - 1]
    assert mine["p95_days"] == delays[-(-95 * n // 100) - 1]
    assert mine["late"] == pytest.approx(100 * sum(delay > LATE[feed].days for delay in delays) / n)


def test_records_that_were_withdrawn_later_are_not_late_twice() -> None:
    # Ten came on their day; four were taken back three days later: six count.
    entry = {"measure": "reporting", "period": PERIOD, "feed": FEED, "value": 6, "flows": {"arrivals": [[0, 10, 0, 0, -4]]}}
    mine = line(report({f"reporting|{PERIOD}|{FEED}": entry} | corrections(0, 4, 0)))
    assert (mine["records"], mine["median_days"], mine["p95_days"], mine["late"]) == (6, 0, 0, 0)
    assert mine["doubts"] == ["withdrawn"]


def test_a_simulated_sample_that_was_sent_at_once_is_not_doubted_for_being_late() -> None:
    late = reporting([(FIRST_DAY, 60)])
    assert line(report(late))["doubts"] == ["late"]
    told = report(late | numbered(mirrored("SIMULATION_SCALE", 0.01, "2024", unit="ratio")))
    assert (told["simulated"], line(told)["late"], line(told)["doubts"]) == (True, 100, [])


def test_flows_of_a_feed_are_taken_together() -> None:
    both = reporting([(FIRST_DAY, 0)] * 3)[f"reporting|{PERIOD}|{FEED}"]
    both["flows"] |= {"departures": [[], [7, 1]]}
    mine = line(report({f"reporting|{PERIOD}|{FEED}": both}))
    assert (mine["records"], mine["p95_days"], mine["late"]) == (4, 7, 25)


def test_a_feed_without_records_and_one_without_days_say_so() -> None:
    told = report(reporting([(FIRST_DAY, 0)]))
    assert [each["feed"] for each in told["feeds"]] == [*LATE, "migration-violations"]
    assert line(told, "work-permits") == {"feed": "work-permits", "absent": True, "reason": quality.NO_RECORDS}
    assert line(told, "migration-violations")["reason"] == quality.BY_PERSON


# --- completeness ------------------------------------------------------------------------------------------------------------


def regular(first: int, today: int) -> Arrived:
    """Every day 10 records: 6 the same day, 3 the next, 1 the day after; as known at the end of `today`."""
    every = [(day, delay) for day in range(first, today + 1) for delay in [0] * 6 + [1] * 3 + [2]]
    return [(day, delay) for day, delay in every if day + delay <= today]


def test_completeness_of_the_open_quarter_is_what_the_chain_ladder_says() -> None:
    today = FIRST_DAY + 29
    told = report(reporting(regular(FIRST_DAY - 200, today)), today=today)
    # 300 happened in thirty days; 4 of the last day and 1 of the day before are still to come.
    assert line(told)["completeness"] == {"value": pytest.approx(100 * 295 / 300)}
    assert line(told)["doubts"] == ["incomplete", "late"]


def test_completeness_is_absent_while_the_history_is_short_and_100_once_60_days_are_over() -> None:
    today = FIRST_DAY + 29
    assert line(report(reporting(regular(today - 59, today)), today=today))["completeness"]["reason"] == quality.NO_HISTORY
    assert "value" in line(report(reporting(regular(today - 60, today)), today=today))["completeness"]
    assert line(report(reporting([(FIRST_DAY, 0)]), today=FIRST_DAY - 1))["completeness"]["reason"] == quality.NOT_BEGUN
    last = calendar.last_day(calendar.parse_quarter(PERIOD))
    slow = [(day, delay) for day in range(FIRST_DAY, last + 1) for delay in [0] * 9 + [60]]
    assert line(report(reporting(slow), today=last + 60))["completeness"] == {"value": 100.0}
    one_short = line(report(reporting(slow[:-1]), today=last + 59))["completeness"]
    assert one_short["value"] == pytest.approx(100 * (len(slow) - 1) / len(slow))


# --- revision, doubts --------------------------------------------------------------------------------------------------------


def test_a_quarter_that_was_not_released_has_no_revision_and_a_revision_above_the_limit_is_a_doubt() -> None:
    entries, key = reporting([(FIRST_DAY, 0)]), (series_key("Q", "ARRIVALS"), PERIOD)
    found = figure("ARRIVALS", PERIOD, 1000)
    assert line(report(entries, found))["revision"] == {"absent": True, "reason": quality.NO_RELEASE}
    moved = line(report(entries, found, {key: 990.0}))
    assert moved["revision"] == {"figures": 1, "mean_absolute": 10, "percent": 1.0}
    assert moved["doubts"] == []
    assert line(report(entries, found, {key: 989.0}))["doubts"] == ["revised"]


@pytest.mark.parametrize(
    ("fates", "doubts"),
    [((3, 1, 0), []), ((4, 0, 0), ["corrected"]), ((0, 2, 0), ["withdrawn"]), ((0, 0, 1), ["conflicts"])],
)
def test_corrections_withdrawals_and_conflicts_are_doubts_beyond_their_limits(
    fates: tuple[int, int, int], doubts: list[str]
) -> None:
    assert line(report(reporting([(FIRST_DAY, 0)] * 100) | corrections(*fates)))["doubts"] == doubts


# --- mirror figures ----------------------------------------------------------------------------------------------------------

OUT = (flow("departures", PERIOD, "UZ", 700), citizens("citizens_out", PERIOD, "UZ", 400), flow("departures", "2025-Q1", "UZ", 300))


def mirrors(*entries: dict[str, Any], period: str = PERIOD) -> list[dict[str, Any]]:
    found = observations(numbered(*entries), (), units()) | figure("ARRIVALS", period, 1)
    return list(report(numbered(*entries), found, period=period)["mirrors"])


def test_what_a_partner_publishes_stands_beside_what_is_counted_here() -> None:
    [found] = mirrors(*OUT, mirrored("MIRROR_ARRIVALS", 1320))
    assert (found["partner"], found["ours"], found["theirs"]) == ("UZ", 1100, 1320)
    assert found["asymmetry"] == pytest.approx(-100 * 220 / 1210)
    [of_citizens] = mirrors(*OUT, mirrored("MIRROR_CITIZENS", 400))
    assert (of_citizens["ours"], of_citizens["asymmetry"]) == (400, 0)


def test_a_year_s_mirror_figure_is_held_against_the_year_in_the_quarter_that_ends_it() -> None:
    [found] = mirrors(*OUT, mirrored("MIRROR_ARRIVALS", 1400, "2025"), period="2025-Q4")
    assert (found["period"], found["ours"]) == ("2025", 1400)


def test_a_sample_is_brought_to_full_size_before_it_is_compared() -> None:
    sample = mirrored("SIMULATION_SCALE", 0.01, "2024", counterpart=None, unit="ratio")
    moved_out = {"measure": "residence_departures", "period": PERIOD, "destination": "UZ", "value": 40}
    found = mirrors(*OUT, moved_out, sample, mirrored("MIRROR_ARRIVALS", 110_000), mirrored("MIRROR_IMMIGRATION", 50))
    assert [(f["figure"], f["ours"]) for f in found] == [("MIRROR_ARRIVALS", 110_000), ("MIRROR_IMMIGRATION", 40)]


def test_a_mirror_check_that_cannot_be_made_says_why() -> None:
    assert mirrors(*OUT) == [{"absent": True, "reason": mirror.NOBODY}]
    no_country = {k: v for k, v in mirrored("MIRROR_ARRIVALS", 1).items() if k != "counterpart"}
    found = mirrors(
        *OUT, no_country, mirrored("MIRROR_ARRIVALS", 2, counterpart="DE"), mirrored("MIRROR_CITIZENS", 3, "2025-06-30")
    )
    assert [f["reason"] for f in found] == [mirror.NO_PARTNER, mirror.NO_FIGURE, mirror.NO_PERIOD]


def test_the_newest_figure_of_a_partner_is_the_one_that_is_compared() -> None:
    later = mirrored("MIRROR_ARRIVALS", 1100, published_on="2025-09-01")
    assert [f["theirs"] for f in mirrors(*OUT, later, mirrored("MIRROR_ARRIVALS", 1320))] == [1100]


# --- findings ----------------------------------------------------------------------------------------------------------------


def test_published_permits_that_do_not_add_up_are_findings_of_plus_1_and_plus_2() -> None:
    told = report(numbered(*permit_releases()), figure("ARRIVALS", "2025-Q4", 1), period="2025-Q4")
    assert told["published"]["figures"] == 14
    listed = [(f["rule"], f["subject"], f["period"], f["difference"]) for f in told["published"]["listed"]]
    assert listed == [("sum", "PERMITS_IN_FORCE", "2025-11-01", 1), ("sum", "PERMITS_IN_FORCE", "2025-12-01", 2)]


def test_a_figure_of_ours_that_does_not_fit_is_a_finding_of_its_quarter_and_no_other() -> None:
    entries = numbered(flow("arrivals", PERIOD, "UZ", 100), flow("arrivals", "2025-Q1", "UZ", 50))
    found = observations(entries, (), units())
    key = "Q.ARRIVALS.UZ._T._T._Z", PERIOD
    found[key] = found[key]._replace(value=103)
    sources = Sources(entries, found, {}, UNITS, at_noon(LONG_AFTER))
    reports = Reports().update(sources, ())
    [at_home] = [f for f in reports[PERIOD]["computed"]["listed"] if f["subject"] == "Q.ARRIVALS._T._T._T._Z"]
    assert at_home["difference"] == 3
    # The year of both quarters is off too: by its quarters, which add up to more.
    assert {f["period"] for f in reports["2025-Q1"]["computed"]["listed"]} == {"2025"}


def test_more_findings_than_people_read_are_counted_and_not_listed() -> None:
    shares = [
        mirrored(f"X{i}_SHARE", 101, unit="percent", counterpart=None) for i in range(quality.FINDINGS_MAX + 1)
    ]  # fmt: skip
    found = report(numbered(*shares), figure("ARRIVALS", PERIOD, 1))["published"]
    assert (found["findings"], len(found["listed"])) == (quality.FINDINGS_MAX + 1, quality.FINDINGS_MAX)


# --- reports kept up to date -------------------------------------------------------------------------------------------------

change = st.one_of(
    st.tuples(st.just("records"), st.integers(-500, 250), st.integers(0, 60)),
    st.tuples(st.just("departures"), st.sampled_from(["2023-Q4", "2024-Q3", "2024-Q4", "2025-Q1", PERIOD]), st.integers(0, 3)),
    st.tuples(st.just("mirror"), st.sampled_from(["2023", "2024", "2025-Q1", PERIOD]), st.integers(1, 3)),
    st.tuples(st.just("release"), st.sampled_from(["2023-Q4", "2024-Q4", PERIOD]), st.integers(1, 3)),
    st.tuples(st.just("scale"), st.just(0), st.sampled_from([1, 2])),
    st.tuples(st.just("fates"), st.sampled_from(["2024-Q4", PERIOD]), st.integers(0, 3)),
    st.tuples(st.just("day"), st.integers(0, 70), st.just(0)),
)


def apply_change(records: Arrived, others: Entries, kind: str, at: Any, number: int) -> None:
    if kind == "records":
        records.append((FIRST_DAY + at, number))
    elif kind == "departures":
        others.pop(f"departures|{at}|UZ|tourism", None)
        if number:
            others[f"departures|{at}|UZ|tourism"] = flow("departures", at, "UZ", number)
    elif kind == "mirror":
        others[f"reference|{at}|m"] = mirrored("MIRROR_ARRIVALS", number, at)
    elif kind == "scale":
        others["reference|2024|s"] = mirrored("SIMULATION_SCALE", number, "2024", unit="ratio")
    elif kind == "fates":
        others |= corrections(number, 0, 0, at)


@given(st.lists(st.lists(change, max_size=4), min_size=1, max_size=6))
@example([[("departures", "2024-Q4", 1)], [("departures", "2023-Q4", 1)]])  # which gives 2024-Q4 a year to compare with
@settings(max_examples=100, deadline=None)
def test_reports_kept_up_to_date_equal_those_made_from_scratch(steps: Any) -> None:
    kept, known, records, others, today = Reports(), Entries(), [(FIRST_DAY, 0)], Entries(), FIRST_DAY + 20
    first: dict[tuple[str, str], float] = {}
    for step in steps:
        for kind, at, number in step:
            apply_change(records, others, kind, at, number)
            today += at if kind == "day" else 0
            first |= {(series_key("Q", "DEPARTURES"), at): number} if kind == "release" else {}
        entries = reporting(records) | others
        changed = [key for key in entries.keys() | known.keys() if entries.get(key) != known.get(key)]
        sources = Sources(entries, observations(entries, (), units()), dict(first), UNITS, at_noon(today))
        assert dict(kept.update(sources, changed)) == dict(Reports().update(sources, ()))
        known = entries


def kept_and_fresh(before: Sources, after: Sources, *changed: str) -> tuple[Any, Any]:
    """Reports of `after`, kept up to date from `before` while only these keys changed, and made from scratch."""
    kept = Reports()
    kept.update(before, ())
    return kept.update(after, changed), Reports().update(after, ())


@pytest.mark.parametrize(("first", "second"), [("2025-12-20", "2026-01-10"), ("2026-01-10", "2026-01-20")])
def test_days_that_pass_make_the_quarters_on_both_sides_of_the_new_year_complete(first: str, second: str) -> None:
    then, now = calendar.parse_day(first), calendar.parse_day(second)
    entries = reporting([*regular(then - 200, then), (then + 15, 0)])
    found = figure("ARRIVALS", "2025-Q4", 1) | figure("ARRIVALS", "2026-Q1", 1)
    before, after = (Sources(entries, found, {}, UNITS, at_noon(day)) for day in (then, now))
    kept, fresh = kept_and_fresh(before, after)
    assert kept == fresh
    assert kept != Reports().update(before, ())


def test_a_release_of_an_old_quarter_changes_its_report() -> None:
    old = FIRST_DAY - 700
    period = calendar.quarter_label(calendar.quarter_of(old))
    entries, found = reporting([(old, 0)]), figure("ARRIVALS", period, 10)
    before = Sources(entries, found, {}, UNITS, at_noon(FIRST_DAY))
    after = before._replace(first={(series_key("Q", "ARRIVALS"), period): 8.0})
    kept, fresh = kept_and_fresh(before, after)
    assert kept == fresh
    assert line(kept[period])["revision"]["mean_absolute"] == 2


def test_events_that_turn_out_to_be_simulated_change_the_reports_of_all_years() -> None:
    entries = numbered(flow("departures", "2023-Q4", "UZ", 5), mirrored("MIRROR_ARRIVALS", 10, "2023-Q4"))
    before = Sources(entries, observations(entries, (), units()), {}, UNITS, at_noon(FIRST_DAY))
    after = before._replace(entries=entries | {"reference|2024|s": mirrored("SIMULATION_SCALE", 0.5, "2024", unit="ratio")})
    kept, fresh = kept_and_fresh(before, after, "reference|2024|s")
    assert kept == fresh
    assert kept["2023-Q4"]["mirrors"][0]["ours"] == 10
