"""The raw log as DuckDB reads it: one partition at a time, written to Parquet files in a folder that is deleted afterwards."""

import re
from hashlib import blake2b
from pathlib import Path

import polars as pl

from services.shared.statistics.exchange.records import Headers, Records
from tools.verify.strict_json import PLAIN, plain_object

_MAJOR = re.compile(rb"[0-9]{1,9}")
MAJOR = 1  # of the record contract that the SQL knows
CLOCKS_APART_MINUTES = 5  # at most, of broker and edge, for an append time to be the log's time
_MILLISECONDS = re.compile(rb"[0-9]{1,15}")
_NEVER = -(10**15)  # ms; no append time is near it


class RawPartition:
    """Parquet files of one partition's records in log order, with what must be known of the whole: the log's time, last record."""

    def __init__(self, feed: str, folder: Path) -> None:
        self.feed, self._folder = feed, folder
        folder.mkdir()
        self.files: list[Path] = []
        self.records = 0
        self.log_time = 0  # ms; the newest append time that a stamp confirms, or that stands before all stamps
        self._stamps_begun = False
        self.last_hash = ""  # tells the last record apart from any other, as the publication's identity does

    def add(self, records: Records) -> None:
        """Write one more file. Blocking."""
        frame = raw_frame(self.feed, records)
        path = self._folder / f"{len(self.files)}.parquet"
        frame.write_parquet(path, compression="lz4", statistics=False)
        self.files.append(path)
        self.records += frame.height
        self._note_time(records)
        self.last_hash = _hash_of_last(records)

    def _note_time(self, records: Records) -> None:
        said = {headers: _stamp(headers) for headers in set(records.headers)}
        frame = pl.DataFrame(
            {"appended": records.timestamps, "stamp": [said[headers] for headers in records.headers]},
            schema={"appended": pl.Int64, "stamp": pl.Int64},
        )
        begun = pl.lit(True) if self._stamps_begun else pl.col("stamp").is_not_null().cum_max()
        near = (pl.col("appended") - pl.col("stamp")).abs() <= CLOCKS_APART_MINUTES * 60_000
        self.log_time = max(self.log_time, *frame.filter(pl.coalesce(near, ~begun))["appended"].top_k(1).to_list(), 0)
        self._stamps_begun = self._stamps_begun or frame["stamp"].count() > 0

    def discard(self) -> None:
        """Delete the files."""
        for path in self.files:
            path.unlink()


def raw_frame(feed: str, records: Records) -> pl.DataFrame:
    """Columns place, appended, key, value, problem: `value` is one plain JSON object, or null and `problem` says why."""
    verdicts = {headers: _schema_problem(feed, headers) for headers in set(records.headers)}
    frame = pl.DataFrame(
        {
            "place": records.offsets,
            "appended": records.timestamps,
            "key": pl.Series(records.keys, dtype=pl.Binary),
            "bytes": pl.Series(records.values, dtype=pl.Binary),
            "schema_problem": pl.Series([verdicts[h] for h in records.headers], dtype=pl.String)
            if any(verdicts.values())
            else pl.Series([None], dtype=pl.String).new_from_index(0, len(records.offsets)),
        },
    )
    frame = frame.with_columns(
        value=_texts(frame["bytes"]),
        problem=pl.coalesce(
            pl.col("schema_problem"),
            pl.when(pl.col("bytes").is_null() | (pl.col("bytes").bin.size() == 0)).then(pl.lit("no_value")),
            pl.when(pl.col("key").is_null() | (pl.col("key").bin.size() == 0)).then(pl.lit("no_key")),
        ),
    ).drop("bytes", "schema_problem")
    return _without_odd(frame)


def _texts(values: pl.Series) -> pl.Series:
    """Bytes as text; null where they are not UTF-8."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:  # some value in it is not: one by one
        return pl.Series([_text(value) for value in values.to_list()], dtype=pl.String)


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _without_odd(frame: pl.DataFrame) -> pl.DataFrame:
    plain = frame["value"].str.contains(PLAIN).fill_null(False)
    if bool(plain.all()):
        return frame
    places = (~plain).arg_true()
    values = [None if value is None else plain_object(value) for value in frame["value"].gather(places).to_list()]
    value = frame["value"].scatter(places, pl.Series(values, dtype=pl.String))
    return frame.with_columns(value=value).with_columns(
        problem=pl.coalesce("problem", pl.when(pl.col("value").is_null()).then(pl.lit("malformed_json")))
    )


def _schema_problem(feed: str, headers: Headers) -> str | None:
    """Why the header `schema` is not `<feed>/1`; None if it is."""
    schema = next((value for name, value in headers if name == "schema"), b"")
    name, _, major = schema.partition(b"/")
    if name != feed.encode() or not _MAJOR.fullmatch(major) or int(major) < MAJOR:
        return "unknown_schema"
    return "newer_schema" if int(major) > MAJOR else None


def _stamp(headers: Headers) -> int | None:
    """What the first header `stamped` says, ms; _NEVER where that cannot be read; None without such a header."""
    for name, value in headers:
        if name == "stamped":
            return int(value) if _MILLISECONDS.fullmatch(value or b"") else _NEVER
    return None


def _hash_of_last(records: Records) -> str:
    offset, appended = records.offsets[-1], records.timestamps[-1]
    key, value = records.keys[-1] or b"", records.values[-1] or b""
    return blake2b(b"%d:%d:%d:" % (offset, appended, len(key)) + key + value, digest_size=16).hexdigest()
