"""Laws of the aggregates: kept up to date sheet by sheet they equal those made from scratch, and both equal a brute-force count."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.shared.statistics.aggregation.aggregates import Aggregates

CIS = {"AM", "AZ", "BY", "KG", "MD", "RU", "TJ", "TM", "UZ"}
EAEU = {"AM", "BY", "KG", "RU"}
NEITHER = {"GE", "UA", "XX", "KZ"}
START = date(2024, 12, 20)
PARTITIONS = 2

crossings, permits, enrolments, figures = "border-crossings", "work-permits", "student-enrolments", "reference-figures"
residence, emigration, stays, offences = "residence-registrations", "labour-emigration", "visitor-stays", "migration-violations"


class Fact(NamedTuple):
    """What one record counts as: its cell from `first` until (not including) `last`, None for a flow or an open span."""

    feed: str
    cell: str
    first: date
    last: date | None = None


World = Counter[tuple[int, Fact]]  # (partition, fact) -> how many records say so


# --- sheets of a world, written by hand -------------------------------------------------------------------------------------


def sheets(world: World) -> dict[tuple[str, int, str], bytes]:
    begun: dict[tuple[str, int, str], Counter[str]] = defaultdict(Counter)
    ended: dict[tuple[str, int, str], Counter[str]] = defaultdict(Counter)
    for (partition, fact), n in world.items():
        begun[fact.feed, partition, fact.first.isoformat()][fact.cell] += n
        if fact.last is not None:
            ended[fact.feed, partition, fact.last.isoformat()][fact.cell] += n
    found = {}
    for place in begun.keys() | ended.keys():
        cells = sorted(begun[place].keys() | ended[place].keys())
        sheet: dict[str, Any] = {"day": place[2], "cells": cells, "counts": [begun[place][c] for c in cells]}
        if ended[place]:
            sheet["ended"] = [ended[place][c] for c in cells]
        found[place] = orjson.dumps(sheet)
    return found


def feed(aggregates: Aggregates, before: World, after: World) -> None:
    old, new = sheets(before), sheets(after)
    changes: dict[tuple[str, int], dict[str, bytes | None]] = defaultdict(dict)
    for name, partition, day in old.keys() | new.keys():
        if old.get((name, partition, day)) != new.get((name, partition, day)):
            changes[name, partition][day] = new.get((name, partition, day))
    for (name, partition), days in changes.items():
        aggregates.apply(name, partition, days)


def noon(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)


# --- the oracle: every figure counted over the facts, one by one -------------------------------------------------------------


def quarter(day: date) -> str:
    return f"{day.year}-Q{(day.month + 2) // 3}"


def quarter_ends(first: date, today: date) -> Iterable[tuple[str, date]]:
    """(quarter, its last day or yesterday) from the quarter of `first` to that of `today`."""
    day = date(first.year, (first.month - 1) // 3 * 3 + 1, 1)
    while day <= today:
        after = date(day.year + day.month // 10, (day.month + 2) % 12 + 1, 1)
        yield quarter(day), min(after, today) - timedelta(days=1)
        day = after


def groups(country: str) -> list[str]:
    found = ["_T", *(["CIS"] if country in CIS else []), *(["EAEU"] if country in EAEU else [])]
    return found if country in CIS | NEITHER else [*found, "FAR_ABROAD"]


def oracle(world: World, today: date) -> dict[str, dict[str, Any]]:
    facts = [fact for (_, fact), n in world.items() for _ in range(n)]
    found: Counter[tuple[str, str, tuple[tuple[str, str], ...]]] = Counter()
    count_crossings(found, [f for f in facts if f.feed == crossings], today)
    count_stock(found, [f for f in facts if f.feed == permits], "permits_in_force", "category", today)
    for fact in facts:
        if fact.feed == permits:
            citizenship, category = fact.cell.split("|")
            found["permits_issued", quarter(fact.first), (("citizenship", citizenship), ("category", category))] += 1
    count_students(found, [f for f in facts if f.feed == enrolments], today)
    for fact in facts:
        count_persons(found, fact)
    entries = {
        f"{measure}|{period}|{'|'.join(v for _, v in dims)}": {"measure": measure, "period": period, **dict(dims), "value": n}
        for (measure, period, dims), n in found.items()
        if n
    }
    for fact in facts:
        if fact.feed == figures:
            record = orjson.loads(fact.cell)
            entries[f"reference|{record['period']}|{record['figure']}|{record['key']}"] = {"measure": "reference", **record}
    return entries | count_offences([f for f in facts if f.feed == offences])


def count_persons(found: Counter[Any], fact: Fact) -> None:
    parts, period = fact.cell.split("|"), quarter(fact.first)
    if fact.feed == residence and parts[0] == "arrival":
        found["residence_arrivals", period, (("citizenship", parts[1]), ("purpose", parts[3]))] += 1
    elif fact.feed == residence:
        found["residence_departures", period, (("destination", parts[2]),)] += 1
    elif fact.feed == emigration:
        found["labour_emigration", period, (("destination", parts[0]),)] += 1
    elif fact.feed == stays:
        found["guests" if parts[1] == "guest" else "medical", period, (("citizenship", parts[0]),)] += 1


def count_offences(facts: list[Fact]) -> dict[str, dict[str, Any]]:
    """What the sheets of years say: `area|times` persons."""
    found: dict[str, dict[str, Any]] = {}
    for fact in facts:
        area, times = fact.cell.split("|")
        entry = found.setdefault(
            f"violations|{fact.first.year}|{area}",
            {"measure": "violations", "period": str(fact.first.year), "area": area, "value": 0, "frequencies": Counter()},
        )
        entry["value"] += 1
        entry["frequencies"][times] += 1
    return found


def count_crossings(found: Counter[Any], facts: list[Fact], today: date) -> None:
    if not facts:
        return
    first, last = min(f.first for f in facts), max(f.first for f in facts)
    for fact in facts:
        direction, citizenship, counterpart, purpose = fact.cell.split("|")
        arrives = direction == "arrival"
        if citizenship == "KZ":
            field = "counterpart" if arrives else "destination"
            found["citizens_in" if arrives else "citizens_out", quarter(fact.first), ((field, counterpart),)] += 1
            continue
        measure, field, area = ("arrivals", "citizenship", citizenship) if arrives else ("departures", "destination", counterpart)
        found[measure, quarter(fact.first), ((field, area), ("purpose", purpose))] += 1
        for day in (fact.first + timedelta(days=i) for i in range(91)):
            if first + timedelta(days=90) <= day <= last:
                for group in groups(area):
                    found[f"{measure}_rolling", day.isoformat(), (("area", group),)] += 1
        if purpose == "employment":
            for period, end in quarter_ends(first, today):
                if fact.first <= end:
                    found["employment_balance", period, (("citizenship", citizenship),)] += 1 if arrives else -1
                    found["employment_crossings", period, (("citizenship", citizenship),)] += 1


def open_at(facts: list[Fact], today: date) -> Iterable[tuple[str, Fact]]:
    if facts:
        for period, end in quarter_ends(min(f.first for f in facts), today):
            for fact in facts:
                if fact.first <= end and (fact.last is None or end < fact.last):
                    yield period, fact


def count_stock(found: Counter[Any], facts: list[Fact], measure: str, field: str, today: date) -> None:
    for period, fact in open_at(facts, today):
        citizenship, category = fact.cell.split("|")[:2]
        found[measure, period, (("citizenship", citizenship), (field, category))] += 1


def count_students(found: Counter[Any], facts: list[Fact], today: date) -> None:
    branches = set()
    for period, fact in open_at(facts, today):
        citizenship, level, branch = fact.cell.split("|", 2)
        if citizenship != "KZ":
            found["students", period, (("citizenship", citizenship), ("level", level))] += 1
        if branch:
            branches.add((period, branch))
    for period, _ in branches:
        found["branches", period, ()] += 1


# --- worlds ------------------------------------------------------------------------------------------------------------------

days = st.integers(0, 210).map(lambda n: START + timedelta(days=n))
countries = st.sampled_from(["UZ", "RU", "CN", "XX", "KZ", "GE"])


@st.composite
def crossing_facts(draw: st.DrawFn) -> Fact:
    direction, purpose = draw(st.sampled_from(["arrival", "departure"])), draw(st.sampled_from(["employment", "transit"]))
    return Fact(crossings, f"{direction}|{draw(countries)}|{draw(countries)}|{purpose}", draw(days))


@st.composite
def permit_facts(draw: st.DrawFn) -> Fact:
    first = draw(days)
    length = draw(st.sampled_from([0, 1, 1, 2, 30, 90, 400]))  # 0: revoked before it began
    cell = f"{draw(st.sampled_from(['CN', 'RU']))}|{draw(st.sampled_from(['1', 'seasonal']))}"
    return Fact(permits, cell, first, first + timedelta(days=length))


@st.composite
def enrolment_facts(draw: st.DrawFn) -> Fact:
    first = draw(days)
    length = draw(st.one_of(st.none(), st.sampled_from([1, 45, 120])))
    cell = "|".join(draw(st.sampled_from(options)) for options in (["IN", "KZ"], ["bachelor"], ["", "MSU", "a|b"]))
    return Fact(enrolments, cell, first, None if length is None else first + timedelta(days=length))


@st.composite
def figure_facts(draw: st.DrawFn) -> Fact:
    key, period = draw(st.sampled_from(["o/1", "o/2"])), draw(st.sampled_from(["2024", "2025"]))
    day = draw(days)
    value = draw(st.sampled_from([1.0, 2.0]))
    record = {"figure": "F", "key": key, "period": period, "value": value, "published_on": day.isoformat()}
    return Fact(figures, orjson.dumps(record, option=orjson.OPT_SORT_KEYS).decode(), day)


@st.composite
def person_facts(draw: st.DrawFn) -> Fact:
    name, parts = draw(
        st.sampled_from(
            [(residence, (["arrival", "departure"], ["UZ", "KZ"], ["RU", "XX"], ["employment", "education"])),
             (emigration, (["KR", "RU"],)), (stays, (["CN", "XX"], ["guest", "medical"]))]
        )
    )  # fmt: skip
    return Fact(name, "|".join(draw(st.sampled_from(options)) for options in parts), draw(days))


@st.composite
def year_facts(draw: st.DrawFn) -> Fact:
    """A person in the sheet of a year."""
    return Fact(offences, f"{draw(st.sampled_from(['_T', 'CIS']))}|{draw(st.sampled_from([1, 2, 11]))}", date(draw(years), 1, 1))


years = st.sampled_from([2024, 2025])
facts = st.one_of(
    crossing_facts(), crossing_facts(), permit_facts(), enrolment_facts(), figure_facts(), person_facts(), year_facts()
)
placed = st.tuples(st.integers(0, PARTITIONS - 1), facts)
# Each step adds some facts, takes back some that stand (by number), and lets some days go by.
steps = st.lists(
    st.tuples(st.lists(placed, max_size=8), st.lists(st.integers(0, 50), max_size=6), st.integers(0, 100)), min_size=1, max_size=6
)


def one_key_each(world: World) -> World:
    """At most one fact per record key of the reference figures, as the version rule leaves it."""
    seen = set()
    kept: World = Counter()
    for (partition, fact), n in world.items():
        if fact.feed == figures:
            key = orjson.loads(fact.cell)["key"]
            if key in seen:
                continue
            seen.add(key)
            kept[0, fact] = 1
        else:
            kept[partition, fact] = n
    return kept


def take_back(world: World, numbers: list[int]) -> World:
    left = Counter(world)
    for number in numbers:
        standing = sorted(left.elements(), key=repr)  # None and a date do not compare
        if standing:
            left[standing[number % len(standing)]] -= 1
            left += Counter()
    return left


@given(steps)
@settings(max_examples=400, deadline=None)
@example([([(0, Fact(permits, "CN|1", date(2025, 3, 31), date(2025, 4, 1)))], [], 200), ([], [0], 0)])
def test_kept_up_to_date_equals_made_from_scratch_equals_counted_one_by_one(history: Any) -> None:
    kept, today = Aggregates(), START
    world: World = Counter()
    entries: dict[str, bytes] = {}
    for added, taken, passing in history:
        before = world
        world = one_key_each(take_back(world, taken) + Counter(added))
        today += timedelta(days=passing)
        feed(kept, before, world)
        for key, value in kept.changes(noon(today)).items():
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value
        fresh = Aggregates()
        feed(fresh, Counter(), world)
        assert entries == {k: v for k, v in fresh.changes(noon(today)).items() if v is not None}
        assert {k: orjson.loads(v) for k, v in entries.items()} == oracle(world, today)


@given(st.lists(placed, max_size=12), st.integers(0, 200), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_which_partition_holds_a_record_does_not_matter(several: Any, passing: int, random: Any) -> None:
    world = one_key_each(Counter(several))
    today = START + timedelta(days=passing)
    elsewhere: World = Counter()
    for (_, fact), n in world.items():
        for _ in range(n):
            elsewhere[random.randrange(PARTITIONS), fact] += 1
    one, other = Aggregates(), Aggregates()
    feed(one, Counter(), world)
    feed(other, Counter(), elsewhere)
    assert one.changes(noon(today)) == other.changes(noon(today))


# --- the places where it is easy to go wrong ---------------------------------------------------------------------------------


def stocks_of(world: World, today: date, measure: str) -> dict[str, int]:
    aggregates = Aggregates()
    feed(aggregates, Counter(), world)
    found = [orjson.loads(v) for v in aggregates.changes(noon(today)).values() if v is not None]
    return {e["period"]: e["value"] for e in found if e["measure"] == measure}


@pytest.mark.parametrize(
    ("first", "expected"), [("2025-03-30", {}), ("2025-03-31", {"2025-Q1": 1}), ("2025-04-01", {}), ("2025-06-30", {"2025-Q2": 1})]
)
def test_a_permit_of_one_day_is_in_force_at_a_quarter_s_end_only_on_that_day(first: str, expected: dict[str, int]) -> None:
    day = date.fromisoformat(first)
    one_day = Fact(permits, "CN|1", day, day + timedelta(days=1))
    assert stocks_of(Counter({(0, one_day): 1}), date(2025, 8, 1), "permits_in_force") == expected


def test_an_open_enrolment_stands_in_every_quarter_since_and_in_the_current_one_as_of_yesterday() -> None:
    opened = Fact(enrolments, "IN|bachelor|", date(2024, 12, 31))
    assert stocks_of(Counter({(0, opened): 1}), date(2025, 5, 5), "students") == {"2024-Q4": 1, "2025-Q1": 1, "2025-Q2": 1}
    today = Fact(enrolments, "IN|bachelor|", date(2025, 5, 5))
    assert stocks_of(Counter({(0, today): 1}), date(2025, 5, 5), "students") == {}
    assert stocks_of(Counter({(0, today): 1}), date(2025, 5, 6), "students") == {"2025-Q2": 1}


def test_a_permit_corrected_across_a_quarter_s_end_moves_whole() -> None:
    old = Fact(permits, "CN|1", date(2025, 3, 31), date(2025, 7, 15))
    new = Fact(permits, "CN|1", date(2025, 4, 1), date(2025, 6, 30))
    aggregates, today = Aggregates(), date(2025, 8, 1)
    feed(aggregates, Counter(), Counter({(0, old): 1}))
    before = {k for k, v in aggregates.changes(noon(today)).items() if v is not None}
    assert before == {"permits_issued|2025-Q1|CN|1", "permits_in_force|2025-Q1|CN|1", "permits_in_force|2025-Q2|CN|1"}
    feed(aggregates, Counter({(0, old): 1}), Counter({(0, new): 1}))
    changes = aggregates.changes(noon(today))
    assert {k: v is None for k, v in changes.items()} == {
        "permits_issued|2025-Q1|CN|1": True,
        "permits_issued|2025-Q2|CN|1": False,
        "permits_in_force|2025-Q1|CN|1": True,
        "permits_in_force|2025-Q2|CN|1": True,  # over on 30 June: that is the first day on which it no longer counts
    }


def test_the_rolling_quarter_begins_on_the_91st_day_of_the_data() -> None:
    first = date(2025, 1, 1)
    world = Counter({(0, Fact(crossings, "arrival|UZ|UZ|transit", first + timedelta(days=i))): 1 for i in (0, 89, 90, 91)})
    aggregates = Aggregates()
    feed(aggregates, Counter(), world)
    found = {k: orjson.loads(v)["value"] for k, v in aggregates.changes(noon(date(2025, 8, 1))).items() if v is not None}
    rolling = {k: n for k, n in found.items() if k.startswith("arrivals_rolling|") and k.endswith("|_T")}
    assert rolling == {"arrivals_rolling|2025-04-01|_T": 3, "arrivals_rolling|2025-04-02|_T": 3}


def test_an_empty_log_has_no_aggregates() -> None:
    assert Aggregates().changes(0) == {}
