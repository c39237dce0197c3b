"""From columns of the log to cells and days: what feeds' rules have in common."""

from collections.abc import Callable
from typing import get_args, get_type_hints

import numpy as np
import polars as pl

from services.shared.feeds.feed import Keys, Spans
from services.shared.statistics.folding.contribution import NEVER, Integers
from services.shared.statistics.terms.calendar import EPOCH, local_days

NO_DAY = -1  # a date that is missing or cannot be read
_DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_MOMENT = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$"  # as the edge writes it
_HOUR_LENGTH = len("2025-06-30T18")
_EPOCH_OFFSET = (EPOCH - EPOCH.replace(year=1970)).days
_COMMON: dict[str, type[pl.DataType]] = {"version": pl.Int64, "action": pl.String}


def columns(record: type, *fields: str) -> dict[str, type[pl.DataType]]:
    """The columns of these fields of a record type, beside those that every record has."""
    hints = get_type_hints(record)
    return _COMMON | {name: _column_type(hints[name]) for name in fields}


def _column_type(hint: object) -> type[pl.DataType]:
    kinds = {hint, *get_args(hint)}
    if float in kinds:
        return pl.Float64
    return pl.Int64 if int in kinds else pl.String


def text(frame: pl.DataFrame, *fields: str) -> pl.Series:
    """The fields, joined by `|`; null where one is."""
    return frame.select(pl.concat_str(fields, separator="|").alias("cell"))["cell"]


def days(frame: pl.DataFrame, field: str) -> Integers:
    """Day numbers of a date column; NO_DAY where missing, not a date, or outside what a contribution can hold as a first day."""
    written = frame[field]
    found = written.str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64) - _EPOCH_OFFSET
    # The parser takes more than the contract: other widths, spaces, signs. Days before 2000 are none either.
    return found.zip_with(written.str.contains(_DAY) & (found >= 0), _none(found)).fill_null(NO_DAY).to_numpy()


def moments(written: pl.Series) -> Integers:
    """Local day numbers of moments; NO_DAY where missing or none. Clocks change on the hour: each distinct hour is read once."""
    hours = written.str.slice(0, _HOUR_LENGTH)
    distinct = hours.unique().drop_nulls()
    begins = (distinct + ":00:00.000Z").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms", strict=False).cast(pl.Int64)
    found = np.where(begins.is_not_null().to_numpy(), local_days(begins.fill_null(0).to_numpy()), NO_DAY)
    of_each = hours.replace_strict(distinct, pl.Series(found, dtype=pl.Int64), default=NO_DAY, return_dtype=pl.Int64).to_numpy()
    return np.where(written.str.contains(_MOMENT).fill_null(False).to_numpy(), of_each, NO_DAY)


def _none(like: pl.Series) -> pl.Series:
    return pl.Series([None], dtype=like.dtype).new_from_index(0, len(like))


def never(frame: pl.DataFrame) -> Integers:
    """No end: what a flow has."""
    return np.full(frame.height, NEVER, np.int64)


def on_day(day: str, *cell: str) -> Callable[[pl.DataFrame, Keys], Spans]:
    """The spans of a flow that is counted by some of its fields, on the day in one of them."""
    return lambda frame, _: Spans(text(frame, *cell), days(frame, day), never(frame))


def is_country(code: str) -> bool:
    """Whether a text is written like a country. Which codes there are is for the edge to say: the log outlives their list."""
    return len(code) == 2 and code.isascii() and code.isalpha() and code.isupper()
