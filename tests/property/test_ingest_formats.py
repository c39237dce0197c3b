"""Laws of ingest: the format, the packing and the division into requests never matter; what is secret never comes out."""

import csv
import io
import itertools
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.feeds import FEEDS
from schemas.feeds.codes import COUNTRIES
from services.shared.ingest.bodies import CSV, JSON, NDJSON, records
from services.shared.ingest.calendar_rules import latest, utc_milliseconds
from services.shared.ingest.columns import Columns
from services.shared.ingest.edge import Edge, number_fields
from services.shared.ingest.refusal import Code, Refusal
from services.shared.ingest.submission import Prepared, Receipt, prepare

FEED = FEEDS["border-crossings"]
EDGE = Edge(FEED, b"k" * 32, "0123abcd")
COLUMNS = Columns(EDGE, left_min=1)
NUMBERS = number_fields(FEED)
NOW_MS = 1_750_000_000_000
LATEST = latest(NOW_MS)
PARTITIONS = 3
# A machine that does much else is no reason to fail.
law = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_persons = st.text("0123456789ABCЖ \"',\n", min_size=6, max_size=64)


def _times() -> st.SearchStrategy[str]:
    offsets = st.sampled_from(["Z", "+05:00", "+06:00", "-03:30", "z", "+00:00"])
    days = st.dates().map(str)
    return st.builds(
        "{}T{:02}:{:02}:59{}{}".format, days, st.integers(0, 24), st.integers(0, 59), st.sampled_from(["", ".9", ".9999"]), offsets
    )


_crossings = st.fixed_dictionaries(
    {
        "record_id": st.text("abc-:/", max_size=3) | st.just("x y"),
        "occurred_at": _times() | st.just("2025-06-01T00:00:00+05:00"),
        "direction": st.sampled_from(["arrival", "departure", "sideways"]),
        "citizenship": st.sampled_from([*COUNTRIES, "ZZ", "uz"]),
        "counterpart": st.sampled_from(COUNTRIES),
        "mode": st.just("road"),
        "checkpoint": st.sampled_from(["KZ-001", "kz", "A" * 17]),
    },
    optional={
        "version": st.integers(-1, 5) | st.just(2**53),
        "action": st.sampled_from(["record", "withdraw", "delete"]),
        "purpose": st.sampled_from(["employment", "work"]),
        "person": _persons,
        "nickname": st.text(min_size=1, max_size=3),
    },
)


def _ndjson(items: list[Any]) -> bytes:
    return b"\n".join(json.dumps(item).encode() for item in items)


def _table(items: list[dict[str, Any]]) -> bytes:
    columns = ["record_id", *sorted({name for item in items for name in item} - {"record_id"})]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([item.get(column, "") for column in columns] for item in items)
    return out.getvalue().encode()


def _take(body: bytes, media_type: str) -> Prepared:
    return prepare(COLUMNS, "knb", records(body, media_type, NUMBERS), PARTITIONS, LATEST)


@law
@given(st.lists(_crossings, max_size=6))
def test_ndjson_an_array_and_csv_of_the_same_records_give_the_same_events(items: list[dict[str, Any]]) -> None:
    lines = _take(_ndjson(items), NDJSON)
    array = _take(json.dumps(items, indent=1).encode(), JSON)
    assert (array.events, array.refusals) == (lines.events, lines.refusals)
    # CSV has no empty string: an empty cell is an absent field.
    told = [{name: value for name, value in item.items() if value != ""} for item in items]
    lines, table = _take(_ndjson(told), NDJSON), _take(_table(told), CSV)
    assert (table.received, table.events) == (lines.received, lines.events)
    assert {i: r[:2] for i, r in table.refusals.items()} == {i: r[:2] for i, r in lines.refusals.items()}


@law
@given(st.lists(_crossings, max_size=8), st.lists(st.integers(0, 8), max_size=3))
def test_how_records_are_divided_into_submissions_does_not_matter(items: list[dict[str, Any]], at: list[int]) -> None:
    whole = _take(_ndjson(items), NDJSON)
    bounds = sorted({0, len(items), *(min(a, len(items)) for a in at)})
    parts = [_take(_ndjson(items[a:b]), NDJSON) for a, b in itertools.pairwise(bounds)]
    assert [list(itertools.chain.from_iterable(p.events[n] for p in parts)) for n in range(PARTITIONS)] == whole.events
    assert sum(len(p.refusals) for p in parts) == len(whole.refusals)


@law
@given(st.lists(_json | _crossings | st.binary(max_size=20), max_size=6), st.data())
def test_anything_at_all_is_an_event_or_a_refusal_of_the_closed_list(values: list[Any], data: st.DataObject) -> None:
    raws = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    for raw in raws:
        outcome = EDGE.check(raw, LATEST)
        if isinstance(outcome, Refusal):
            assert outcome.code in Code
    good = b'{"record_id":"a","version":1,"action":"withdraw"}'
    place = data.draw(st.integers(0, len(raws)))
    lines = [raw.replace(b"\n", b" ") for raw in raws]
    prepared = _take(b"\n".join([*lines[:place], good, *lines[place:]]), NDJSON)
    assert (b"knb/a", good) in itertools.chain.from_iterable(prepared.events)


@law
@given(_crossings, _persons, st.sampled_from([None, "person", "record_id", "citizenship", "checkpoint", "occurred_at", "mode"]))
def test_no_outcome_ever_holds_the_person(item: dict[str, Any], person: str, beside: str | None) -> None:
    secret = "§" + person[:40] + "§"
    item = item | {"person": secret, secret: 1} if beside is None else item | {"person": secret, beside: secret}
    prepared = _take(_ndjson([item]), NDJSON)
    written = [part for events in prepared.events for event in events for part in event]
    for text in (Receipt.of(prepared, [9] * PARTITIONS).body(all_items=True), *written):
        assert secret not in text.decode()
        assert json.dumps(secret)[1:-1] not in text.decode()


@law
@given(st.datetimes(), st.integers(-14 * 60, 14 * 60), st.integers(0, 999_999))
def test_a_time_in_any_offset_is_the_same_moment(moment: datetime, offset: int, micros: int) -> None:
    try:
        sent = moment.replace(microsecond=micros, tzinfo=UTC).astimezone(timezone(timedelta(minutes=offset)))
    except OverflowError:
        return
    stored = utc_milliseconds(sent.isoformat())
    assert stored == f"{moment.replace(microsecond=0).isoformat()}.{micros // 1000:03}Z"
