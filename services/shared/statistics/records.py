"""Records of one event partition in log order, as columns."""

from typing import NamedTuple

Headers = tuple[tuple[str, bytes], ...]


class Records(NamedTuple):
    """Columns of equal length, not empty. `timestamps`: append times, milliseconds since the Unix epoch."""

    offsets: list[int]
    timestamps: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Headers]
