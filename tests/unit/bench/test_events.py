"""The benchmark's events and its oracle: what every contestant is judged by."""

import json
from collections import Counter

import jsonschema
import orjson
import pytest

from bench.events import Shape, lines, submissions
from bench.oracle import Oracle, counts_of_prefixes
from bench.topic import by_partition
from schemas.generate import FOLDER

COUNT = 30_000


def event(version: int, **fields: object) -> bytes:
    crossing = {
        "version": version, "action": "record", "occurred_at": "2025-04-01T18:59:59.999Z", "direction": "arrival",
        "citizenship": "UZ", "counterpart": "KG", "purpose": "tourism",
    }  # fmt: skip
    return json.dumps(crossing | fields).encode()


def counted(*events: bytes) -> dict[str, int]:
    oracle = Oracle()
    for value in events:
        oracle.take(b"one", value)
    return oracle.counts()


FIRST = {"2025-04-01|arrival|UZ|KG|tourism": 1}


def test_the_last_millisecond_of_a_day_in_almaty_belongs_to_it_and_the_next_one_does_not() -> None:
    assert counted(event(1)) == FIRST
    assert counted(event(1, occurred_at="2025-04-01T19:00:00.000Z")) == {"2025-04-02|arrival|UZ|KG|tourism": 1}


def test_the_highest_version_counts_whenever_it_comes() -> None:
    corrected = event(2, purpose="transit")
    assert counted(event(1), corrected) == counted(corrected, event(1)) == {"2025-04-01|arrival|UZ|KG|transit": 1}


def test_a_repeat_counts_once() -> None:
    assert counted(event(1), event(1)) == FIRST


def test_a_withdrawn_record_leaves_and_an_older_version_does_not_bring_it_back() -> None:
    withdrawal = json.dumps({"version": 3, "action": "withdraw"}).encode()
    assert counted(event(1), withdrawal) == counted(event(1), withdrawal, event(2)) == {}
    assert counted(withdrawal, event(4)) == FIRST


def test_a_prefix_of_the_events_is_the_same_however_long_the_sequence_is() -> None:
    together = [pair for part in submissions(COUNT) for pair in zip(part.keys, part.values, strict=True)]
    apart = lines(COUNT - 7, 7)
    assert len(together) == COUNT
    assert together[-7:] == list(zip(apart.keys, apart.values, strict=True))


def test_the_right_counts_of_prefixes_are_those_of_their_events_alone() -> None:
    found = counts_of_prefixes([COUNT, 1_000])
    oracle, first = Oracle(), lines(0, 1_000)
    for key, value in zip(first.keys, first.values, strict=True):
        oracle.take(key, value)
    assert sorted(found) == [1_000, COUNT]
    assert found[1_000] == oracle.counts()
    assert sum(found[COUNT].values()) > sum(found[1_000].values())


@pytest.mark.parametrize("wide", [False, True])
def test_the_events_are_what_the_contract_says_and_two_in_a_hundred_speak_of_earlier_records(wide: bool) -> None:
    schema = orjson.loads((FOLDER / "border-crossings.event.schema.json").read_bytes())
    validator = jsonschema.Draft202012Validator(schema)
    part = lines(5_000, 2_000, Shape(wide=wide))
    events = [orjson.loads(value) for value in part.values]
    assert [problem.message for one in events[:300] for problem in validator.iter_errors(one)] == []
    assert all(key == b"local/" + one["record_id"].encode() for key, one in zip(part.keys, events, strict=True))
    kinds = Counter((one["action"], one["version"]) for one in events)
    earlier = sum(int(one["record_id"][9:]) != 5_000 + i for i, one in enumerate(events))
    assert set(kinds) == {("record", 1), ("record", 2), ("withdraw", 3)}
    assert 20 <= earlier <= 60
    assert all(int(one["record_id"][9:]) < 5_000 + i for i, one in enumerate(events) if one["version"] > 1)


def test_versions_of_a_record_share_a_partition() -> None:
    parts = by_partition(lines(0, 5_000))
    where = {key: number for number, part in enumerate(parts) for key, _ in part}
    assert sum(len(part) for part in parts) == 5_000
    assert all(where[key] == number for number, part in enumerate(parts) for key, _ in part)
