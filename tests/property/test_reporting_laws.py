"""Laws of the reporting tables: how late records came, and what became of them, against an oracle in plain Python."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.shared.feeds.catalogue import RULES
from services.shared.statistics.aggregation.aggregates import Aggregates
from services.shared.statistics.aggregation.reporting import flows_of
from services.shared.statistics.exchange.records import Records
from services.shared.statistics.folding.sheet import decode
from services.tally.partition import PartitionFold
from tests.property.test_fold_laws import ALMATY, START, appended, content, folded, logs, records

FEED = "border-crossings"
Margins = dict[str, Counter[str]]  # by day: how many in which marginal cell
Table = dict[tuple[str, int], int]  # (day, delay) -> net records


def flow(cell: str) -> str:
    direction, citizenship, *_ = cell.split("|")
    ways = ("citizens_in", "citizens_out") if citizenship == "KZ" else ("arrivals", "departures")
    return ways[direction == "departure"]


def margins(log: list[dict[str, Any]]) -> Margins:
    """By the words of the docstring of services/tally/marginals.py, one record at a time."""
    state: dict[str, tuple[int, tuple[str, ...] | None]] = {}
    found: Margins = defaultdict(Counter)
    for event in log:
        version, old = state.get(event["record_id"], (-1, None))
        new = content(event)
        # 0: without a version, of which the last in the log counts
        if event["version"] > version or (event["version"] == version == 0 and new != old):
            state[event["record_id"]] = event["version"], new
            for one, step in ((new, 1), (old, -1)):
                if one is not None:
                    late = (appended(event).astimezone(ALMATY).date() - date.fromisoformat(one[0])).days
                    found[one[0]][f"~delay|{flow(one[1])}|{min(max(late, 0), 60)}"] += step
            if old is not None and old != new:
                found[old[0]][f"{'~corrected' if new else '~withdrawn'}|{flow(old[1])}"] += 1
        elif event["version"] == version > 0 and new != old:
            day, cell = new or old or ("", "")
            found[day][f"~conflict|{flow(cell)}"] += 1
    return {day: counter for day, counter in found.items() if any(counter.values())}


def margins_of(fold: PartitionFold) -> Margins:
    sheets = {day: decode(sheet).marginals for day, sheet in fold.all_sheets().items()}
    return {day: Counter(cells) for day, cells in sheets.items() if cells}


def event(record: str, version: int, hours: int, action: str = "record", **fields: Any) -> dict[str, Any]:
    """An arrival at START that was appended so many hours later."""
    about = {"occurred_at": START, "direction": "arrival", "citizenship": "UZ", "counterpart": "UZ", "purpose": "transit"}
    return {"record_id": record, "version": version, "action": action, "appended": hours, **about, **fields}


TWICE = [event("a", 1, 1), event("a", 2, 1, purpose="employment"), event("a", 3, 26), event("a", 3, 26, purpose="employment")]


@given(logs, st.sets(st.integers(1, 39)))
@example(TWICE, set())
@settings(max_examples=300, deadline=None)
def test_delays_and_fates_are_those_of_the_records_one_by_one_however_the_log_is_cut(
    log: list[dict[str, Any]], splits: set[int]
) -> None:
    assert margins_of(folded(log, splits)) == margins(log)


@given(logs, st.sets(st.integers(1, 39)))
@settings(max_examples=100, deadline=None)
def test_the_delays_of_a_day_add_up_to_its_counts(log: list[dict[str, Any]], splits: set[int]) -> None:
    for sheet in map(decode, folded(log, splits).all_sheets().values()):
        delays, counts = Counter[str](), Counter[str]()
        for cell, n in sheet.marginals.items():
            if cell.startswith("~delay|"):
                delays[cell.split("|")[1]] += n
        for cell, n in sheet.counts.items():
            counts[flow(cell)] += n
        assert +delays == +counts
        assert min(delays.values(), default=0) >= 0


@given(logs, st.integers(0, 70))
@settings(max_examples=100, deadline=None)
def test_delays_up_to_an_age_add_up_to_what_was_counted_at_that_age(log: list[dict[str, Any]], days: int) -> None:
    log = sorted((e for e in log if e["appended"] >= 0), key=appended)
    today = (START + timedelta(days=days)).astimezone(ALMATY).date()
    before = [e for e in log if appended(e).astimezone(ALMATY).date() <= today]
    then = days_of_flows(folded(before, set())) if before else {}
    known: Counter[tuple[str, str]] = Counter()
    for day, cells in (margins_of(folded(log, set())) if log else {}).items():
        age = (today - date.fromisoformat(day)).days
        for cell, n in cells.items():
            kind, name, *delay = cell.split("|")
            if kind == "~delay" and 0 <= age < 60 and int(delay[0]) <= age:
                known[day, name] += n
    assert +known == Counter({place: n for place, n in then.items() if 0 <= (today - date.fromisoformat(place[0])).days < 60})


def days_of_flows(fold: PartitionFold) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for day, sheet in fold.all_sheets().items():
        for cell, n in decode(sheet).counts.items():
            found[day, flow(cell)] += n
    return found


@given(logs)
@settings(max_examples=60, deadline=None)
def test_a_withdrawal_of_everything_leaves_rows_that_add_up_to_nothing(log: list[dict[str, Any]]) -> None:
    gone = [{"record_id": r, "version": 9, "action": "withdraw", "appended": 1700} for r in {e["record_id"] for e in log}]
    for cells in margins_of(folded(log + gone, {len(log)})).values():
        assert sum(n for cell, n in cells.items() if cell.startswith("~delay")) == 0


@given(st.tuples(logs, logs), st.integers(1, 39))
@settings(max_examples=100, deadline=None)
def test_a_quarters_entries_are_the_sum_over_partitions_and_days_kept_up_to_date_sheet_by_sheet(
    both: tuple[list[dict[str, Any]], list[dict[str, Any]]], step: int
) -> None:
    aggregates, held = Aggregates(), dict[str, bytes]()
    folds = [PartitionFold(RULES[FEED]) for _ in both]
    for begin in range(0, max(map(len, both)), step):
        for number, (fold, log) in enumerate(zip(folds, both, strict=True)):
            part = log[begin : begin + step]
            if part:
                fold.fold(records(part, begin))
                aggregates.apply(FEED, number, fold.changed_sheets())
        for key, value in aggregates.changes(1).items():
            held.pop(key, None)
            if value is not None:
                held[key] = value
    entries = {key: orjson.loads(value) for key, value in held.items() if key.startswith(("reporting|", "corrections|"))}
    assert {key: entry | {"flows": tables(entry)} if "flows" in entry else entry for key, entry in entries.items()} == wanted(both)


def tables(entry: Any) -> dict[str, Table]:
    """Read by hand: `[delay, n, n, ...]` for each day of the quarter."""
    first = date(int(entry["period"][:4]), 3 * int(entry["period"][-1]) - 2, 1)
    found: dict[str, Table] = {}
    for name, rows in entry["flows"].items():
        assert rows[-1], "a day without any at the end"
        for day, row in enumerate(rows):
            assert not row or (row[1] and row[-1]), "zeros before or after a day's numbers"
            for place, n in enumerate(row[1:]):
                if n:
                    found.setdefault(name, {})[(first + timedelta(days=day)).isoformat(), row[0] + place] = n
        assert {k: v for k, v in found[name].items() if v} == {
            ((first + timedelta(days=int(day))).isoformat(), int(delay)): int(flows_of(entry)[name][day, delay])
            for day, delay in zip(*flows_of(entry)[name].nonzero(), strict=True)
        }
    return found


def wanted(logs_of_partitions: tuple[list[dict[str, Any]], ...]) -> dict[str, dict[str, Any]]:
    cells: Counter[tuple[str, str, str]] = Counter()
    for log in logs_of_partitions:
        for day, counter in margins(log).items():
            for cell, n in counter.items():
                cells[f"{day[:4]}-Q{(int(day[5:7]) + 2) // 3}", day, cell] += n
    entries: dict[str, dict[str, Any]] = {}
    for period in {period for period, _, _ in cells}:
        flows: dict[str, Table] = {}
        fates: Counter[str] = Counter()
        for (where, day, cell), n in cells.items():
            kind, name, *delay = cell.split("|")
            if where == period and delay and n:
                flows.setdefault(name, {})[day, int(delay[0])] = n
            elif where == period and not delay:
                fates[kind] += n
        count = sum(sum(table.values()) for table in flows.values())
        about = {"period": period, "feed": FEED}
        if flows:
            entries[f"reporting|{period}|{FEED}"] = {"measure": "reporting", **about, "value": count, "flows": flows}
        if count or fates.total():
            named = {"corrected": fates["~corrected"], "withdrawn": fates["~withdrawn"], "conflicts": fates["~conflict"]}
            entries[f"corrections|{period}|{FEED}"] = {
                "measure": "corrections", **about, "value": fates.total(), **named, "records": count
            }  # fmt: skip
    return entries


# --- the other feeds ------------------------------------------------------------------------------------------------------------


def fold_of(feed: str, values: list[dict[str, Any]], arrived: datetime) -> PartitionFold:
    fold = PartitionFold(RULES[feed])
    n = len(values)
    keys: list[bytes | None] = [f"a/{value['record_id']}".encode() for value in values]
    times = [round(arrived.timestamp() * 1000)] * n
    fold.fold(Records(list(range(n)), times, keys, [orjson.dumps(v) for v in values], [(("schema", f"{feed}/1".encode()),)] * n))
    return fold


ARRIVED = datetime(2025, 6, 30, 20, tzinfo=UTC)  # 1 July in Almaty
OTHERS = {
    "work-permits": (
        {"citizenship": "CN", "category": "2", "valid_from": "2025-06-29", "valid_to": "2025-07-09"}, "permits_issued", 2
    ),
    "student-enrolments": (
        {"citizenship": "KZ", "level": "bachelor", "institution": "1", "enrolled_on": "2025-07-09"}, "enrolments", 0
    ),
    "residence-registrations": (
        {"occurred_on": "2025-03-01", "direction": "departure", "citizenship": "KZ", "counterpart": "RU", "purpose": "residence"},
        "residence_departures",
        60,
    ),
    "labour-emigration": ({"departed_on": "2025-06-30", "destination": "KR"}, "labour_emigration", 1),
    "visitor-stays": ({"arrived_on": "2025-07-01", "citizenship": "UZ", "kind": "medical"}, "medical", 0),
}  # fmt: skip


def test_each_feeds_records_are_late_by_the_local_days_from_their_own_day() -> None:
    for feed, (fields, name, late) in OTHERS.items():
        value = {"record_id": "1", "version": 1, "action": "record", **fields}
        fold = fold_of(feed, [value], ARRIVED)
        assert list(margins_of(fold).values()) == [{f"~delay|{name}|{late}": 1}], feed


def test_a_permit_revoked_later_is_a_corrected_one_on_its_first_day() -> None:
    permit = {"record_id": "1", "version": 1, "action": "record", **OTHERS["work-permits"][0]}
    fold = fold_of("work-permits", [permit, permit | {"version": 2, "revoked_on": "2025-07-01"}], ARRIVED)
    assert margins_of(fold) == {"2025-06-29": {"~delay|permits_issued|2": 1, "~corrected|permits_issued": 1}}


def test_violations_and_reference_figures_tell_nothing_beside_their_sheets() -> None:
    offence = {"occurred_on": "2025-06-29", "citizenship": "UZ", "kind": "overstay", "person": "0" * 32}
    fold = fold_of("migration-violations", [{"record_id": "1", "version": 1, "action": "record", **offence}], ARRIVED)
    assert all("~" not in text for text in fold.cells.texts)
