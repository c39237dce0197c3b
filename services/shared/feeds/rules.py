"""What each feed's records count as: which columns the fold reads, how they make a cell, on which days they count.

The text of a cell joins its fields with `|`, in the order given in `cell_fields`; fields that do not apply are empty.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import polars as pl

from services.shared.feeds.offences import KINDS, year_sheets
from services.shared.statistics.exchange.ledger_set import Changes
from services.shared.statistics.folding.contribution import FIRST_DAY_MAX, NEVER, Counts, Integers
from services.shared.statistics.folding.sheet import day_sheets
from services.shared.statistics.terms.areas import UNKNOWN
from services.shared.statistics.terms.calendar import EPOCH, last_quarter_of_period, local_days

NO_DAY = -1  # a date that is missing or cannot be read
_DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_MOMENT = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$"
_HOUR_LENGTH = len("2025-06-30T18")
_COUNTRY = "^[A-Z]{2}$"
_PERSON = re.compile("[0-9a-f]{32}")  # a pseudonym: 128 bits
_INSTITUTION = r"^[^\x00-\x1f\x7f]{1,32}$"
_FIGURE = re.compile("[A-Z0-9_]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TEXT_LENGTHS = {"key": 97, "unit": 32, "source": 256}
_NOTE_LENGTH_MAX, _FIGURE_MAX, _DESIGN_EFFECT_MAX = 1024, 10**15, 1000

_EPOCH_OFFSET = (EPOCH - EPOCH.replace(year=1970)).days
_DIRECTIONS = frozenset({"arrival", "departure"})
PURPOSES = ("unspecified", "employment", "education", "tourism", "private", "business", "medical", "transit", "residence")
CATEGORIES = ("1", "2", "3", "4", "seasonal", "transfer")
STAYS = ("guest", "medical")
LEVELS = ("preparatory", "bachelor", "master", "doctoral", "residency")
_FIGURE_FIELDS = (
    "figure", "period", "value", "unit", "source", "published_on", "sample_size", "design_effect", "counterpart", "note",
)  # fmt: skip


class Spans(NamedTuple):
    """Per record: the cell's text (null: the record lacks a field), its first day and the day on which it ends."""

    cells: pl.Series
    first: Integers
    last: Integers


class FeedRules(NamedTuple):
    """`columns`: fields that the fold reads, with their types; `spans`: from those columns to contributions; `valid_cell`: whether
    a cell's text is one that the contract allows (asked once per distinct text); `sheets`: from days whose counts changed, all
    counts and the cells' texts to the sheets that are handed on."""

    feed: str
    stock: bool
    columns: dict[str, type[pl.DataType]]
    cell_fields: tuple[str, ...]
    spans: Callable[[pl.DataFrame, Sequence[bytes | None]], Spans]
    valid_cell: Callable[[str], bool]
    sheets: Callable[[list[int], Counts, list[str]], Changes] = day_sheets


def _text(frame: pl.DataFrame, *fields: str) -> pl.Series:
    return frame.select(pl.concat_str(fields, separator="|").alias("cell"))["cell"]


def _days(frame: pl.DataFrame, field: str) -> Integers:
    """Day numbers of a date column; NO_DAY where missing, not a date, or outside what a contribution can hold as a first day."""
    written = frame[field]
    days = written.str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64) - _EPOCH_OFFSET
    # The parser takes more than the contract: other widths, spaces, signs. Days before 2000 are none either.
    return days.zip_with(written.str.contains(_DAY) & (days >= 0), _none(days)).fill_null(NO_DAY).to_numpy()


def _moments(written: pl.Series) -> Integers:
    """Local day numbers of moments; NO_DAY where missing or none. Clocks change on the hour: each distinct hour is read once."""
    hours = written.str.slice(0, _HOUR_LENGTH)
    distinct = hours.unique().drop_nulls()
    begins = (distinct + ":00:00.000Z").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms", strict=False).cast(pl.Int64)
    days = np.where(begins.is_not_null().to_numpy(), local_days(begins.fill_null(0).to_numpy()), NO_DAY)
    of_each = hours.replace_strict(distinct, pl.Series(days, dtype=pl.Int64), default=NO_DAY, return_dtype=pl.Int64).to_numpy()
    return np.where(written.str.contains(_MOMENT).fill_null(False).to_numpy(), of_each, NO_DAY)


