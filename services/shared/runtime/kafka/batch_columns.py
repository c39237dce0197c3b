"""The records of Kafka's record batches (format v2) as columns, without walking from one record to the next.

Where a record ends is guessed (`}` and then the headers of the first record) and then proved: every record says how long it is, so
if each guessed record is as long as it says, the guess is the one division of the bytes into records. What is not as expected
(other headers, a value that is no JSON object, a null) is left to aiokafka's own reader. One header may differ from batch to batch,
the time at which it was sent: it is as long everywhere, and read from every record.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cramjam
import numpy as np
from aiokafka.errors import CorruptRecordException

from services.shared.statistics.exchange.log_time import STAMP
from services.shared.statistics.exchange.records import WORD, Bytes, Headers, Records, Stretches, Texts, words
from services.shared.statistics.folding.contribution import Integers

COUNT_AT = 57  # in a batch: the number of its records, in four bytes, then the records, perhaps compressed
_COUNT_BYTES = 4
_SPARE = 4 * WORD  # after the records: a word may be read at any place that a wrong length points to


class _Plain:
    """No compression, as a codec of cramjam."""

    @staticmethod
    def decompress_into(data: memoryview, into: memoryview) -> int:
        into[: len(data)] = data
        return len(data)

    decompress = bytes


_UNPACK: dict[int, Any] = {0: _Plain, 3: cramjam.lz4, 4: cramjam.zstd}  # by number of the codec; others are left to aiokafka
_APPEND_TIME = 1
# Room for what a compressed batch becomes; one that becomes more gets its own. Room that is not used costs nothing.
_EXPANSION, _EXPANSION_SPARE = 10, 1 << 16
_VARINT_BYTES_MAX = 5  # of the numbers in a record; a longer one (a year between two records of a batch) is left to aiokafka
_LAST_OF_BYTE, _ONE = np.uint64(0x8080808080808080), np.uint64(1)
_VARINT_MASKS = tuple(np.uint64(0x7F << (7 * i)) for i in range(_VARINT_BYTES_MAX))
_BRACE = ord("}")
_STAMP_BYTES = 13  # milliseconds from 2001 to 2286; at least a word, at most two


class _Unusual(Exception):
    """A batch that only aiokafka's own reader reads."""


class WholeBatch(NamedTuple):
    """A batch as it was fetched: aiokafka's reader of it, its bytes from the number of records on, and the offset to begin at."""

    reader: Any
    payload: memoryview
    first_offset: int

    @property
    def many(self) -> int:
        """How many records, or a little more."""
        return int(self.reader.next_offset) - self.first_offset


def opened(batches: list[WholeBatch]) -> Records | None:
    """The records of some batches of a partition, in log order; None if there are none.

    Raises CorruptRecordException. Takes its time: not for the event loop's thread.
    """
    for batch in batches:
        if not batch.reader.validate_crc():
            raise CorruptRecordException("Invalid CRC")
    try:
        return _columns(batches)
    except _Unusual:
        return _one_by_one(batches)


def _one_by_one(batches: list[WholeBatch]) -> Records | None:
    rows = [row for batch in batches for row in batch.reader if row.offset >= batch.first_offset]
    if not rows:
        return None
    return Records(
        [row.offset for row in rows],
        [row.timestamp for row in rows],
        [row.key for row in rows],
        [row.value for row in rows],
        [tuple(row.headers) for row in rows],
    )


def _columns(batches: list[WholeBatch]) -> Records:
    buffer, ends = _decompressed(batches)
    tail, headers = _tail(buffer, int(ends[-1]))
    stamp_at = _stamp_in(tail, headers)
    starts, stops = _division(buffer, int(ends[-1]), tail, stamp_at)
    length, at = _varints(buffer, starts)
    _expect(length > 0)
    _expect(at + length == stops)
    _expect(buffer[at] == 0)  # attributes: none are defined
    time_delta, at = _varints(buffer, at + 1)
    offset_delta, at = _varints(buffer, at)
    key_length, key_at = _varints(buffer, at)
    _expect((key_length >= -1) & (key_length < length))
    value_length, value_at = _varints(buffer, key_at + np.maximum(key_length, 0))
    _expect(value_length > 0)
    _expect(value_at + value_length == stops - len(tail))
    # Which batch a record is in: a batch ends where a record ends.
    borders = np.searchsorted(stops, ends) + 1
    _expect(stops[borders - 1] == ends)
    many = np.diff(borders, prepend=0)
    _expect(many == [int.from_bytes(batch.payload[:_COUNT_BYTES]) for batch in batches])
    offsets = np.repeat(np.array([batch.reader.base_offset for batch in batches], np.int64), many) + offset_delta
    _expect(np.diff(offsets) > 0)
    first = int(np.searchsorted(offsets, batches[0].first_offset))  # the first batch may begin before the place that was asked for
    _expect(first < len(offsets))
    return Records(
        offsets[first:].data,
        _times(batches, borders, time_delta)[first:],
        Texts(buffer, key_at, key_length)[first:],
        Texts(buffer, value_at, value_length)[first:],
        _headers(buffer, headers, None if stamp_at is None else stops - len(tail) + stamp_at, len(offsets))[first:],
    )


