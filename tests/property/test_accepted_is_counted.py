"""The law that ties the contract to the count: whatever the schema of a feed allows is accepted, and what is accepted is counted.

Records are drawn from the record types themselves, so a code, a bound or a field that is new in schemas/feeds is drawn too.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints

import orjson
import pytest
from annotated_types import Ge, Gt, Le
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import StringConstraints

from schemas.feeds import FEEDS
from schemas.feeds.feed import Feed
from schemas.feeds.fields import Day, Identity, Moment, OneOf, codes
from services.shared.feeds.catalogue import RULES
from services.shared.feeds.migration_violations import COUNTED_KINDS
from services.shared.ingest.calendar_rules import latest
from services.shared.ingest.columns import Columns
from services.shared.ingest.edge import Edge
from services.shared.ingest.submission import Prepared, prepare
from services.shared.statistics.exchange.records import Records
from services.tally.partition import Effect, PartitionFold

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
FIRST, LAST = date(2000, 1, 1), date(9999, 12, 30)
BEGINNING = datetime(2000, 1, 2, tzinfo=UTC)  # 2000-01-01 has begun wherever an offset is
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=70),
    st.sampled_from(["", "uz", "UZB", "ZZ", "2025-02-30", "2025-13-01", "1999-12-31", "9999-12-31", "2025-06-30T25:00Z", "KZ-99"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


def _parts(hint: Any) -> tuple[bool, Any, list[Any]]:
    """Whether a field may be left out, its bare type, and what its annotation says beside that."""
    optional = get_origin(hint) is NotRequired
    annotated = get_args(hint)[0] if optional else hint
    bare, *marks = get_args(annotated)
    return optional, bare, [part for mark in marks for part in getattr(mark, "metadata", None) or [mark]]


def _texts(constraints: StringConstraints) -> st.SearchStrategy[str]:
    low, high = constraints.min_length or 0, constraints.max_length or 64
    pattern = str(constraints.pattern or "(?s).*")
    letters = st.characters(codec="utf-8")
    longest = [one * n for one in "A0-" for n in (low, high) if re.fullmatch(pattern, one * n)]
    return st.one_of(
        st.from_regex(pattern, fullmatch=True, alphabet=letters).filter(lambda text: low <= len(text) <= high),
        st.sampled_from(longest) if longest else st.nothing(),
    )


def _numbers(bare: Any, marks: list[Any]) -> st.SearchStrategy[Any]:
    if get_origin(bare) is not None or not isinstance(bare, type):  # a union of annotated types
        return st.one_of(*(_numbers(kind, [p for m in more for p in m.metadata]) for kind, *more in map(get_args, get_args(bare))))
    low: Any = next((mark.ge if isinstance(mark, Ge) else mark.gt for mark in marks if isinstance(mark, Ge | Gt)), None)
    high: Any = next((mark.le for mark in marks if isinstance(mark, Le)), None)
    if bare is int:
        return st.one_of(st.integers(low, high), st.sampled_from([low, high]))
    strictly = any(isinstance(mark, Gt) for mark in marks)
    return st.floats(low, high, exclude_min=strictly, allow_nan=False, allow_infinity=False)


@st.composite
def _moments(draw: st.DrawFn) -> str:
    offset = timezone(timedelta(minutes=draw(st.integers(-14 * 60, 14 * 60))))
    moment = draw(st.datetimes(BEGINNING.replace(tzinfo=None), NOW.replace(tzinfo=None), timezones=st.just(UTC)))
    written = moment.astimezone(offset).isoformat(timespec=draw(st.sampled_from(["seconds", "milliseconds", "microseconds"])))
    return written.replace("T", draw(st.sampled_from("Tt"))).replace("+00:00", draw(st.sampled_from(["Z", "z", "+00:00"])))


def _values(bare: Any, marks: list[Any]) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - a case for each kind of field
    if get_origin(bare) is Literal:
        return st.sampled_from(get_args(bare))
    for mark in marks:
        match mark:
            case OneOf(values):
                return st.sampled_from(values)
            case Moment():
                return _moments()
            case Day(event):
                return st.dates(FIRST, NOW.date() if event else LAST).map(str)
            case Identity():
                return st.text(st.characters(codec="utf-8"), min_size=1, max_size=64)
            case StringConstraints():
                return _texts(mark)
    return _numbers(bare, marks)


@lru_cache
def fields(feed: str) -> dict[str, tuple[bool, st.SearchStrategy[Any]]]:
    """Of each field of a feed's records: whether it may be left out, and its values."""
    hints = get_type_hints(FEEDS[feed].record, include_extras=True)
    found = {name: _parts(hint) for name, hint in hints.items() if name not in ("record_id", "version")}
    return {name: (optional, _values(bare, marks)) for name, (optional, bare, marks) in found.items()}