def _none(like: pl.Series) -> pl.Series:
    return pl.Series([None], dtype=like.dtype).new_from_index(0, len(like))


def _never(frame: pl.DataFrame) -> Integers:
    return np.full(frame.height, NEVER, np.int64)


def _crossings(frame: pl.DataFrame, _: Sequence[bytes | None]) -> Spans:
    return Spans(_text(frame, "direction", "citizenship", "counterpart", "purpose"), _moments(frame["occurred_at"]), _never(frame))


def _permits(frame: pl.DataFrame, _: Sequence[bytes | None]) -> Spans:
    first, valid_to, revoked = (_days(frame, field) for field in ("valid_from", "valid_to", "revoked_on"))
    # In force on valid_from <= day <= valid_to and before revoked_on; revoked before it began, it is issued and never in force.
    last = np.maximum(np.where(revoked == NO_DAY, valid_to + 1, np.minimum(revoked, valid_to + 1)), first)
    readable = (valid_to >= first) & ((revoked != NO_DAY) | frame["revoked_on"].is_null().to_numpy())
    return Spans(_text(frame, "citizenship", "category"), np.where(readable, first, NO_DAY), last)


def _enrolments(frame: pl.DataFrame, _: Sequence[bytes | None]) -> Spans:
    first, ended = _days(frame, "enrolled_on"), _days(frame, "ended_on")
    last = np.maximum(np.where(ended == NO_DAY, NEVER, ended), first)
    readable = (ended > first) | frame["ended_on"].is_null().to_numpy()
    # The institution counts only where it is a branch: a figure depends on it only there. What is no branch of a country, or a
    # branch without a proper name, is null and so is the cell.
    is_branch = pl.col("branch_of").str.contains(_COUNTRY) & pl.col("institution").str.contains(_INSTITUTION)
    branch = pl.when(pl.col("branch_of").is_null()).then(pl.lit("")).when(is_branch).then(pl.col("institution"))
    cells = frame.select(pl.concat_str(["citizenship", "level", branch], separator="|").alias("cell"))["cell"]
    return Spans(cells, np.where(readable, first, NO_DAY), last)


def _on_day(day: str, *cell: str) -> Callable[[pl.DataFrame, Sequence[bytes | None]], Spans]:
    """A flow that is counted by some of its fields, on the day in one of them."""
    return lambda frame, _: Spans(_text(frame, *cell), _days(frame, day), _never(frame))


def _figures(frame: pl.DataFrame, keys: Sequence[bytes | None]) -> Spans:
    """A reference figure counts as itself: its cell is its key and all its fields."""
    rows = frame.select(_FIGURE_FIELDS).rows(named=True)
    texts = [_figure_text(key or b"", row) for key, row in zip(keys, rows, strict=True)]
    return Spans(pl.Series("cell", texts, pl.String), _days(frame, "published_on"), _never(frame))


def _figure_text(key: bytes, row: dict[str, Any]) -> str | None:
    """A reference figure as JSON; None without a key that is text, a figure and a value."""
    try:
        name = key.decode()
    except UnicodeDecodeError:
        return None
    if row["figure"] is None or row["value"] is None:
        return None
    fields = {"key": name, **{k: v for k, v in row.items() if v is not None}}
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()


def _country(code: str) -> bool:
    return len(code) == 2 and code.isascii() and code.isalpha() and code.isupper()


def _valid_crossing(cell: str) -> bool:  # and a change of residence
    direction, citizenship, counterpart, purpose = cell.split("|") if cell.count("|") == 3 else ("", "", "", "")
    return direction in _DIRECTIONS and _country(citizenship) and _country(counterpart) and purpose in PURPOSES


def _valid_permit(cell: str) -> bool:
    citizenship, _, category = cell.partition("|")
    return _country(citizenship) and category in CATEGORIES


def _valid_enrolment(cell: str) -> bool:
    citizenship, _, rest = cell.partition("|")
    return _country(citizenship) and rest.partition("|")[0] in LEVELS


