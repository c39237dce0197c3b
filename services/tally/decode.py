"""From a batch of log records to columns: keys, versions, contributions; and what cannot be read, with the reason.

The verdict on a record never depends on its neighbours in the batch: a batch that does not parse is halved until the culprits stand
alone, so any split of the log gives the same result.
"""

import re
from typing import NamedTuple

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

from services.shared.statistics.contribution import NEVER, NOTHING, Integers, Packed, pack
from services.shared.statistics.feeds import FeedRules, countable
from services.shared.statistics.records import Headers, Records

SCHEMA_MAJOR = 1  # of the event values that these rules understand
VERSION_MAX = (1 << 53) - 1  # of a record, by contract
_MAJOR = re.compile(r"[0-9]{1,9}")  # not `isdigit`, which knows digits that `int` does not


class Decoded(NamedTuple):
    """The readable records as columns, `positions` being their places in the batch; `unreadable`: (place, reason) of the others."""

    positions: Integers
    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    versions: Integers
    contributions: Packed
    unreadable: list[tuple[int, str]]


class Cells:
    """The texts of a partition's cells, numbered from 1 in the order in which they came."""

    def __init__(self, rules: FeedRules, texts: list[str]) -> None:
        self._rules = rules
        self.texts = texts or [""]  # number 0 stands for nothing
        self._numbers = {text: number for number, text in enumerate(self.texts)}

    def number(self, text: str) -> int:
        """The number of a text, a new one if need be; 0 if the contract does not allow the text."""
        known = self._numbers.get(text)
        if known is None:
            if not self._rules.valid_cell(text):
                return 0
            known = self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return known


def decode(rules: FeedRules, cells: Cells, records: Records) -> Decoded:
    """Columns of a batch. New cell texts are added to `cells`."""
    unreadable = dict(_bad_envelopes(rules, records))
    positions = [i for i in range(len(records.values)) if i not in unreadable] if unreadable else list(range(len(records.values)))
    values = [records.values[i] for i in positions]
    frame, parsed = _parse(rules, [v for v in values if v is not None])
    for row in np.flatnonzero(~parsed).tolist():
        unreadable[positions[row]] = "malformed_json"
    at = np.array(positions, np.int64)[parsed]
    keys = [records.keys[i] for i in at.tolist()]
    assert all(key is not None for key in keys)
    contributions, fine = _contributions(rules, cells, frame, [k for k in keys if k is not None])
    for row in np.flatnonzero(~fine).tolist():
        unreadable[int(at[row])] = "invalid_record"
    hashes = b"".join([xxhash.xxh3_128_digest(k) for k in keys if k is not None])
    pairs = np.frombuffer(hashes, ">u8").astype(np.uint64).reshape(-1, 2)[fine]
    versions = frame["version"].fill_null(0).to_numpy()[fine]
    return Decoded(
        at[fine], np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]),
        versions, contributions[fine], sorted(unreadable.items()),
    )  # fmt: skip


def _bad_envelopes(rules: FeedRules, records: Records) -> list[tuple[int, str]]:
    """Records whose key, value or schema header is not what these rules understand."""
    verdicts = {headers: _schema_problem(rules, headers) for headers in set(records.headers)}
    clean = not any(verdicts.values()) and all(records.values) and all(records.keys)
    if clean:
        return []
    bad = []
    for i, (key, value, headers) in enumerate(zip(records.keys, records.values, records.headers, strict=True)):
        reason = verdicts[headers]
        if not reason and not value:
            reason = "no_value"
        if not reason and not key:
            reason = "no_key"
        if reason:
            bad.append((i, reason))
    return bad


def _schema_problem(rules: FeedRules, headers: Headers) -> str:
    schema = next((value for name, value in headers if name == "schema"), b"").decode("utf-8", "replace")
    name, _, major = schema.partition("/")
    if name != rules.feed or not _MAJOR.fullmatch(major) or int(major) < 1:
        return "unknown_schema"
    return "newer_schema" if int(major) > SCHEMA_MAJOR else ""


def _parse(rules: FeedRules, values: list[bytes]) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
    """(the values that parse as one JSON object each, which of them those are)."""
    frame = _parse_lines(rules, values)
    if frame is not None:
        return frame, np.ones(len(values), bool)
    if len(values) == 1:
        return pl.DataFrame(schema=rules.columns), np.zeros(1, bool)
    half = len(values) // 2
    (left, left_parsed), (right, right_parsed) = _parse(rules, values[:half]), _parse(rules, values[half:])
    return pl.concat([left, right]), np.concatenate([left_parsed, right_parsed])


def _parse_lines(rules: FeedRules, values: list[bytes]) -> pl.DataFrame | None:
    if not values:
        return pl.DataFrame(schema=rules.columns)
    lines = b"\n".join(values)
    if lines.count(b"\n") != len(values) - 1:
        return None
    try:
        frame = pl.read_ndjson(lines, schema=rules.columns)
    except pl.exceptions.PolarsError:
        return None
    return frame if frame.height == len(values) else None


def _contributions(rules: FeedRules, cells: Cells, frame: pl.DataFrame, keys: list[bytes]) -> tuple[Packed, NDArray[np.bool_]]:
    """(contribution of each record, whether it is a valid one)."""
    counts = (frame["action"] == "record").fill_null(False).to_numpy()
    withdraws = (frame["action"] == "withdraw").fill_null(False).to_numpy()
    spans = rules.spans(frame, keys)
    texts = spans.cells
    distinct = texts.filter(pl.Series(counts)).unique().drop_nulls().sort()
    numbers = [cells.number(text) for text in distinct.to_list()]
    cell = texts.replace_strict(distinct, numbers, default=0, return_dtype=pl.Int64).to_numpy()
    good = counts & countable(spans) & (cell > 0)
    contributions = np.full(frame.height, NOTHING, np.uint64)
    contributions[good] = pack(cell[good], spans.first[good], np.minimum(spans.last[good], NEVER))
    versioned = frame["version"].is_between(1, VERSION_MAX).fill_null(False).to_numpy()
    return contributions, (good | withdraws) & versioned
