"""From a batch of log records to columns: keys, versions, contributions; and what cannot be read, with the reason.

The verdict on a record never depends on its neighbours in the batch: a batch that does not parse is halved until the culprits stand
alone, so any split of the log gives the same result.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from services.shared.feeds.feed import FeedRules, countable
from services.shared.statistics.exchange.records import Headers, Records, Texts, distinct_values
from services.shared.statistics.folding.contribution import NEVER, NOTHING, Integers, Packed, pack
from services.shared.statistics.folding.fold import UNNUMBERED
from services.shared.statistics.folding.key_hash import hashes

SCHEMA_MAJOR = 1  # of the event values that these rules understand
VERSION_MAX = (1 << 53) - 1  # of a record, by contract; UNNUMBERED stands in events whose agency gave none
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
            return self.own(text) if self._rules.valid_cell(text) else 0
        return known

    def own(self, text: str) -> int:
        """The number of a text that comes from no record."""
        known = self._numbers.get(text)
        if known is None:
            known = self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return known


def decode(rules: FeedRules, cells: Cells, records: Records) -> Decoded:
    """Columns of a batch. New cell texts are added to `cells`."""
    keys, values = Texts.of(records.keys), Texts.of(records.values)
    unreadable = dict(_bad_envelopes(rules, records.headers, keys, values))
    at = np.arange(len(values))
    if unreadable:
        at = np.delete(at, list(unreadable))
        keys, values = keys.take(at), values.take(at)
    frame, parsed = _parse(rules, values)
    if not parsed.all():
        unreadable |= dict.fromkeys(at[~parsed].tolist(), "malformed_json")
        at, keys = at[parsed], keys.take(np.flatnonzero(parsed))
    contributions, fine = _contributions(rules, cells, frame, keys)
    high, low = hashes(keys)
    versions = frame["version"].fill_null(0).to_numpy()
    if not fine.all():
        unreadable |= dict.fromkeys(at[~fine].tolist(), "invalid_record")
        at, high, low, versions, contributions = at[fine], high[fine], low[fine], versions[fine], contributions[fine]
    return Decoded(at, high, low, versions, contributions, sorted(unreadable.items()))


def _bad_envelopes(rules: FeedRules, headers: Sequence[Headers], keys: Texts, values: Texts) -> list[tuple[int, str]]:
    """Records whose key, value or schema header is not what these rules understand."""
    verdicts = {one: _schema_problem(rules, one) for one in distinct_values(headers)}
    without_value, without_key = values.lengths <= 0, keys.lengths <= 0
    if not any(verdicts.values()):
        lacking = np.flatnonzero(without_value | without_key)
        return [(i, "no_value" if without_value[i] else "no_key") for i in lacking.tolist()]
    bad = []
    for i, one in enumerate(headers):
        reason = verdicts[one] or ("no_value" if without_value[i] else "no_key" if without_key[i] else "")
        if reason:
            bad.append((i, reason))
    return bad


def _schema_problem(rules: FeedRules, headers: Headers) -> str:
    schema = next((value for name, value in headers if name == "schema"), b"").decode("utf-8", "replace")
    name, _, major = schema.partition("/")
    if name != rules.feed or not _MAJOR.fullmatch(major) or int(major) < 1:
        return "unknown_schema"
    return "newer_schema" if int(major) > SCHEMA_MAJOR else ""


def _parse(rules: FeedRules, values: Texts) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
    """(the values that parse as one JSON object each, which of them those are)."""
    frame = _parse_lines(rules, values)
    if frame is not None:
        return frame, np.ones(len(values), bool)
    if len(values) == 1:
        return pl.DataFrame(schema=rules.columns), np.zeros(1, bool)
    half = len(values) // 2
    (left, left_parsed), (right, right_parsed) = _parse(rules, values[:half]), _parse(rules, values[half:])
    return pl.concat([left, right]), np.concatenate([left_parsed, right_parsed])


def _parse_lines(rules: FeedRules, values: Texts) -> pl.DataFrame | None:
    if not len(values):
        return pl.DataFrame(schema=rules.columns)
    lines = values.lines()
    if lines.count(b"\n") != len(values) - 1:
        return None
    try:
        frame = pl.read_ndjson(lines, schema=rules.columns)
    except pl.exceptions.PolarsError:
        return None
    return frame if frame.height == len(values) else None


def _contributions(rules: FeedRules, cells: Cells, frame: pl.DataFrame, keys: Texts) -> tuple[Packed, NDArray[np.bool_]]:
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
    versioned = frame["version"].is_between(UNNUMBERED, VERSION_MAX).fill_null(False).to_numpy()
    return contributions, (good | withdraws) & versioned
