"""Reference figures: each counts as itself, with all its fields, and goes on as it was sent."""

import re
from collections import defaultdict
from typing import Any, Final

import orjson
import polars as pl
from pydantic import TypeAdapter, ValidationError

from schemas.feeds.fields import TEXT, annotations
from schemas.feeds.reference_figures import FEED
from schemas.values import KeptFigure, ReferenceEntry
from services.shared.feeds.feed import FeedRules, Keys, Spans
from services.shared.feeds.reading import columns, days, is_country, never
from services.shared.statistics.exchange.ledger_set import Changes
from services.shared.statistics.terms.areas import UNKNOWN

MEASURE: Final = "reference"
_KEY_LENGTH_MAX = 32 + 1 + 64  # an agency, a slash, a record's id
_ENVELOPE = {"record_id", "version", "action", "person"}  # what is no part of the figure
_FIELDS = tuple(name for name in annotations(FEED.record) if name not in _ENVELOPE)
_CONTRACT: TypeAdapter[Any] = TypeAdapter(FEED.record)


def _spans(frame: pl.DataFrame, keys: Keys) -> Spans:
    rows = frame.select(_FIELDS).rows(named=True)
    texts = [_text(key or b"", row) for key, row in zip(keys, rows, strict=True)]
    return Spans(pl.Series("cell", texts, pl.String), days(frame, "published_on"), never(frame))


def _text(key: bytes, row: dict[str, Any]) -> str | None:
    """A reference figure as JSON; None without a key that is text, a figure and a value."""
    try:
        name = key.decode()
    except UnicodeDecodeError:
        return None
    if row["figure"] is None or row["value"] is None:
        return None
    fields = {"key": name, **{k: v for k, v in row.items() if v is not None}}
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()


def _valid(cell: str) -> bool:
    """All that the contract asks: these texts go on, into the database and the bulletin."""
    figure = orjson.loads(cell)
    key = figure.pop("key")
    if not is_country(figure.pop("counterpart", UNKNOWN)):  # the log outlives the list of countries
        return False
    try:
        _CONTRACT.validate_python({"record_id": "-", "action": "record", **figure})
    except ValidationError:
        return False
    return 0 < len(key) <= _KEY_LENGTH_MAX and re.fullmatch(TEXT, key) is not None


class References:
    """The aggregates `reference|<period>|<figure>|<key>`: the figures that stand."""

    def __init__(self) -> None:
        self._standing: dict[str, int] = defaultdict(int)  # texts, with how often they stand
        self._touched: set[str] = set()

    def add(self, _: int, cell: str, change: int) -> None:
        """A difference in one cell of a day sheet."""
        self._standing[cell] += change
        self._touched.add(cell)

    def changes(self) -> Changes:
        """Entries that changed since the last call."""
        entries: Changes = {}
        for text in self._touched:
            record: KeptFigure = orjson.loads(text)
            key = f"{MEASURE}|{record['period']}|{record['figure']}|{record['key']}"
            # Two versions of one record can touch the same key in one cut: what stands now decides.
            if self._standing[text]:
                entry: ReferenceEntry = {"measure": MEASURE, **record}
                entries[key] = orjson.dumps(entry)
            else:
                entries.setdefault(key, None)
                self._standing.pop(text)
        self._touched = set()
        return entries


RULES = FeedRules(
    contract=FEED,
    columns=columns(FEED.record, *_FIELDS),
    spans=_spans,
    valid_cell=_valid,
    accumulator=References,
)
