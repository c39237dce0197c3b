"""Records of one event partition in log order, as columns."""

from itertools import chain
from typing import NamedTuple

Headers = tuple[tuple[str, bytes], ...]


class Records(NamedTuple):
    """Columns of equal length, not empty. `timestamps`: append times, milliseconds since the Unix epoch."""

    offsets: list[int]
    timestamps: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Headers]


def joined(batches: list[Records]) -> Records:
    """Several batches of a partition, in log order, as one."""
    if len(batches) == 1:
        return batches[0]
    return Records(*(list(chain.from_iterable(columns)) for columns in zip(*batches, strict=True)))
