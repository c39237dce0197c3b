"""Writes lines of JSON from columns: strings gathered from small tables and joined by polars, never one by one."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tools.simulate.irregular import Lines

# Rows joined at a time: some 150 MB of text in memory at once, and large enough that fixed costs vanish.
CHUNK_ROWS = 500_000
# The highest version that `irregular` gives.
MAX_VERSION = 3

ID_DIGITS = 9
LOW_DIGITS = 4
LOW = 10**LOW_DIGITS

Join = Callable[[Lines], Sequence[pl.Series]]


def write_lines(path: Path, prefix: str, lines: Lines, body: Join) -> int:
    """Write a feed's file, whole or not at all; returns its bytes.

    `prefix` and nine digits are the record ids. `body(part)` gives, for some of the lines, columns of text which
    joined are the rest of the object after `version` or `action`, closing brace included.
    """
    highest = int(lines.record.max(initial=0)) // LOW
    high = table(f'{{"record_id":"{prefix}{i:0{ID_DIGITS - LOW_DIGITS}d}' for i in range(highest + 1))
    low = table(f'{i:0{LOW_DIGITS}d}"' for i in range(LOW))
    head = table(f',"version":{version}{action}' for version in range(MAX_VERSION + 1) for action in ("", ',"action":"withdraw"'))
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as file:
            for start in range(0, len(lines.record), CHUNK_ROWS):
                part = _slice(lines, start, start + CHUNK_ROWS)
                columns = [
                    gather(high, part.record // LOW),
                    gather(low, part.record % LOW),
                    gather(head, part.version * 2 + part.withdraws),
                    *body(part),
                ]
                frame = pl.DataFrame([column.alias(str(i)) for i, column in enumerate(columns)])
                # A CSV of one column without quotes is the text as it stands, a line each: the fastest way out.
                frame.select(pl.concat_str(pl.all())).write_csv(file, include_header=False, quote_style="never")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path.stat().st_size


def gather(table: pl.Series, index: NDArray[np.unsignedinteger]) -> pl.Series:
    """The table's texts at `index`."""
    return table.gather(pl.Series(index.astype(np.uint32)))


def table(texts: Iterable[str]) -> pl.Series:
    """A table of texts to gather from."""
    return pl.Series(list(texts), dtype=pl.String)


def _slice(lines: Lines, start: int, stop: int) -> Lines:
    return Lines(lines.record[start:stop], lines.content[start:stop], lines.version[start:stop], lines.withdraws[start:stop])
