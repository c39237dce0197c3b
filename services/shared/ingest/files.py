"""Files of records, cut into chunks that one submission may hold, in the file's order.

Lines stay as they are. CSV rows become the JSON texts that the edge would make of them, by the same code, so that a row that is
none is known here already and every index means the same on both sides.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import zstandard

from services.shared.ingest.bodies import JSON, NDJSON, RECORDS_MAX, json_texts
from services.shared.ingest.csv_rows import Header, header_of, rows
from services.shared.ingest.refusal import RECORD_BYTES_MAX, TOO_LARGE, Refusal
from services.shared.ingest.unpack import UNPACKED_BYTES_MAX, ZSTD_WINDOW_BYTES_MAX
from services.shared.runtime.http.problem import Problem
from services.shared.runtime.process.errors import Failure, Unavailable, UsageError

CHUNK_BYTES_MAX = UNPACKED_BYTES_MAX - (1 << 10)  # brackets and separators fit in the rest
# A longer line can be no record: refused without sending. Shorter ones the service judges.
LINE_BYTES_MAX = 4 * RECORD_BYTES_MAX
# A block of four bytes of zstd can be 128 KiB: so much may unfold to 32 MiB at once, and usually does to a hundredth of that.
_ZSTD_PIECE_BYTES = 1 << 10
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

    Raises Failure if the file is not what its name says, Unavailable if it cannot be read.
    """
    kind_of(path)
    try:
        packed = path.open("rb")
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from None
    with packed:
        yield from chunks_of(packed, path, numbers)


def chunks_of(packed: BinaryIO, path: Path, numbers: frozenset[str], first: int = 0) -> Iterator[Chunk]:
    """The chunks of an open file, from the record with the index `first` on; `path` is its name, for its format and for errors.

    Whoever begins where one chunk ended gets the same chunks as whoever read from the beginning.
    """
    kind = kind_of(path)
    try:
        found = islice(_records(_unpacked(packed, path.suffix), kind, numbers), first, None)
        yield from _chunks(found, JSON if kind == ".json" else NDJSON, packed, first)
    except Problem as problem:
        raise Failure(f"{path}: {problem.detail}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise Failure(f"{path}: damaged, or not what its name says: {error}") from None
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from None


def _unpacked(packed: BinaryIO, suffix: str) -> io.BufferedReader:
    if suffix == ".gz":
        return io.BufferedReader(gzip.GzipFile(fileobj=packed), LINE_BYTES_MAX)
    if suffix == ".zst":
        return io.BufferedReader(_Unzstd(packed), LINE_BYTES_MAX)
    assert isinstance(packed, io.BufferedReader)
    return packed


class _Unzstd(io.RawIOBase):
    """What a file of zstd frames holds. The library's own reader takes a file that is cut off for one that is whole."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed, self._rest, self._open = packed, memoryview(b""), True
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
        self._frame = self._decompressor.decompressobj()
        self._unread = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = self._unread or self._packed.read(_ZSTD_PIECE_BYTES)
            if not piece:
                if self._open:
                    raise EOFError("it is cut off")
                return 0
            if self._frame.eof:
                self._frame = self._decompressor.decompressobj()
            self._rest = memoryview(self._frame.decompress(piece))
            self._unread = self._frame.unused_data if self._frame.eof else b""
            self._open = not self._frame.eof
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _chunks(found: Iterator[bytes | Refusal], media_type: str, packed: BinaryIO, first: int) -> Iterator[Chunk]:
    size, some = 0, list[bytes | Refusal]()
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