def _in_order(draw: st.DrawFn, feed: Feed, record: dict[str, Any]) -> dict[str, Any]:
    for order in feed.orders:
        if record.get(order.later) is not None:
            earlier = date.fromisoformat(record[order.earlier])
            record[order.later] = str(draw(st.dates(earlier + timedelta(days=int(order.strict)), LAST)))
    return record


@st.composite
def records(draw: st.DrawFn, feed: str) -> dict[str, Any]:
    """Any record that the schema of a feed allows."""
    record = {name: draw(values) for name, (optional, values) in fields(feed).items() if not optional or draw(st.booleans())}
    version = {"version": draw(st.integers(1, 2**53 - 1))} if draw(st.booleans()) else {}
    return _in_order(draw, FEEDS[feed], record | {"record_id": "r-1"} | version)


@lru_cache
def _columns(feed: str) -> Columns:
    return Columns(Edge(FEEDS[feed], b"k" * 32, "0123abcd"), left_min=1)


def accept(feed: str, sent: list[dict[str, Any]]) -> Prepared:
    raws: list[Any] = [json.dumps(record).encode() for record in sent]
    return prepare(_columns(feed), "knb", raws, 1, latest(NOW_MS))


def fold(feed: str, prepared: Prepared) -> tuple[Effect, PartitionFold]:
    """What becomes of them in tally."""
    [events] = prepared.events
    n, one = len(events), PartitionFold(RULES[feed])
    headers = [(("schema", FEEDS[feed].schema_header),)] * n
    return one.fold(Records(list(range(n)), [NOW_MS] * n, [k for k, _ in events], [v for _, v in events], headers)), one


def total(fold: PartitionFold) -> int:
    """How much stands in all sheets, marginal cells aside."""
    sheets = [orjson.loads(sheet) for sheet in fold.all_sheets().values()]
    return sum(n for s in sheets for cell, n in zip(s["cells"], s["counts"], strict=True) if not cell.startswith("~"))


def on_a_sheet(feed: str, record: dict[str, Any]) -> int:
    """Offences of two kinds only are persons at work without papers."""
    return int(feed != "migration-violations" or record["kind"] in COUNTED_KINDS)


@pytest.mark.parametrize("feed", FEEDS)
def test_any_record_that_a_schema_allows_is_accepted_and_stands_on_a_sheet(feed: str) -> None:
    @settings(deadline=None)
    @given(records(feed))
    def law(record: dict[str, Any]) -> None:
        prepared = accept(feed, [record])
        assert prepared.refusals == {}
        effect, folded = fold(feed, prepared)
        assert (effect.counted, effect.dead) == (1, [])
        areas = 1 if feed != "migration-violations" else total(folded)  # a person stands under the country, its groups and all
        assert total(folded) == on_a_sheet(feed, record) * areas
        assert areas >= on_a_sheet(feed, record)

    law()


def _listed() -> Iterator[tuple[str, str, str]]:
    for feed, contract in FEEDS.items():
        for name in fields(feed):
            try:
                yield from ((feed, name, code) for code in codes(contract.record, name))
            except LookupError:
                continue


@pytest.mark.parametrize("feed", FEEDS)
def test_every_code_of_every_list_is_accepted_and_stands_on_a_sheet(feed: str) -> None:
    listed = [(name, code) for of, name, code in _listed() if of == feed]

    @settings(deadline=None, max_examples=50)
    @given(st.data())
    def law(data: st.DataObject) -> None:
        base = data.draw(records(feed))
        sent = [base | {name: code, "record_id": f"r-{i}"} for i, (name, code) in enumerate(listed)]
        prepared = accept(feed, sent)
        assert prepared.refusals == {}
        effect, _ = fold(feed, prepared)
        assert (effect.counted, effect.dead) == (len(sent), [])

    assert listed
    law()


@pytest.mark.parametrize("feed", FEEDS)
def test_what_the_fold_would_refuse_the_edge_has_refused(feed: str) -> None:
    @settings(deadline=None, max_examples=50)
    @given(st.data())
    def law(data: st.DataObject) -> None:
        record = data.draw(records(feed))
        name = data.draw(st.sampled_from(sorted(fields(feed))))
        prepared = accept(feed, [record | {name: data.draw(JUNK)}])
        if not prepared.refusals and record["action"] == "record":
            effect, _ = fold(feed, prepared)
            assert (effect.counted, effect.dead) == (1, [])

    law()
