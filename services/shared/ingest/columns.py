"""Good records by columns: what `Edge.check` says of one record, for thousands at once, where nothing needs to be explained.

The records of a submission mostly have the same fields in the same order, as one program wrote them. That order is a layout. From
it comes one regular expression that fits exactly its plain records: no escapes in strings, no white space but single blanks, no
field unknown or missing. What it catches are columns, and the rules are applied to columns. A record that does not fit is not
refused here: it is left to `Edge.check`, which takes it or says what is wrong. A property test holds both to the same bytes. Pure.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
import polars as pl

from schemas.feeds.fields import UNNUMBERED
from services.shared.ingest.calendar_rules import DAY_FIRST, DAY_LAST, MOMENT_FIRST, Latest, is_day, utc_hour
from services.shared.ingest.edge import Edge
from services.shared.ingest.refusal import RECORD_BYTES_MAX, Refusal

LAYOUTS_MAX = (
    4  # of one submission: with and without one or two optional fields; each further one would cost 0.4 microseconds a record
)
SAMPLE = 32  # records looked at to find the commonest layout among those that are left
LEFT_MIN = 100  # so few records are checked one by one in less time than by columns
LAYOUTS_KEPT = 64  # compiled layouts; agencies have one or two each
_WHOLE_MAX = 10**15  # integers of fewer digits than this are below every bound that a feed has; longer ones are left over

# A moment, cut where its hour ends: the hour in UTC is looked up per hour and offset. Other offsets than whole hours are left over.
_MOMENT = r'"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]))(:[0-5][0-9]:[0-5][0-9])(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:00)"'
_TEXT = r'"([^"\\\x00-\x1f]*)"'
_WHOLE = r"([1-9][0-9]{0,14})"
_HOUR, _MINUTES, _FRACTION, _OFFSET = "hour", "minutes", "fraction", "offset"
_RECORD_ID, _VERSION = "record_id", "version"


class Taken(NamedTuple):
    """Per record of a submission its id and its event as bytes, or None twice if it is left over."""

    record_ids: list[bytes | None]
    events: list[bytes | None]


class _Field(NamedTuple):
    """A field: the pattern of its plain JSON texts, and the columns that it catches."""

    name: str
    pattern: str
    columns: tuple[str, ...]
    quoted: bool


class Columns:
    """The rules of one feed, by columns; fewer records than `left_min` are left over.

    So are records with a field of a kind that is not known here: numbers that need not be whole.
    """

    def __init__(self, edge: Edge, left_min: int = LEFT_MIN) -> None:
        self.edge, self._left_min = edge, left_min
        schema = edge.schema
        self._required = frozenset(schema["required"])
        self._schemas: Mapping[str, dict[str, Any]] = schema["properties"]
        fields = [_field(name, rule, name in edge.moments) for name, rule in self._schemas.items()]
        self._fields = {field.name: field for field in fields if field is not None}
        self._layout = lru_cache(LAYOUTS_KEPT)(self._new_layout)

    def accept(self, texts: Sequence[bytes | Refusal], latest: Latest) -> Taken:
        """The events of the records that can be taken by columns. `latest` bounds the future."""
        left, rows = _decoded([text if isinstance(text, bytes) else None for text in texts]), list(range(len(texts)))
        taken = Taken([None] * len(texts), [None] * len(texts))
        tried: set[tuple[str, ...] | None] = {None}
        while len(rows) >= self._left_min and len(tried) <= LAYOUTS_MAX:
            names = self._commonest(left, tried)
            if names is None:
                break
            tried.add(names)
            layout = self._layout(names)
            ids, events = layout.accept(left, latest)
            for row, record_id, event in zip(rows, ids, events, strict=True):
                if event is not None:
                    taken.record_ids[row], taken.events[row] = record_id, event
            over = [at for at, event in enumerate(events) if event is None]
            left, rows = left[over], [rows[at] for at in over]
        return taken

    def _commonest(self, left: pl.Series, tried: set[tuple[str, ...] | None]) -> tuple[str, ...] | None:
        """The commonest layout of the first records, of those that can be taken and were not tried yet."""
        counts = Counter(_names(text) for text in left.head(SAMPLE).drop_nulls())
        fit = (names for names, _ in counts.most_common() if names not in tried)
        return next((names for names in fit if names and self._required <= set(names) <= self._fields.keys()), None)

    def _new_layout(self, names: tuple[str, ...]) -> "_Layout":
        return _Layout(self.edge, self._schemas, [self._fields[name] for name in names])


def _decoded(texts: list[bytes | None]) -> pl.Series:
    """The texts as strings; null where one is not UTF-8."""
    try:
        return pl.Series(texts, dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.ComputeError:
        return pl.Series([_utf8(text) for text in texts], dtype=pl.String)


def _utf8(text: bytes | None) -> str | None:
    try:
        return None if text is None else text.decode()
    except UnicodeDecodeError:
        return None


def _names(text: str) -> tuple[str, ...] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return tuple(value) if isinstance(value, dict) else None


def _field(name: str, schema: Mapping[str, Any], moment: bool) -> _Field | None:
    if moment:
        return _Field(name, _MOMENT, tuple(name + part for part in (_HOUR, _MINUTES, _FRACTION, _OFFSET)), True)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is not None:
        return _Field(name, '"(' + "|".join(re.escape(value) for value in values) + ')"', (name,), True)
    if schema.get("type") == "string":
        return _Field(name, _TEXT, (name,), True)
    if schema.get("type") == "integer" and schema.get("minimum") == 1 and schema["maximum"] >= _WHOLE_MAX:
        return _Field(name, _WHOLE, (name,), False)
    return None


class _Layout:
    """Records of a feed with just these fields, in this order."""

    def __init__(self, edge: Edge, schemas: Mapping[str, Mapping[str, Any]], fields: Sequence[_Field]) -> None:
        self._edge = edge
        self._columns = [column for field in fields for column in field.columns]
        self._pattern = r"^\{" + ", ?".join(f'"{field.name}": ?{field.pattern}' for field in fields) + r"\}\r?$"
        self._names = frozenset(field.name for field in fields)
        self._texts = {field.name: schemas[field.name] for field in fields if field.pattern == _TEXT}
        self._moments = tuple(name for name in edge.moments if name in self._names)
        self._days = tuple((name, event) for name, event in edge.days if name in self._names)
        self._identities = tuple(name for name in edge.identities if name in self._names)
        self._event = self._written(schemas, {field.name: field for field in fields})

    def accept(self, texts: pl.Series, latest: Latest) -> tuple[list[bytes | None], list[bytes | None]]:
        """Ids and events of the texts that fit, None for the others."""
        frame = texts.str.extract_groups(self._pattern).struct.unnest()
        frame.columns = self._columns
        frame = frame.with_columns(self._moment(frame, name) for name in self._moments)
        good = frame.select(pl.all_horizontal(*self._rules(frame, latest), texts.str.len_bytes() <= RECORD_BYTES_MAX)).to_series()
        frame = frame.with_columns(self._pseudonyms(frame[name]) for name in self._identities)
        record_id, event = pl.col(_RECORD_ID).cast(pl.Binary), self._event.cast(pl.Binary)
        taken = frame.select(pl.when(good).then(record_id).alias("id"), pl.when(good).then(event).alias("event"))
        return taken["id"].to_list(), taken["event"].to_list()

    def _moment(self, frame: pl.DataFrame, name: str) -> pl.Expr:
        """A moment in UTC with milliseconds, cut off; null if there is no such time."""
        hours = frame[name + _HOUR] + frame[name + _OFFSET]
        known = {text: utc_hour(text[:13], text[13:].replace("Z", "+00:00")) for text in hours.unique().drop_nulls()}
        hour = hours.replace_strict(list(known), list(known.values()), default=None, return_dtype=pl.String)
        fraction = (pl.col(name + _FRACTION).fill_null(".") + "000").str.slice(0, 4)
        return pl.concat_str(hour, name + _MINUTES, fraction, pl.lit("Z")).alias(name)

    def _pseudonyms(self, values: pl.Series) -> pl.Series:
        pseudonym = self._edge.pseudonym
        found = [None if value is None else pseudonym(value) for value in values.cast(pl.Binary).to_list()]
        return pl.Series(values.name, found, dtype=pl.String)

    def _rules(self, frame: pl.DataFrame, latest: Latest) -> Iterator[pl.Expr]:
        """What must hold of a record that the pattern fits, before identities are replaced."""
        yield pl.col(_RECORD_ID).is_not_null()
        for name, schema in self._texts.items():
            column = pl.col(name)
            if "pattern" in schema:
                yield column.str.contains(schema["pattern"])
            yield column.str.len_chars().is_between(schema.get("minLength", 0), schema.get("maxLength", RECORD_BYTES_MAX))
        for name in self._moments:
            yield pl.col(name).is_between(pl.lit(MOMENT_FIRST), pl.lit(latest.moment))
        for name, of_the_event in self._days:
            last = latest.day if of_the_event else DAY_LAST
            good = [day for day in frame[name].unique().drop_nulls() if DAY_FIRST <= day <= last and is_day(day)]
            yield pl.col(name).is_in(good)
        for order in self._edge.feed.orders:
            if order.later in self._names:
                earlier, later = pl.col(order.earlier), pl.col(order.later)
                yield later > earlier if order.strict else later >= earlier

    def _written(self, schemas: Mapping[str, Mapping[str, Any]], fields: Mapping[str, _Field]) -> pl.Expr:
        """The event as orjson writes it: fields in the contract's order, with their defaults, then the key of the pseudonyms."""
        parts: list[str | pl.Expr] = ["{"]
        for name, schema in schemas.items():
            if name in fields:
                quote = '"' if fields[name].quoted else ""
                parts += [f'"{name}":{quote}', pl.col(name), f"{quote},"]
            elif name == _VERSION:
                parts.append(f'"{name}":{UNNUMBERED},')
            elif "default" in schema:
                parts.append(f'"{name}":{orjson.dumps(schema["default"]).decode()},')
        if self._identities:
            parts.append(f'"pseudonym_key":"{self._edge.key_id}",')
        assert isinstance(parts[-1], str)
        parts[-1] = parts[-1][:-1] + "}"
        return pl.concat_str([pl.lit(part) if isinstance(part, str) else part for part in parts])
