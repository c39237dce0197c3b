"""Dividing bodies into records."""

import gzip
import json

import pytest
import zstandard

from services.shared.ingest import bodies, unpack
from services.shared.ingest.bodies import CSV, JSON, NDJSON, RECORDS_MAX, records
from services.shared.ingest.csv_rows import BAD_ROW
from services.shared.ingest.refusal import TOO_LARGE
from services.shared.runtime.http.problem import Problem

NUMBERS = frozenset({"version"})


def csv(*lines: str) -> list[object]:
    found = records("\n".join(("record_id,version,person", *lines)).encode(), CSV, NUMBERS)
    return [json.loads(r) if isinstance(r, bytes) else r for r in found]


def test_blank_lines_are_no_records() -> None:
    assert records(b'\xef\xbb\xbf{"a":1}\r\n\r\n  \n{"a":2}', NDJSON, NUMBERS) == [b'{"a":1}\r', b'{"a":2}']


def test_an_array_is_divided_without_judging_its_elements() -> None:
    body = b' [ {"a": [1, {"b": "]"}]} ,\n NaN , 5,"\xff" ] '
    assert records(body, JSON, NUMBERS) == [b'{"a": [1, {"b": "]"}]}', b"NaN", b"5", b'"\xff"']


def test_one_object_is_one_record_and_an_empty_array_none() -> None:
    assert records(b' {"a": 1}\n', JSON, NUMBERS) == [b'{"a": 1}']
    assert records(b"[ ]", JSON, NUMBERS) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"5", b'"x"', b"[1,]", b"[1 2]", b"[1", b"[1]]", b'{"a":1', b'{"a":1}{}', b"[" * 100_000, '[{"a":1}]'.encode("utf-16")],
)
def test_a_body_that_is_no_json_as_a_whole_is_a_problem(body: bytes) -> None:
    with pytest.raises(Problem) as problem:
        records(body, JSON, NUMBERS)
    assert problem.value.status == 400


def test_csv_cells_are_text_but_for_numbers_and_empty_ones_are_absent() -> None:
    assert csv("a,1,007", "b,,", 'c,1.5,"x,""y"""', "d,01,", "e,true,", "f, 1,") == [
        {"record_id": "a", "version": 1, "person": "007"},
        {"record_id": "b"},
        {"record_id": "c", "version": 1.5, "person": 'x,"y"'},
        {"record_id": "d", "version": "01"},
        {"record_id": "e", "version": "true"},
        {"record_id": "f", "version": " 1"},
    ]


def test_a_quoted_cell_may_hold_a_line_end() -> None:
    assert csv('a,1,"x\ny"', "b,2,z") == [
        {"record_id": "a", "version": 1, "person": "x\ny"},
        {"record_id": "b", "version": 2, "person": "z"},
    ]


@pytest.mark.parametrize("torn", ['b,2,"x', "b,2", "b,2,x,y", 'b,2,"x"y'])
def test_a_torn_row_costs_itself_and_no_other(torn: str) -> None:
    good = [{"record_id": "a", "version": 1}, {"record_id": "c", "version": 3}]
    assert csv("a,1,", torn, "c,3,") == [good[0], BAD_ROW, good[1]]


def test_two_torn_rows_do_not_hide_the_good_one_between_them() -> None:
    assert csv('a,1,"x', "b,2,", 'c,3,"y', "d,4,") == [
        BAD_ROW,
        {"record_id": "b", "version": 2},
        BAD_ROW,
        {"record_id": "d", "version": 4},
    ]


def test_a_row_that_is_too_long_is_too_large_and_costs_no_other() -> None:
    for cell in ("x" * 70_000, "x" * 200_000):
        assert csv("a,1,", "b,2," + cell, "c,3,")[1] is TOO_LARGE
    good = [{"record_id": f"r{i}", "version": i} for i in range(1, 8000)]
    rows = [f"r{i},{i}," for i in range(1, 8000)]
    assert csv('a,1,"x', *rows, 'z,1,y"') == [BAD_ROW, *good, BAD_ROW]


def test_a_row_in_another_encoding_costs_itself() -> None:
    found = records(b"record_id\na\n\xff\xfe\nb", CSV, NUMBERS)
    assert found == [b'{"record_id":"a"}', BAD_ROW, b'{"record_id":"b"}']


@pytest.mark.parametrize("body", [b"", b"a,1\n", b"citizenship,mode\nUZ,road\n", b"record_id,a,a\n", b'record_id,"a\n'])
def test_csv_without_a_header_is_a_problem(body: bytes) -> None:
    with pytest.raises(Problem) as problem:
        records(body, CSV, NUMBERS)
    assert problem.value.status == 400


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (NDJSON, b"{}\n" * RECORDS_MAX),
        (JSON, b"[" + b",".join([b"{}"] * RECORDS_MAX) + b"]"),
        (CSV, b"record_id\n" + b"a\n" * RECORDS_MAX),
    ],
)
def test_the_limit_of_records_is_exact(media_type: str, body: bytes) -> None:
    assert len(records(body, media_type, NUMBERS)) == RECORDS_MAX
    more = body[:-1] + b",{}]" if media_type == JSON else body + b"a"
    with pytest.raises(Problem) as problem:
        records(more, media_type, NUMBERS)
    assert problem.value.status == 413


def test_a_body_of_blank_lines_is_stopped_before_it_costs_memory() -> None:
    with pytest.raises(Problem) as problem:
        records(b"\n" * (bodies.LINES_MAX + 1), NDJSON, NUMBERS)
    assert problem.value.status == 413


@pytest.mark.parametrize("size", [0, 1, unpack.UNPACKED_BYTES_MAX])
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_what_was_packed_is_unpacked_up_to_the_limit(encoding: str, size: int) -> None:
    pack = gzip.compress if encoding == "gzip" else zstandard.compress
    assert unpack.unpack(pack(b"x" * size, 1), encoding) == b"x" * size
    assert unpack.unpack(pack(b"ab", 1) + pack(b"cd", 1), encoding) == b"abcd"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_stopped_at_the_limit(encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zstandard.compress
    for bomb in (pack(b"\0" * (unpack.UNPACKED_BYTES_MAX + 1), 1), pack(b"\0" * (10 << 20), 1) * 2):
        with pytest.raises(Problem) as problem:
            unpack.unpack(bomb, encoding)
        assert problem.value.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_damaged_or_cut_off_body_is_a_problem(encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zstandard.compress
    whole = pack(bytes(range(256)) * 100, 1)
    for bad in (b"", b"not packed", whole[:-1], whole[: len(whole) // 2], whole + b"rest", whole[:3]):
        with pytest.raises(Problem) as problem:
            unpack.unpack(bad, encoding)
        assert problem.value.status == 400
