"""Files of records, cut into chunks that one submission may hold, in the file's order.

Lines stay as they are. CSV rows become the JSON texts that the edge would make of them, by the same code, so that a row that is
none is known here already and every index means the same on both sides.
"""

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from services.shared.ingest.bodies import JSON, NDJSON, RECORDS_MAX, json_texts
from services.shared.ingest.csv_rows import Header, header_of, rows
from services.shared.ingest.problem import Problem
from services.shared.ingest.refusal import RECORD_BYTES_MAX, TOO_LARGE, Refusal
from services.shared.ingest.unpack import UNPACKED_BYTES_MAX
from services.shared.runtime.errors import Failure, UsageError

CHUNK_BYTES_MAX = UNPACKED_BYTES_MAX - (1 << 10)  # brackets and separators fit in the rest
# A longer line can be no record: refused without sending. Shorter ones the service judges.
LINE_BYTES_MAX = 4 * RECORD_BYTES_MAX
_SUFFIXES = (".ndjson", ".csv", ".json")
_PACKED = (".gz", ".zst")


@dataclass(frozen=True)
class Chunk:
    """Consecutive records of one file. `first`: index of the first in the file; `position`: bytes of the file read so far."""

    media_type: str
    first: int
    records: list[bytes | Refusal]
    position: int

    def body(self, indices: list[int]) -> bytes:
        """The body that submits the records at these places of the chunk."""
        texts = [text for i in indices if isinstance(text := self.records[i], bytes)]
        return b"[" + b",".join(texts) + b"]" if self.media_type == JSON else b"\n".join(texts)


def kind_of(path: Path) -> str:
    """The format of a file by its name: .ndjson, .csv or .json. UsageError for another."""
    name = path.with_suffix("") if path.suffix in _PACKED else path
    if name.suffix not in _SUFFIXES:
        raise UsageError(f"{path}: the name must end with {', '.join(_SUFFIXES)}, and may go on with .gz or .zst")
    return name.suffix


def chunks(path: Path, numbers: frozenset[str]) -> Iterator[Chunk]:
    """The chunks of a file. `numbers`: the feed's fields that are numbers.

    Raises Failure if the file cannot be read, or is not what its name says.
    """
    kind = kind_of(path)
    media_type = JSON if kind == ".json" else NDJSON
    try:
        with path.open("rb") as packed:
            yield from _chunks(_records(_unpacked(packed, path.suffix), kind, numbers), media_type, packed)
    except Problem as problem:
        raise Failure(f"{path}: {problem.detail}") from None
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise Failure(f"{path}: {error.strerror if isinstance(error, OSError) and error.strerror else error}") from None


def _unpacked(packed: BinaryIO, suffix: str) -> io.BufferedReader:
    if suffix == ".gz":
        return io.BufferedReader(gzip.GzipFile(fileobj=packed), LINE_BYTES_MAX)
    if suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True, closefd=False)
        return io.BufferedReader(reader, LINE_BYTES_MAX)
    assert isinstance(packed, io.BufferedReader)
    return packed


def _chunks(found: Iterator[bytes | Refusal], media_type: str, packed: BinaryIO) -> Iterator[Chunk]:
    first, size, some = 0, 0, list[bytes | Refusal]()
    for record in found:
        length = len(record) + 1 if isinstance(record, bytes) else 0
        if len(some) == RECORDS_MAX or size + length > CHUNK_BYTES_MAX:
            yield Chunk(media_type, first, some, packed.tell())
            first, size, some = first + len(some), 0, []
        some.append(record)
        size += length
    if some:
        yield Chunk(media_type, first, some, packed.tell())


def _records(file: io.BufferedReader, kind: str, numbers: frozenset[str]) -> Iterator[bytes | Refusal]:
    if kind == ".ndjson":
        return (line for line in _lines(file) if isinstance(line, Refusal) or line.strip())
    if kind == ".csv":
        return _csv(file, numbers)
    texts = json_texts(file.read().removeprefix(b"\xef\xbb\xbf"))
    return (text if len(text) <= LINE_BYTES_MAX else TOO_LARGE for text in texts)


def _lines(file: io.BufferedReader) -> Iterator[bytes | Refusal]:
    """The lines without their ends; one that is too long to be a record is skipped and refused."""
    bom = b"\xef\xbb\xbf"
    while line := file.readline(LINE_BYTES_MAX):
        line, bom = line.removeprefix(bom), b""
        if line.endswith(b"\n"):
            yield line[:-1]
        elif len(line) < LINE_BYTES_MAX - 3:  # the last line of the file
            yield line
        else:
            while (rest := file.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
                pass
            yield TOO_LARGE


def _csv(file: io.BufferedReader, numbers: frozenset[str]) -> Iterator[bytes | Refusal]:
    header: Header | None = None
    pending: list[bytes] = []  # lines of a row with a quote open
    size = quotes = 0
    for line in _lines(file):
        if isinstance(line, Refusal):
            yield line
            continue
        if header is None:
            header, _ = header_of(line)
            continue
        pending.append(line)
        size += len(line)
        quotes += line.count(b'"')
        if quotes % 2 == 0 or size > RECORD_BYTES_MAX:
            yield from rows(header, b"\n".join(pending), numbers)
            pending, size, quotes = [], 0, 0
    if pending and header is not None:
        yield from rows(header, b"\n".join(pending), numbers)