def _valid_stay(cell: str) -> bool:
    citizenship, _, kind = cell.partition("|")
    return _country(citizenship) and kind in STAYS


def _valid_offence(cell: str) -> bool:
    citizenship, kind, person = cell.split("|") if cell.count("|") == 2 else ("", "", "")
    return _country(citizenship) and kind in KINDS and _PERSON.fullmatch(person) is not None


def _valid_figure(cell: str) -> bool:
    """All that the contract asks: these texts go on, into the database and the bulletin."""
    figure = orjson.loads(cell)
    if not {"figure", "period", "value", "unit", "source", "published_on"} <= figure.keys():
        return False
    try:
        last_quarter_of_period(figure["period"])
    except ValueError:
        return False
    note = figure.get("note", "-")
    return bool(
        all(0 < len(figure[field]) <= longest and not _CONTROL.search(figure[field]) for field, longest in _TEXT_LENGTHS.items())
        and 0 < len(note) <= _NOTE_LENGTH_MAX
        and not _CONTROL_BUT_LINES.search(note)
        and _FIGURE.fullmatch(figure["figure"])
        and _country(figure.get("counterpart", UNKNOWN))
        and abs(figure["value"]) <= _FIGURE_MAX
        and figure.get("sample_size", 1) >= 1
        and 0 < figure.get("design_effect", 1) <= _DESIGN_EFFECT_MAX
    )


_COMMON: dict[str, type[pl.DataType]] = {"version": pl.Int64, "action": pl.String}


def _columns(*texts: str, **others: type[pl.DataType]) -> dict[str, type[pl.DataType]]:
    return {**_COMMON, **dict.fromkeys(texts, pl.String), **others}


RULES: dict[str, FeedRules] = {
    rules.feed: rules
    for rules in (
        FeedRules(
            "border-crossings", False,
            _columns("occurred_at", "direction", "citizenship", "counterpart", "purpose"),
            ("direction", "citizenship", "counterpart", "purpose"), _crossings, _valid_crossing,
        ),
        FeedRules(
            "work-permits", True,
            _columns("citizenship", "category", "valid_from", "valid_to", "revoked_on"),
            ("citizenship", "category"), _permits, _valid_permit,
        ),
        FeedRules(
            "student-enrolments", True,
            _columns("citizenship", "level", "institution", "branch_of", "enrolled_on", "ended_on"),
            ("citizenship", "level", "branch"), _enrolments, _valid_enrolment,
        ),
        FeedRules(
            "residence-registrations", False,
            _columns("occurred_on", "direction", "citizenship", "counterpart", "purpose"),
            ("direction", "citizenship", "counterpart", "purpose"),
            _on_day("occurred_on", "direction", "citizenship", "counterpart", "purpose"), _valid_crossing,
        ),
        FeedRules(
            "labour-emigration", False, _columns("departed_on", "destination"),
            ("destination",), _on_day("departed_on", "destination"), _country,
        ),
        FeedRules(
            "visitor-stays", False, _columns("arrived_on", "citizenship", "kind"),
            ("citizenship", "kind"), _on_day("arrived_on", "citizenship", "kind"), _valid_stay,
        ),
        FeedRules(
            "migration-violations", False, _columns("occurred_on", "citizenship", "kind", "person"),
            ("citizenship", "kind", "person"), _on_day("occurred_on", "citizenship", "kind", "person"), _valid_offence, year_sheets,
        ),
        FeedRules(
            "reference-figures", False,
            _columns(*(f for f in _FIGURE_FIELDS if f not in ("value", "sample_size", "design_effect")),
                     value=pl.Float64, sample_size=pl.Int64, design_effect=pl.Float64),
            ("figure",), _figures, _valid_figure,
        ),
    )
}  # fmt: skip


def countable(spans: Spans) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which records have all that counting needs (cell texts are checked apart, once per distinct text)."""
    fine = spans.cells.is_not_null().to_numpy() & (spans.first >= 0) & (spans.first <= FIRST_DAY_MAX)
    return fine & (spans.last >= spans.first)
