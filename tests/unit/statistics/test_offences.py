"""Year sheets and frequencies of offences: worked out by hand, from records to aggregates."""

import json
from typing import Any

import orjson

from services.shared.feeds.catalogue import RULES
from services.shared.statistics.aggregation.aggregates import Aggregates
from services.shared.statistics.exchange.records import Records
from services.tally.partition import Effect, PartitionFold

FEED = "migration-violations"
NOW_MS = 1_751_340_000_000  # 2025-07-01
ALI, BEK, LEV = "a" * 32, "b" * 32, "c" * 32

Row = dict[str, Any]


def offence(record: str, version: int, person: str, day: str, citizenship: str = "UZ", kind: str = "work_without_permit") -> Row:
    return {"record_id": record, "version": version, "action": "record", "occurred_on": day, "citizenship": citizenship,
            "kind": kind, "person": person, "pseudonym_key": "0" * 8}  # fmt: skip


def withdrawn(record: str, version: int) -> Row:
    return {"record_id": record, "version": version, "action": "withdraw"}


class Stream:
    """One partition with what follows from it, batch by batch."""

    def __init__(self) -> None:
        self.fold = PartitionFold(RULES[FEED])
        self.aggregates = Aggregates()
        self.sheets: dict[str, bytes] = {}
        self.entries: dict[str, Any] = {}

    def take(self, *rows: Row) -> Effect:
        first, n = self.fold.offset, len(rows)
        header = (("schema", f"{FEED}/1".encode()),)
        keys: list[bytes | None] = [f"mvd/{row['record_id']}".encode() for row in rows]
        values: list[bytes | None] = [orjson.dumps(row) for row in rows]
        effect = self.fold.fold(Records(list(range(first, first + n)), [NOW_MS] * n, keys, values, [header] * n))
        changed = self.fold.changed_sheets()
        self.aggregates.apply(FEED, 0, changed)
        self.sheets = {k: v for k, v in {**self.sheets, **changed}.items() if v is not None}
        entries = {**self.entries, **self.aggregates.changes(NOW_MS)}
        self.entries = {k: json.loads(v) if isinstance(v, bytes) else v for k, v in entries.items() if v is not None}
        return effect

    def frequencies(self, area: str = "_T", year: str = "2025") -> dict[str, int] | None:
        entry = self.entries.get(f"violations|{year}|{area}")
        return None if entry is None else entry["frequencies"]


def test_a_person_is_counted_once_by_how_often_the_year_found_him_however_far_apart() -> None:
    stream = Stream()
    stream.take(offence("1", 1, ALI, "2025-01-01"), offence("2", 1, ALI, "2025-12-31"), offence("3", 1, BEK, "2025-06-30"))
    stream.take(offence("4", 1, ALI, "2024-12-31"), offence("5", 1, ALI, "2026-01-01"))
    assert stream.frequencies() == {"1": 1, "2": 1}
    assert (stream.frequencies(year="2024"), stream.frequencies(year="2026")) == ({"1": 1}, {"1": 1})
    assert stream.entries["violations|2025|_T"] == {
        "measure": "violations", "period": "2025", "area": "_T", "value": 2, "frequencies": {"1": 1, "2": 1},
    }  # fmt: skip


def test_only_work_without_a_permit_or_a_contract_is_counted() -> None:
    stream = Stream()
    stream.take(offence("1", 1, ALI, "2025-03-01", kind="overstay"), offence("2", 1, BEK, "2025-03-01", kind="other"))
    assert stream.entries == {}
    assert stream.sheets == {}
    stream.take(offence("3", 1, ALI, "2025-03-01"), offence("4", 1, ALI, "2025-03-01", kind="work_without_contract"))
    assert stream.frequencies() == {"2": 1}


def test_a_correction_moves_a_person_s_count_and_a_withdrawal_takes_it_back() -> None:
    stream = Stream()
    stream.take(offence("1", 1, ALI, "2025-03-31"), offence("2", 1, ALI, "2025-04-01"), offence("3", 1, BEK, "2025-04-01"))
    assert stream.frequencies() == {"1": 1, "2": 1}
    stream.take(offence("2", 2, BEK, "2025-04-01"))  # it was another person
    assert stream.frequencies() == {"1": 1, "2": 1}
    stream.take(offence("2", 3, BEK, "2024-12-31"))  # and another year
    assert (stream.frequencies(), stream.frequencies(year="2024")) == ({"1": 2}, {"1": 1})
    stream.take(withdrawn("2", 4), withdrawn("1", 2))
    assert (stream.frequencies(), stream.frequencies(year="2024")) == ({"1": 1}, None)
    assert "2024-01-01" not in stream.sheets
    stream.take(withdrawn("3", 2))
    assert stream.entries == {}
    assert stream.sheets == {}


def test_the_same_version_with_another_person_is_a_conflict_and_with_the_same_one_a_duplicate() -> None:
    stream = Stream()
    effect = stream.take(offence("1", 1, ALI, "2025-03-01"), offence("1", 1, ALI, "2025-03-01"), offence("1", 1, BEK, "2025-03-01"))
    assert (effect.counted, effect.duplicate, effect.dead) == (1, 1, [(2, "version_conflict")])
    assert stream.frequencies() == {"1": 1}


def test_groups_have_their_own_frequencies_and_the_total_pools_persons() -> None:
    stream = Stream()
    stream.take(
        offence("1", 1, ALI, "2025-03-01", "KG"), offence("2", 1, ALI, "2025-04-01", "UZ"),  # two passports, one person
        offence("3", 1, BEK, "2025-03-01", "CN"), offence("4", 1, LEV, "2025-03-01", "GE"),
    )  # fmt: skip
    assert stream.frequencies("EAEU") == {"1": 1}
    assert stream.frequencies("CIS") == {"2": 1}
    assert stream.frequencies("FAR_ABROAD") == {"1": 1}
    assert stream.frequencies() == {"1": 2, "2": 1}
    assert set(stream.entries) == {f"violations|2025|{area}" for area in ("_T", "CIS", "EAEU", "FAR_ABROAD")}


def test_a_sheet_is_of_a_year_and_holds_numbers_of_persons_and_no_person() -> None:
    stream = Stream()
    stream.take(offence("1", 1, ALI, "2025-03-01"), offence("2", 1, BEK, "2025-11-30"), offence("3", 1, BEK, "2025-12-01"))
    assert stream.sheets == {
        "2025-01-01": b'{"day":"2025-01-01","cells":["CIS|1","CIS|2","_T|1","_T|2"],"counts":[1,1,1,1]}',
    }
    assert stream.fold.all_sheets() == stream.sheets


def test_a_record_without_a_pseudonym_cannot_be_counted() -> None:
    stream = Stream()
    effect = stream.take(offence("1", 1, "AB1234567", "2025-03-01"), {**offence("2", 1, ALI, "2025-03-01"), "person": None})
    assert effect.dead == [(0, "invalid_record"), (1, "invalid_record")]
    assert stream.sheets == {}
