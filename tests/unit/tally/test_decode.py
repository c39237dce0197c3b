"""What tally does with records that no ingest service would have written."""

import pytest

from services.shared.feeds.catalogue import RULES
from services.shared.statistics.exchange.records import Records
from services.shared.statistics.folding.sheet import decode
from services.tally.partition import PartitionFold

GOOD = (
    b'{"record_id":"1","version":1,"action":"record","occurred_at":"2025-06-30T18:59:59.999Z",'
    b'"direction":"arrival","citizenship":"UZ","counterpart":"UZ","purpose":"employment"}'
)
SCHEMA = (("schema", b"border-crossings/1"),)


def fold_among_good(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...]
) -> tuple[PartitionFold, list[tuple[int, str]]]:
    fold = PartitionFold(RULES["border-crossings"])
    records = Records(
        [10, 11, 12], [1, 2, 3], [b"a/1", key, b"a/3"], [GOOD, value, GOOD], [SCHEMA, headers, SCHEMA]
    )  # fmt: skip
    return fold, fold.fold(records).dead


def counted(fold: PartitionFold) -> list[int]:
    return [n for sheet in fold.all_sheets().values() for n in decode(sheet).counts.values()]


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"not json", SCHEMA, "malformed_json"),
        (b"", SCHEMA, "no_value"),
        (None, SCHEMA, "no_value"),
        (b"[1,2]", SCHEMA, "malformed_json"),
        (GOOD + b"\n" + GOOD, SCHEMA, "malformed_json"),
        (GOOD.replace(b'"version":1', b'"version":"x"'), SCHEMA, "malformed_json"),
        (GOOD.replace(b'"version":1,', b""), SCHEMA, "invalid_record"),
        (GOOD.replace(b'"version":1', b'"version":null'), SCHEMA, "invalid_record"),
        (GOOD.replace(b'"version":1', b'"version":-1'), SCHEMA, "invalid_record"),
        (GOOD.replace(b'"version":1', b'"version":0.0'), SCHEMA, "malformed_json"),
        (GOOD.replace(b"arrival", b"sideways"), SCHEMA, "invalid_record"),
        (GOOD.replace(b'"record","', b'"erase","'), SCHEMA, "invalid_record"),
        (GOOD.replace(b"2025-06-30T", b"2025-06-31T"), SCHEMA, "invalid_record"),
        (GOOD.replace(b"2025-06-30T", b"1999-06-30T"), SCHEMA, "invalid_record"),
        (GOOD.replace(b'"citizenship":"UZ",', b""), SCHEMA, "invalid_record"),
        (GOOD, (), "unknown_schema"),
        (GOOD, (("schema", b"work-permits/1"),), "unknown_schema"),
        (GOOD, (("schema", b"border-crossings/2"),), "newer_schema"),
    ],
)
def test_a_poison_record_is_set_aside_with_its_reason_and_costs_no_neighbour(value, headers, reason) -> None:  # type: ignore[no-untyped-def]
    fold, dead = fold_among_good(b"a/2", value, headers)
    assert dead == [(1, reason)]
    assert list(fold.all_sheets()) == ["2025-06-30"]
    assert counted(fold) == [2]
    assert fold.offset == 13


def test_a_record_without_a_key_is_set_aside() -> None:
    assert fold_among_good(None, GOOD, SCHEMA)[1] == [(1, "no_key")]


def test_an_unknown_header_beside_the_schema_does_no_harm() -> None:
    fold, dead = fold_among_good(b"a/2", GOOD, (("trace", b"x"), *SCHEMA))
    assert dead == []
    assert counted(fold) == [3]


def test_a_batch_of_nothing_but_poison_is_set_aside_whole() -> None:
    fold = PartitionFold(RULES["border-crossings"])
    effect = fold.fold(Records([4], [1], [b"a/1"], [b"not json"], [SCHEMA]))
    assert effect == (0, 0, 0, [(0, "malformed_json")])
    assert fold.offset == 5
    assert fold.all_sheets() == {}
