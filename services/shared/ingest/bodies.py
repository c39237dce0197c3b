"""From an unpacked body to its records: every format becomes the same JSON texts, so that every record meets the same rules."""

import json
import math
import re

from services.shared.ingest.csv_rows import Header, header_of, rows
from services.shared.ingest.refusal import Refusal
from services.shared.runtime.http.problem import Problem

RECORDS_MAX = 20_000  # the contract's limit of a submission
LINES_MAX = 10 * RECORDS_MAX  # blank lines are free, within reason: 16 MiB of them would cost 128 MiB of list
NDJSON, JSON, CSV = "application/x-ndjson", "application/json", "text/csv"
MEDIA_TYPES = (NDJSON, JSON, CSV)
_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(r"[ \t\n\r]*")  # JSON's own white space
_DECODER = json.JSONDecoder(strict=False)  # only finds where a value ends; the value is judged by the edge


def records(body: bytes, media_type: str, numbers: frozenset[str]) -> list[bytes | Refusal]:
    """The records of a body in their order: a JSON text each, or a refusal where there is none.

    `numbers` are the fields that CSV, which has only text, is to read as numbers. Problem 400 if the body cannot be divided into
    records at all, 413 if they are too many.
    """
    body = body.removeprefix(_BOM)
    if body.count(b"\n") > LINES_MAX:
        raise Problem(413, f"a submission has at most {LINES_MAX} lines")
    found: list[bytes | Refusal]
    if media_type == NDJSON:
        found = [line for line in body.split(b"\n") if line.strip()]
    elif media_type == JSON:
        found = list(json_texts(body, RECORDS_MAX))
    else:
        assert media_type == CSV
        header, rest = header_of(body)
        found = _from_csv(header, rest, numbers)
    if len(found) > RECORDS_MAX:
        raise _too_many()
    return found


def _too_many() -> Problem:
    return Problem(413, f"a submission has at most {RECORDS_MAX} records")


def _from_csv(header: Header, body: bytes, numbers: frozenset[str]) -> list[bytes | Refusal]:
    found: list[bytes | Refusal] = []
    for row in rows(header, body, numbers):
        found.append(row)
        if len(found) > RECORDS_MAX:
            raise _too_many()
    return found


def json_texts(body: bytes, count_max: float = math.inf) -> list[bytes]:
    """The texts of the elements of a JSON array, or of the one object. What is wrong inside an element stays in it.

    Problem 400 if the body is neither, 413 if it has more elements than `count_max`.
    """
    text = body.decode("utf-8", "surrogateescape")
    try:
        return [value.encode("utf-8", "surrogateescape") for value in _texts(text, count_max)]
    except (json.JSONDecodeError, RecursionError, ValueError):
        raise Problem(400, "the body is not JSON") from None


def _texts(text: str, count_max: float) -> list[str]:
    start = _skip(text, 0)
    if text[start : start + 1] == "{":
        end = _end(text, start)
        if _skip(text, end) != len(text):
            raise ValueError("something follows the object")
        return [text[start:end]]
    if text[start : start + 1] != "[":
        raise ValueError("neither an object nor an array")
    found: list[str] = []
    at = _skip(text, start + 1)
    closed = text[at : at + 1] == "]"
    while not closed:
        end = _end(text, at)
        found.append(text[at:end])
        if len(found) > count_max:
            raise _too_many()
        at = _skip(text, end)
        closed = text[at : at + 1] == "]"
        if not closed:
            if text[at : at + 1] != ",":
                raise ValueError("no comma between elements")
            at = _skip(text, at + 1)
    if _skip(text, at + 1) != len(text):
        raise ValueError("something follows the array")
    return found


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None  # the pattern matches nothing, too
    return match.end()


def _end(text: str, start: int) -> int:
    return _DECODER.raw_decode(text, start)[1]
