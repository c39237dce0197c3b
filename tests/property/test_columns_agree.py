"""Taking records by columns gives what taking them one by one gives: events to the byte, refusals to the sentence, in order."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.feeds import FEEDS
from services.shared.ingest.calendar_rules import latest
from services.shared.ingest.columns import Columns
from services.shared.ingest.edge import Edge
from services.shared.ingest.refusal import Refusal
from services.shared.ingest.submission import Prepared, prepare

NOW_MS = 1_750_000_000_123  # 2025-06-15T15:06:40.123Z
PARTITIONS = 3
NEVER = 10**9  # no submission has so many records: none is taken by columns
EDGES = {name: Edge(feed, b"k" * 32, "0123abcd") for name, feed in FEEDS.items()}
law = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

_moments = st.builds(
    "{}T{}:{:02}:{}{}{}".format,
    st.dates().map(str)
    | st.sampled_from(["2025-06-16", "2025-02-29", "1999-12-31", "2000-01-01", "2025-06-15", "0001-01-01", "2025-13-01"]),
    st.sampled_from(["00", "15", "18", "23", "24", "5"]),
    st.sampled_from([0, 6, 59, 60]),
    st.sampled_from(["00", "40", "59", "60"]),
    st.sampled_from(["", ".", ".1", ".12", ".123", ".124", ".9999", ".123456789", ".1234567891"]),
    st.sampled_from(["Z", "+05:00", "+06:00", "-11:00", "z", "+05:30", "+24:00", "-00:00", "", "+0500"]),
)
_good_moments = st.builds(
    "2025-0{}-1{}T{:02}:{:02}:{:02}{}{}".format,
    st.integers(1, 5),
    st.integers(0, 9),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.sampled_from(["", ".1", ".98", ".123", ".9999"]),
    st.sampled_from(["Z", "+05:00", "+06:00", "-11:00"]),
)
_edge_days = [
    "2025-06-16",
    "2025-06-17",
    "2025-02-29",
    "1999-12-31",
    "2000-01-01",
    "9999-12-30",
    "9999-12-31",
    "2025-6-1",
    "20250601",
]
_days = st.dates().map(str) | st.sampled_from(_edge_days)
_texts = st.text(st.characters(exclude_categories=()) | st.sampled_from('\x00\x1f\x7f"\\/ЖAZaz09-_.\u2028'), max_size=70)
_wholes = st.integers(-2, 9) | st.sampled_from([10**15 - 1, 10**15, 2**53 - 1, 2**53, 10**30])
_values: st.SearchStrategy[Any] = (
    _moments | _days | _texts | _wholes | st.floats() | st.booleans() | st.none() | st.just([]) | st.just({"a": 1})
)


def _good(name: str, schema: dict[str, Any], edge: Edge) -> st.SearchStrategy[Any]:
    """Mostly good values of a field, by its JSON Schema."""
    if name in edge.moments:
        return _good_moments
    if name in dict(edge.days):
        return st.sampled_from(["2025-01-31", "2025-02-01", "2024-02-29"])
    values = [schema["const"]] if "const" in schema else schema.get("enum", ["2025-Q2"] if name == "period" else None)
    if values is not None:
        return st.sampled_from(values)
    if schema.get("type") == "integer":
        return st.integers(1, 9) | st.just(10**15 - 1)
    if schema.get("type") == "string":
        plain = st.text("AZ09", min_size=1, max_size=8)
        return plain if schema.get("pattern", "").startswith("^[A") else plain | st.text("ЖAé '\u2028", min_size=1, max_size=8)
    return st.integers(1, 9) | st.floats(1, 9)


@st.composite
def submissions(draw: st.DrawFn) -> tuple[str, list[bytes | Refusal]]:
    """A feed, and texts as its agencies may send them: mostly good records of few layouts, some with one thing wrong, some torn."""
    feed = draw(st.sampled_from(list(FEEDS)))
    edge = EDGES[feed]
    properties, required = edge.schema["properties"], edge.schema["required"]
    optional = [name for name in properties if name not in required]
    layouts = [
        draw(st.permutations([*required, *draw(st.lists(st.sampled_from(optional), unique=True))]))
        for _ in range(draw(st.integers(1, 2)))
    ]
    texts: list[bytes | Refusal] = []
    for _ in range(draw(st.integers(1, 8))):
        names = draw(st.sampled_from(layouts))
        record = {name: draw(_good(name, properties[name], edge)) for name in names}
        kind = draw(st.sampled_from(["good"] * 6 + ["field", "extra", "missing", "withdraw", "torn", "garbage"]))
        if kind == "field":
            record[draw(st.sampled_from(names))] = draw(_values)
        elif kind == "extra":
            record[draw(st.sampled_from(["nickname", "pseudonym_key", *properties]))] = draw(_values)
        elif kind == "missing":
            del record[draw(st.sampled_from(names))]
        elif kind == "withdraw":
            record["action"] = "withdraw"
        texts.append(draw(_written(record, kind)))
    return feed, texts


@st.composite
def _written(draw: st.DrawFn, record: dict[str, Any], kind: str) -> bytes | Refusal:
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]))
    plain = draw(st.booleans())
    text = json.dumps(record, ensure_ascii=plain, separators=(comma, colon)).encode("utf-8", "surrogatepass")
    text += draw(st.sampled_from([b""] * 5 + [b"\r", b" ", b"\t\r", b"{}", b",", b"\n"]))
    if kind == "torn":
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b"\\u0041", b"}", b" "]))
            + text[at + draw(st.integers(0, 3)) :]
        )
    if kind == "garbage":
        return draw(st.binary(max_size=40) | st.sampled_from([b"", b"null", b"[]", b"{}", b"\xef\xbb\xbf{}", b"[" * 500]))
    return text


def _taken(feed: str, texts: list[bytes | Refusal], left_min: int) -> Prepared:
    columns = Columns(EDGES[feed], left_min)
    return prepare(columns, "knb", texts, PARTITIONS, latest(NOW_MS))


@law
@given(submissions())
def test_by_columns_and_one_by_one_agree(submission: tuple[str, list[bytes | Refusal]]) -> None:
    feed, texts = submission
    by_columns, one_by_one = _taken(feed, texts, 1), _taken(feed, texts, NEVER)
    assert by_columns.events == one_by_one.events
    assert by_columns.indices == one_by_one.indices
    assert by_columns.refusals == one_by_one.refusals


@law
@given(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=6), st.data())
def test_records_without_a_version_are_the_same_whichever_way_they_are_taken(ids: list[str], data: st.DataObject) -> None:
    texts: list[bytes | Refusal] = [
        json.dumps({"record_id": name} | data.draw(st.sampled_from([PLAIN["work-permits"], {"action": "withdraw"}]))).encode()
        for name in ids
    ]
    assert _taken("work-permits", texts, 1).events == _taken("work-permits", texts, NEVER).events


PLAIN: dict[str, dict[str, Any]] = {
    "border-crossings": {
        "occurred_at": "2025-06-01T23:59:59.999+05:00",
        "direction": "arrival",
        "citizenship": "UZ",
        "counterpart": "XX",
        "mode": "road",
        "checkpoint": "KZ-R13",
        "person": "Ж 1",
    },
    "work-permits": {
        "citizenship": "UZ",
        "category": "4",
        "region": "KZ-75",
        "sector": "F",
        "valid_from": "2025-01-31",
        "valid_to": "2025-01-31",
        "employer": "050140026773",
    },
    "student-enrolments": {
        "citizenship": "IN",
        "institution": "KZ-U002",
        "level": "bachelor",
        "field": "02",
        "enrolled_on": "2024-02-29",
        "ended_on": "2025-07-01",
    },
    "residence-registrations": {"occurred_on": "2024-02-29", "direction": "departure", "citizenship": "KZ", "counterpart": "DE"},
    "labour-emigration": {"departed_on": "2024-12-31", "destination": "KR", "channel": "organised", "person": "N1"},
    "visitor-stays": {"arrived_on": "2024-05-09", "citizenship": "CN", "kind": "medical"},
    "migration-violations": {"occurred_on": "2025-03-14", "citizenship": "UZ", "kind": "work_without_contract", "person": "Ж 1"},
}


@pytest.mark.parametrize("feed", PLAIN)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_plain_records_are_all_taken_by_columns(feed: str, separators: tuple[str, str]) -> None:
    some = [{"record_id": f"r-{i}", **({"version": i + 1} if i % 2 else {}), **PLAIN[feed]} for i in range(8)]
    texts: list[bytes | Refusal] = [json.dumps(one, ensure_ascii=False, separators=separators).encode() for one in some]
    taken = Columns(EDGES[feed], 1).accept(texts, latest(NOW_MS))
    assert None not in taken.events
    assert [json.loads(event or b"")["version"] for event in taken.events] == [0, 2, 0, 4, 0, 6, 0, 8]


# What lies on either side of every bound: each is put into each field of a plain record, however little it belongs there.
BOUNDS: list[Any] = [
    *("1999-12-31", "2000-01-01", "2025-06-15", "2025-06-16", "2025-06-17", "9999-12-30", "9999-12-31", "2025-02-29", "2024-02-29"),
    *("0000-01-01", "2025-13-01", "2025-6-1", "20250601", "2025-W01-1", "2025-01-30", "2025-01-31", "2025-02-01", "2024-02-28"),
    *("1999-12-31T17:59:59.999Z", "1999-12-31T18:00:00Z", "2000-01-01T00:00:00+06:00", "2000-01-01T00:59:59.999+07:00"),
    *("2025-06-16T15:06:40.123Z", "2025-06-16T15:06:40.1239Z", "2025-06-16T15:06:40.124Z", "2025-06-16T20:06:40.123+05:00"),
    *("2025-06-01T24:00:00Z", "2025-06-01T23:60:00Z", "2025-06-01T23:59:60Z", "2025-02-29T00:00:00Z", "2025-00-01T00:00:00Z"),
    *("2025-06-01t00:00:00z", "2025-06-01T00:00:00+05:30", "2025-06-01T00:00:00+24:00", "2025-06-01T00:00:00-23:00"),
    *("2025-06-01T00:00:00.9Z", "2025-06-01T00:00:00.98Z", "2025-06-01T00:00:00.9999Z", "2025-06-01T00:00:00.1234567891Z"),
    *("2025-06-01T00:00:00", "2025-06-01T00:00:00.Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00"),
    *(0, 1, 10**15 - 1, 10**15, 2**53 - 1, 2**53, 10**16, 10**30, 1.0, True, None, [], {}),
    *("A" * size for size in (0, 1, 16, 17, 32, 33, 64, 65)),
    *("\U0001f30a" * size for size in (1, 32, 33, 64, 65)),
    *("\x7f", "\x1f", "a\\b", 'a"b', "a/b", "a\n", "\u2028", "\ud800", "\ufeff", "kz-1", "ZZ", "uz", "Record", "withdraw"),
]


def _with_one_bound(feed: str, escaped: bool) -> list[bytes | Refusal]:
    plain = {"record_id": "r", "version": 7, "action": "record", **PLAIN[feed]}
    changed = [plain | {name: value} for name in plain for value in BOUNDS]
    return [json.dumps(one, ensure_ascii=escaped, separators=(",", ":")).encode("utf-8", "surrogatepass") for one in changed]


@pytest.mark.parametrize("feed", PLAIN)
@pytest.mark.parametrize("escaped", [True, False])
def test_by_columns_and_one_by_one_agree_on_both_sides_of_every_bound(feed: str, escaped: bool) -> None:
    texts = _with_one_bound(feed, escaped)
    by_columns, one_by_one = _taken(feed, texts, 1), _taken(feed, texts, NEVER)
    assert by_columns.events == one_by_one.events
    assert by_columns.refusals == one_by_one.refusals
    assert any(by_columns.events)
    assert by_columns.refusals
