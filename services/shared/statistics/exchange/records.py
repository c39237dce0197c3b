"""Records of one event partition in log order, as columns."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from operator import sub
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

Headers = tuple[tuple[str, bytes], ...]
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

WORD = 8  # bytes are looked at eight at a time: a buffer of texts goes on for this many bytes after the last one
_NEWLINE, _SPACE = 10, 32
_SPACES = np.uint64(int.from_bytes(b" " * WORD))


def words(buffer: Bytes, at: Integers) -> NDArray[np.uint64]:
    """Eight bytes from each place on, the first one lowest. They must be inside the buffer."""
    return np.ndarray((len(buffer) - WORD + 1,), "<u8", buffer, 0, (1,))[at]


class Texts(Sequence[bytes | None]):
    """A column of byte strings that lie in one buffer, in order: `starts`, `lengths` (-1: None). The buffer has WORD bytes more."""

    def __init__(self, buffer: Bytes, starts: Integers, lengths: Integers) -> None:
        self.buffer, self.starts, self.lengths = buffer, starts, lengths

    @staticmethod
    def of(column: Sequence[bytes | None]) -> "Texts":
        if isinstance(column, Texts):
            return column
        lengths = np.fromiter((-1 if text is None else len(text) for text in column), np.int64, len(column))
        ends = np.cumsum(np.maximum(lengths, 0) + 1)  # a byte between two of them, for the end of a line
        joined = b"\n".join([*(text or b"" for text in column), b"\0" * WORD])
        return Texts(np.frombuffer(joined, np.uint8), ends - 1 - np.maximum(lengths, 0), lengths)

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> bytes | None: ...
    @overload
    def __getitem__(self, place: slice) -> "Texts": ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return Texts(self.buffer, self.starts[place], self.lengths[place])
        start, length = int(self.starts[place]), int(self.lengths[place])
        return None if length < 0 else self.buffer[start : start + length].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        data = self.buffer.data
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            yield None if length < 0 else bytes(data[start : start + length])

    def take(self, places: Integers) -> "Texts":
        return Texts(self.buffer, self.starts[places], self.lengths[places])

    def lines(self) -> bytes:
        """All of them, one to a line, perhaps with spaces before; none of them may be None."""
        starts, ends = self.starts, self.starts + self.lengths
        gaps = starts[1:] - ends[:-1]
        tight = bool((gaps == 1).all())
        if not tight and gaps.min() < WORD:
            return b"\n".join([text or b"" for text in self])
        origin = int(starts[0])
        copy = np.empty(int(ends[-1]) - origin, np.uint8)
        copy[:] = self.buffer[origin : int(ends[-1])]
        if not tight:  # the last words of a gap may overlap: spaces over spaces
            blanks = np.ndarray((len(copy) - WORD + 1,), np.uint64, copy, 0, (1,))
            last = starts[1:] - origin - WORD
            for step in range(0, int(gaps.max()), WORD):
                blanks[np.minimum(ends[:-1] - origin + step, last)] = _SPACES
        copy[ends[:-1] - origin] = _NEWLINE
        return copy.tobytes()


class Stretches(Sequence[Any]):
    """A column whose value is the same for long stretches: `values`, and the place after the last one of each."""

    def __init__(self, values: list[Any], ends: list[int]) -> None:
        self.values, self._ends = values, ends

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            begin, end, step = place.indices(len(self))
            assert step == 1
            cut = [(value, min(stop, end) - begin) for value, stop in zip(self.values, self._ends, strict=True) if stop > begin]
            kept = [n for n, (_, stop) in enumerate(cut) if stop > (cut[n - 1][1] if n else 0)]
            return Stretches([cut[n][0] for n in kept], [cut[n][1] for n in kept])
        return self.values[bisect_right(self._ends, range(len(self))[place])]

    def __iter__(self) -> Iterator[Any]:
        sizes = map(sub, self._ends, [0, *self._ends])
        return chain.from_iterable(map(repeat, self.values, sizes))

    def beside(self, other: "Stretches") -> Iterator[tuple[Any, Any]]:
        """The pairs of values that stand side by side in two columns of one length, in order, each stretch of a pair once."""
        mine = theirs = 0
        while mine < len(self.values):
            yield self.values[mine], other.values[theirs]
            end, others_end = self._ends[mine], other._ends[theirs]
            mine += end <= others_end
            theirs += others_end <= end


class Records(NamedTuple):
    """Columns of equal length, not empty. `timestamps`: append times, milliseconds since the Unix epoch."""

    offsets: Sequence[int]
    timestamps: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers]

    @property
    def first_offset(self) -> int:
        return self.offsets[0]

    @property
    def many(self) -> int:
        return len(self.offsets)

    def as_lists(self) -> "Records":
        return Records(list(self.offsets), list(self.timestamps), list(self.keys), list(self.values), list(self.headers))


def distinct_values(column: Sequence[Any]) -> set[Any]:
    """What occurs in a column."""
    return set(column.values if isinstance(column, Stretches) else column)


def joined(batches: list[Records]) -> Records:
    """Several batches of a partition, in log order, as one."""
    if len(batches) == 1:
        return batches[0]
    return Records(*(list(chain.from_iterable(columns)) for columns in zip(*batches, strict=True)))