def _decompressed(batches: list[WholeBatch]) -> tuple[Bytes, Integers]:
    """(the records of all batches, one after the other, and _SPARE bytes; where each batch ends)."""
    room = sum(len(batch.payload) for batch in batches) * _EXPANSION + _EXPANSION_SPARE
    buffer, end = np.empty(room, np.uint8), 0
    ends = []
    for batch in batches:
        packed = batch.payload[_COUNT_BYTES:]
        unpack = _UNPACK.get(batch.reader.compression_type)
        if batch.reader.magic != 2 or unpack is None:
            raise _Unusual
        try:
            end += unpack.decompress_into(packed, buffer.data[end : len(buffer) - _SPARE])
        except cramjam.DecompressionError:  # damaged, or larger than there is room for
            alone = np.frombuffer(unpack.decompress(packed), np.uint8)
            buffer = np.concatenate([buffer[:end], alone, np.empty(room, np.uint8)])
            end += len(alone)
        ends.append(end)
    _expect(end > 0)
    buffer[end : end + _SPARE] = 0
    return buffer[: end + _SPARE], np.array(ends, np.int64)


def _tail(buffer: Bytes, end: int) -> tuple[bytes, Headers]:
    """(how the first record ends after its value, the headers that this says)."""
    at = 0

    def number() -> int:
        nonlocal at
        _expect(at < end)
        value, after = _varints(buffer, np.array([at]))
        at = int(after[0])
        return int(value[0])

    def text(length: int) -> bytes:
        nonlocal at
        _expect(0 <= length <= end - at)
        at += length
        return buffer[at - length : at].tobytes()

    number()
    at += 1
    number(), number()
    text(max(0, number()))
    text(number())
    begin, headers = at, []
    for _ in range(number()):
        name = text(number())
        length = number()
        headers.append((name.decode("utf-8", "replace"), text(length)))
    return buffer[begin:at].tobytes(), tuple(headers)


def _stamp_in(tail: bytes, headers: Headers) -> int | None:
    """Where in the tail the time of sending stands; None where it is not written as ingest writes it, as the last header."""
    if headers and headers[-1][0] == STAMP and len(headers[-1][1]) == _STAMP_BYTES:
        return len(tail) - _STAMP_BYTES
    return None


def _division(buffer: Bytes, end: int, tail: bytes, stamp_at: int | None) -> tuple[Integers, Integers]:
    """(where records begin, where they end), if each ends with a brace and `tail`, whatever its stamp is."""
    after_brace = np.flatnonzero(buffer[:end] == _BRACE) + 1
    after_brace = after_brace[after_brace + len(tail) <= end]
    known = b"\xff" * (len(tail) if stamp_at is None else stamp_at)
    for step in [*range(0, len(known) - WORD, WORD), max(0, len(known) - WORD)]:
        mask = np.uint64(int.from_bytes(known[step : step + WORD], "little"))
        word = np.uint64(int.from_bytes(tail[step : step + WORD], "little"))
        fits = (words(buffer, after_brace + step) & mask) == word & mask
        if not fits.all():
            after_brace = after_brace[fits]
    stops = after_brace + len(tail)
    _expect(len(stops) > 0 and stops[-1] == end)
    return np.concatenate([np.zeros(1, np.int64), stops[:-1]]), stops


def _headers(buffer: Bytes, headers: Headers, stamps: Integers | None, many: int) -> Stretches:
    """The column of headers: `headers`, with the last one's value from where `stamps` says, if they are to be read at all."""
    if stamps is None:
        return Stretches([headers], [many])
    first, last = words(buffer, stamps), words(buffer, stamps + (_STAMP_BYTES - WORD))
    changes = (np.flatnonzero((first[1:] != first[:-1]) | (last[1:] != last[:-1])) + 1).tolist()
    values = [buffer[at : at + _STAMP_BYTES].tobytes() for at in stamps[[0, *changes]].tolist()]
    return Stretches([(*headers[:-1], (STAMP, value)) for value in values], [*changes, many])


def _times(batches: list[WholeBatch], borders: Integers, delta: Integers) -> Sequence[int]:
    readers = [batch.reader for batch in batches]
    if all(reader.timestamp_type == _APPEND_TIME for reader in readers):
        return Stretches([reader.max_timestamp for reader in readers], borders.tolist())
    appended = np.array([reader.timestamp_type == _APPEND_TIME for reader in readers])
    newest, first = (
        np.array(column, np.int64) for column in zip(*((r.max_timestamp, r.first_timestamp) for r in readers), strict=True)
    )
    batch = np.repeat(np.arange(len(batches)), np.diff(borders, prepend=0))
    times: Integers = np.where(appended[batch], newest[batch], first[batch] + delta)
    return times.data


def _varints(buffer: Bytes, at: Integers) -> tuple[Integers, Integers]:
    """(the numbers written at these places, the places after them)."""
    word = words(buffer, at)
    last = ~word & _LAST_OF_BYTE
    written = last ^ (last - _ONE)  # all bits up to the first byte that does not go on
    word &= written
    size = np.bitwise_count(written) >> 3
    _expect(size <= _VARINT_BYTES_MAX)
    value = word & _VARINT_MASKS[0]
    for shift, mask in enumerate(_VARINT_MASKS[1 : int(size.max(initial=1))], 1):
        value |= (word >> np.uint64(shift)) & mask
    return ((value >> _ONE) ^ (np.uint64(0) - (value & _ONE))).view(np.int64), at + size


def _expect(condition: object) -> None:
    if not np.all(condition):  # type: ignore[call-overload]
        raise _Unusual
