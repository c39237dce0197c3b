"""CSV as RFC 4180 has it, row by row, so that a torn row costs itself and not those after it.

A row ends at a line end outside quotes. Where quotes never close, or what they enclose is no row, the line they open in is the bad
record, and reading goes on with the next line.
"""

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from services.shared.ingest.refusal import RECORD_BYTES_MAX, TOO_LARGE, Code, Refusal, number_literal
from services.shared.runtime.http.problem import Problem

KEY_COLUMN = "record_id"  # a first row without it is no header of any feed
BAD_ROW = Refusal(Code.MALFORMED_JSON, "", "not a CSV row of as many cells as the header, in UTF-8")


class Header(NamedTuple):
    """The columns, in order."""

    columns: tuple[str, ...]


def header_of(body: bytes) -> tuple[Header, bytes]:
    """The header and the rest of a body. Problem 400 if the first row is none."""
    first, _, rest = body.partition(b"\n")
    columns = _cells(first.removesuffix(b"\r"))
    if columns is None or KEY_COLUMN not in columns:
        raise Problem(400, f"the first row of a CSV body is the header, with {KEY_COLUMN} among its columns")
    if len(set(columns)) != len(columns):
        raise Problem(400, "the CSV header names a column twice")
    return Header(tuple(columns)), rest


def rows(header: Header, body: bytes, numbers: frozenset[str]) -> Iterator[bytes | Refusal]:
    """Each row as a JSON text, or refused. Empty cells are absent; cells of `numbers` that are JSON numbers are numbers."""
    lines = body.split(b"\n")
    closing = _next_odd(lines)
    at = 0
    while at < len(lines):
        last = at if lines[at].count(b'"') % 2 == 0 else closing[at + 1]
        row = _row(header, b"\n".join(lines[at : last + 1]), numbers) if last < len(lines) else BAD_ROW
        if row is BAD_ROW:
            last = at  # the next line is perhaps a good row
        at = last + 1
        if row is not None:
            yield row


def _next_odd(lines: list[bytes]) -> list[int]:
    """Per line, the first line from it on with an odd number of quotes (or the number of lines): where open quotes close."""
    found = [len(lines)] * (len(lines) + 1)
    for i in range(len(lines) - 1, -1, -1):
        found[i] = i if lines[i].count(b'"') % 2 else found[i + 1]
    return found


def _row(header: Header, text: bytes, numbers: frozenset[str]) -> bytes | Refusal | None:
    """One row; None if it is blank."""
    text = text.removesuffix(b"\r")
    if not text.strip():
        return None
    if len(text) > RECORD_BYTES_MAX:
        return BAD_ROW if b"\n" in text else TOO_LARGE
    cells = _cells(text)
    if cells is None or len(cells) != len(header.columns):
        return BAD_ROW
    parts = []
    for column, cell in zip(header.columns, cells, strict=True):
        if cell:
            literal = cell.encode() if column in numbers and number_literal(cell) else orjson.dumps(cell)
            parts.append(orjson.dumps(column) + b":" + literal)
    return b"{" + b",".join(parts) + b"}"


def _cells(text: bytes) -> list[str] | None:
    """The cells of one row, or None if it is not one row of CSV in UTF-8."""
    try:
        found = list(csv.reader(io.StringIO(text.decode("utf-8"), newline=""), strict=True))
    except (csv.Error, UnicodeDecodeError):
        return None
    return found[0] if len(found) == 1 else None
