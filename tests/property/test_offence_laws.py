"""The law of the frequencies of offences: whatever is corrected and withdrawn, batch by batch, they are those of what stands."""

from collections import Counter, defaultdict
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.feeds.catalogue import RULES
from services.shared.statistics.exchange.ledger_set import Changes
from services.shared.statistics.exchange.records import Records
from services.shared.statistics.folding.sheet import decode
from services.tally.partition import PartitionFold

CIS, EAEU, NEITHER = {"UZ", "KG"}, {"KG"}, {"GE"}

events = st.fixed_dictionaries(
    {
        "record_id": st.sampled_from("abcdefgh"),
        "version": st.integers(1, 5),
        "action": st.sampled_from(["record", "record", "record", "withdraw"]),
        "occurred_on": st.sampled_from(["2023-12-31", "2024-01-01", "2024-02-29", "2024-12-31", "2025-01-01"]),
        "citizenship": st.sampled_from(["UZ", "KG", "CN", "GE"]),
        "kind": st.sampled_from(["work_without_permit", "work_without_contract", "overstay", "other"]),
        "person": st.sampled_from(["0" * 32, "1" * 32, "2" * 32]),
    }
)


def standing(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each record the highest version, the first of equal ones; a withdrawal leaves nothing."""
    best: dict[str, dict[str, Any]] = {}
    for event in log:
        if event["record_id"] not in best or event["version"] > best[event["record_id"]]["version"]:
            best[event["record_id"]] = event
    return [event for event in best.values() if event["action"] == "record"]


def expected(log: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    times: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for event in standing(log):
        if event["kind"].startswith("work_without"):
            country, year = event["citizenship"], event["occurred_on"][:4]
            areas = ["_T", *(["CIS"] if country in CIS else []), *(["EAEU"] if country in EAEU else [])]
            for area in areas if country in CIS | NEITHER else [*areas, "FAR_ABROAD"]:
                times[year, area][event["person"]] += 1
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for (year, area), persons in times.items():
        for n in persons.values():
            found[f"{year}-01-01"][f"{area}|{n}"] += 1
    return {day: dict(counts) for day, counts in found.items()}


@given(st.lists(events, min_size=1, max_size=40), st.sets(st.integers(0, 40)))
@settings(max_examples=300, deadline=None)
def test_year_sheets_kept_batch_by_batch_say_how_often_each_person_stands(log: list[dict[str, Any]], splits: set[int]) -> None:
    fold, begin = PartitionFold(RULES["migration-violations"]), 0
    sheets: Changes = {}
    for end in sorted({*(s for s in splits if 0 < s < len(log)), len(log)}):
        part = log[begin:end]
        values: list[bytes | None] = [
            orjson.dumps({k: v for k, v in e.items() if e["action"] == "record" or k in ("record_id", "version", "action")})
            for e in part
        ]
        keys: list[bytes | None] = [f"mvd/{e['record_id']}".encode() for e in part]
        header = (("schema", b"migration-violations/1"),)
        fold.fold(Records(list(range(begin, end)), [1] * len(part), keys, values, [header] * len(part)))
        sheets |= fold.changed_sheets()
        begin = end
    held = {day: sheet for day, sheet in sheets.items() if sheet is not None}
    assert {day: decode(sheet).counts for day, sheet in held.items()} == expected(log)
    assert fold.all_sheets() == held
