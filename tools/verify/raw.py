"""The raw log as DuckDB reads it: one partition at a time, written to Parquet files in a folder that is deleted afterwards."""

import re
from hashlib import blake2b
from pathlib import Path

import polars as pl

from services.shared.statistics.exchange.records import Headers, Records
from tools.verify.strict_json import PLAIN, plain_object

_MAJOR = re.compile(rb"[0-9]{1,9}")
MAJOR = 1  # of the record contract that the SQL knows


class RawPartition:
    """Parquet files of one partition's records in log order, with what must be known of the whole: append time, last record."""

    def __init__(self, feed: str, folder: Path) -> None:
        self.feed, self._folder = feed, folder
        folder.mkdir()
        self.files: list[Path] = []
        self.records = 0
        self.newest_append = 0  # ms
        self.last_hash = ""  # tells the last record apart from any other, as the publication's identity does

    def add(self, records: Records) -> None:
        """Write one more file. Blocking."""
        frame = raw_frame(self.feed, records)
        path = self._folder / f"{len(self.files)}.parquet"
        frame.write_parquet(path, compression="lz4", statistics=False)
        self.files.append(path)
        self.records += frame.height
        self.newest_append = max(self.newest_append, *records.timestamps)
        self.last_hash = _hash_of_last(records)

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


def _hash_of_last(records: Records) -> str:
    offset, appended = records.offsets[-1], records.timestamps[-1]
    key, value = records.keys[-1] or b"", records.values[-1] or b""
    return blake2b(b"%d:%d:%d:" % (offset, appended, len(key)) + key + value, digest_size=16).hexdigest()
