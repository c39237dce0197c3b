"""Batches read as columns hold what aiokafka reads of them record by record."""

import struct

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.runtime.kafka import batch_columns
from services.shared.runtime.kafka.batch_columns import COUNT_AT, WholeBatch, opened
from services.shared.statistics.exchange.records import Records, Stretches, Texts

SCHEMA = [("schema", b"border-crossings/1")]
NONE, GZIP, LZ4, ZSTD = 0, 1, 3, 4
ATTRIBUTES_AT, MAX_TIME_AT, CRC_AT = 21, 35, 17

objects = st.one_of(
    st.binary(max_size=200).map(lambda text: b"{" + text + b"}"),
    st.sampled_from([b"}", b"{}", b"{}}", b'{"a":{}}\x02\x0cschema$border-crossings/1}', b"{}\x00}", b'{"a":"}\x02\x0cschema"}']),
)
STAMPS = [b"1800000000000", b"1800000000001", b"1700000000000"]
# One sending has one stamp; foreign ones may be of another length, stand elsewhere or change within a batch.
sent = st.sampled_from([[("schema", b"border-crossings/1"), ("stamped", stamp)] for stamp in STAMPS])
odd_headers = st.sampled_from(
    [
        [],
        [("x", None)],
        [*SCHEMA, ("stamped", None)],
        [*SCHEMA, ("stamped", b"18")],
        [*SCHEMA, ("stamped", b"}}}}}}}}}}}}}")],
        [("stamped", STAMPS[0]), *SCHEMA],
        [*SCHEMA, ("stamped", STAMPS[0]), ("y", b"")],
        [("stamped", STAMPS[1])],
        [("schema", b"border-crossings/2"), ("stamped", STAMPS[0])],
    ]
)
odd = st.one_of(objects, st.none(), st.binary(max_size=5))
usual_row = st.tuples(st.binary(max_size=140), objects, st.just(SCHEMA), st.integers(0, 10**6))
stamped_row = st.tuples(st.binary(max_size=140), objects, sent, st.integers(0, 10**6))
odd_row = st.tuples(
    st.one_of(st.none(), st.binary(max_size=3)), odd, st.one_of(st.just(SCHEMA), sent, odd_headers), st.integers(-(10**12), 10**12)
)
rows = st.one_of(
    st.lists(usual_row, min_size=1, max_size=90),
    st.lists(stamped_row, min_size=1, max_size=90),
    st.lists(st.one_of(usual_row, stamped_row, odd_row), min_size=1, max_size=6),
)
batches = st.lists(
    st.tuples(rows, st.sampled_from([NONE, LZ4, ZSTD, LZ4, ZSTD, GZIP]), st.integers(0, 3), st.booleans()), min_size=1, max_size=4
)


def written(rows, codec: int, base: int, append_time: bool) -> bytes:  # type: ignore[no-untyped-def]
    """A batch as a broker gives it."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for number, (key, value, headers, time) in enumerate(rows):
        assert builder.append(number, 1_700_000_000_000 + time, key, value, headers) is not None
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    if append_time:
        data[ATTRIBUTES_AT + 1] |= 8
        struct.pack_into(">q", data, MAX_TIME_AT, 1_800_000_000_000 + base)
    struct.pack_into(">I", data, CRC_AT, calc_crc32c(bytes(data[ATTRIBUTES_AT:])))
    return bytes(data)


def fetched(data: list[bytes], start: int) -> list[WholeBatch]:
    return [WholeBatch(MemoryRecords(one).next_batch(), memoryview(one)[COUNT_AT:], start) for one in data]


def log(parts) -> list[bytes]:  # type: ignore[no-untyped-def]
    data, base = [], 0
    for rows, codec, gap, append_time in parts:
        data.append(written(rows, codec, base + gap, append_time))
        base += gap + len(rows)
    return data


def one_by_one(data: list[bytes], start: int) -> Records | None:
    return batch_columns._one_by_one(fetched(data, start))


@given(batches, st.integers(0, 5))
@settings(max_examples=400, deadline=None)
def test_columns_hold_what_aiokafka_reads_record_by_record(parts, start: int) -> None:  # type: ignore[no-untyped-def]
    data = log(parts)
    found, expected = opened(fetched(data, start)), one_by_one(data, start)
    assert (found.as_lists() if found else None) == expected


@given(
    st.lists(
        st.tuples(
            st.lists(usual_row, min_size=1, max_size=90), sent, st.sampled_from([NONE, LZ4, ZSTD]), st.just(0), st.just(True)
        ),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_what_an_ingest_service_writes_is_read_as_columns(parts, stamped: bool) -> None:  # type: ignore[no-untyped-def]
    rows = [
        ([(key, b'{"n":%d}' % len(value), stamp if stamped else SCHEMA, time) for key, value, _, time in part], *rest)
        for part, stamp, *rest in parts
    ]
    found = opened(fetched(log(rows), 0))
    assert found is not None
    assert isinstance(found.values, Texts)
    assert isinstance(found.headers, Stretches)
    assert len(found.headers.values) <= len(parts)
    assert found.as_lists() == one_by_one(log(rows), 0)


@pytest.mark.parametrize("codec", [LZ4, ZSTD])
def test_batches_that_become_far_larger_than_they_were_are_read_as_columns(codec: int) -> None:
    rows = [(b"key-%d" % number, b"{%s}" % (b" " * 10_000), SCHEMA, 0) for number in range(50)]
    data = log([(rows, codec, 0, True)] * 3)
    found = opened(fetched(data, 0))
    assert found is not None
    assert isinstance(found.values, Texts)
    assert found.as_lists() == one_by_one(data, 0)


def test_a_damaged_batch_is_refused() -> None:
    data = bytearray(written([(b"k", b"{}", SCHEMA, 0)] * 3, LZ4, 0, True))
    data[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        opened(fetched([bytes(data)], 0))
