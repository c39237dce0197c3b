"""Queries of SDMX REST: what they mean, and what is no query."""

import re
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dissemination.sdmx.archive import series_pattern
from services.dissemination.sdmx.filters import parse_filter
from services.dissemination.sdmx.message import limited
from services.dissemination.sdmx.negotiate import DATA, choose_format, choose_language
from services.dissemination.sdmx.periods import span
from services.dissemination.sdmx.query import DataQuery, Selection, parse_data_query, parse_keys
from services.dissemination.sdmx.versions import matches, parse_version
from services.shared.runtime.http.problem import Problem
from services.shared.runtime.postgres.store import Published

OURS = "dataflow/TOLQYN/KZ_MIG/1.0"
AT = datetime(2025, 7, 1, 4, 12, 45, tzinfo=UTC)


def row(series: str, period: str = "2025-Q2", value: float | None = 5, **more: Any) -> Published:
    return Published(series, period, value, None, None, "persons", 0, "P", "F", 3, AT)._replace(**more)


def query(path: str = OURS, parameters: str = "") -> DataQuery:
    return parse_data_query(path, parameters)


def refused(path: str = OURS, parameters: str = "") -> Problem:
    with pytest.raises(Problem) as caught:
        parse_data_query(path, parameters)
    return caught.value


# Keys


codes = st.lists(st.sampled_from(["Q", "A", "UZ", "_T", "1", "a$b", "x-y"]), min_size=6, max_size=6)
places = st.lists(st.sampled_from(["*", "Q", "A", "UZ", "_T", "1", "a$b", "x-y"]), min_size=1, max_size=6)


@given(asked=st.lists(places, min_size=1, max_size=3), there=st.lists(codes, max_size=30))
def test_keys_select_exactly_the_series_that_they_name(asked: list[list[str]], there: list[list[str]]) -> None:
    text = ",".join(".".join(key) for key in asked)
    expected = {
        ".".join(series)
        for series in there
        if any(all(place in ("*", code) for place, code in zip(key, series, strict=False)) for key in asked)
    }
    series = [".".join(of) for of in there]
    assert {one.series for one in Selection(parse_keys(text), ()).of(map(row, series))} == expected
    pattern = series_pattern(parse_keys(text))
    assert {one for one in series if re.search(pattern, one)} == expected, "the database is asked for the same series"


def test_what_is_left_out_at_the_end_of_the_path_or_of_the_key_is_a_wildcard() -> None:
    assert query("").there
    assert query("dataflow").there
    assert query("dataflow/TOLQYN/").selection.keys == ((None,) * 6,)
    assert query(f"{OURS}/Q.ARRIVALS").selection.keys == (("Q", "ARRIVALS", None, None, None, None),)


@pytest.mark.parametrize(
    "path",
    [
        "datastructure/TOLQYN/KZ_MIG/1.0",
        "*/*/*/*/*",
        "dataflow,datastructure/X,TOLQYN/A,KZ_MIG/2.0,1.0",
        "dataflow/TOLQYN/KZ_MIG/+",
        "dataflow/TOLQYN/KZ_MIG/~",
        "dataflow/TOLQYN/KZ_MIG/1%2B.0",
        "dataflow/TOLQYN/KZ_MIG/%2A",
    ],
)
def test_a_path_names_the_published_figures(path: str) -> None:
    assert query(path).there


@pytest.mark.parametrize(
    "path",
    ["provisionagreement", "dataflow/ECB", "dataflow/TOLQYN/EXR", "dataflow/TOLQYN/KZ_MIG/1.1", "dataflow/TOLQYN/KZ_MIG/2+.0"],
)
def test_a_path_to_something_else_is_a_good_query_for_what_is_not_there(path: str) -> None:
    assert not query(path).there


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("codelist", "context"),
        ("dataflow/T Q", "agencyID"),
        ("dataflow/TOLQYN/KZ.MIG", "resourceID"),
        ("dataflow/TOLQYN/KZ_MIG/latest", "version"),
        (f"{OURS}/Q..UZ", "key"),
        (f"{OURS}/Q.ARRIVALS.UZ+KG", "key"),
        (f"{OURS}/*.*.*.*.*.*.*", "key"),
        (f"{OURS}/Q,", "key"),
        (f"{OURS}/*/x", "path"),
        ("dataflow//KZ_MIG", "path"),
    ],
)
def test_a_path_that_is_no_query_is_refused_with_the_name_of_the_part(path: str, parameter: str) -> None:
    problem = refused(path)
    assert problem.status == 400
    assert problem.detail.startswith(parameter + ":")


# Versions


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ("2.0.0", True),
        ("2.0", True),
        ("2", True),
        ("*", True),
        ("~", True),
        ("+", True),
        ("2.0.0+", True),
        ("2.+.0", True),
        ("1+.5.0", True),
        ("1.0.0", False),
        ("2.0.1", False),
        ("2.1", False),
        ("2.0.1+", False),
        ("3+.0.0", False),
        ("1.+.0", False),
    ],
)
def test_versions_are_matched_part_by_part(asked: str, fits: bool) -> None:
    parsed = parse_version(asked)
    assert parsed is not None
    assert matches(parsed, "2.0.0") is fits


@pytest.mark.parametrize("text", ["", "v1", "1.", "1..0", "1.0.0.0", "1+.0+", "latest"])
def test_what_is_no_version_is_none(text: str) -> None:
    assert parse_version(text) is None


# Periods


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024", date(2024, 1, 1), date(2024, 12, 31)),
        ("2024-A1", date(2024, 1, 1), date(2024, 12, 31)),
        ("2024-Q1", date(2024, 1, 1), date(2024, 3, 31)),
        ("2024-Q4", date(2024, 10, 1), date(2024, 12, 31)),
        ("2024-S2", date(2024, 7, 1), date(2024, 12, 31)),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2023-M02", date(2023, 2, 1), date(2023, 2, 28)),
        ("2024-12", date(2024, 12, 1), date(2024, 12, 31)),
        ("2024-02-29", date(2024, 2, 29), date(2024, 2, 29)),
        ("2024-02-29T12:00:00Z", date(2024, 2, 29), date(2024, 2, 29)),
    ],
)
def test_a_period_has_a_first_and_a_last_day(text: str, first: date, last: date) -> None:
    assert span(text) == (first, last)


@pytest.mark.parametrize("text", ["", "25", "2025-Q5", "2025-Q0", "2025-13", "2025-02-29", "2025-W01", "2025-Q2x", "plan"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"period|year|day|month|date"):
        span(text)


# Filters


ROWS = [
    row("Q.A", "2024-Q4", 10.5), row("Q.A", "2025-Q1", 3, status="E"), row("Q.A", "2025-Q2", None, status="Q", confidentiality="A"),
    row("A.A", "2024", 100), row("A.A", "2025", 200), row("D.A", "2025-03-31", 7), row("D.A", "2025-07-01", 8),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "periods"),
    [
        ("2025-Q1", {"2025-Q1"}),
        ("ge:2025-Q1+le:2025-Q2", {"2025-Q1", "2025-Q2", "2025-03-31"}),
        ("ge:2025", {"2025-Q1", "2025-Q2", "2025", "2025-03-31", "2025-07-01"}),
        ("gt:2025-Q1", {"2025-Q2", "2025-07-01"}),
        ("lt:2025", {"2024-Q4", "2024"}),
        ("le:2025-03-31", {"2024-Q4", "2024", "2025-Q1", "2025-03-31"}),
        ("2024,2025", {"2024", "2025"}),
        ("ne:2025", {"2024-Q4", "2025-Q1", "2025-Q2", "2024", "2025-03-31", "2025-07-01"}),
        ("ge:2024+le:2024,ge:2025-04+le:2025-06", {"2024-Q4", "2024", "2025-Q2"}),
        ("sw:2025-Q", {"2025-Q1", "2025-Q2"}),
        ("co:Q+ew:1", {"2025-Q1"}),
        ("nc:-", {"2024", "2025"}),
    ],
)
def test_a_filter_of_periods_takes_what_lies_within(text: str, periods: set[str]) -> None:
    fits = parse_filter("TIME_PERIOD", text).fits
    assert {one.period for one in ROWS if fits(one.period)} == periods


NUMBER = st.integers(-3, 3)


@given(
    alternatives=st.lists(
        st.lists(st.tuples(st.sampled_from(["", "eq:", "ne:", "lt:", "le:", "gt:", "ge:"]), NUMBER), min_size=1, max_size=3),
        min_size=1,
        max_size=3,
    ),
    value=st.none() | NUMBER,
)
def test_commas_are_or_and_pluses_are_and_within_them(alternatives: list[list[tuple[str, int]]], value: int | None) -> None:
    python = {"": "==", "eq:": "==", "ne:": "!=", "lt:": "<", "le:": "<=", "gt:": ">", "ge:": ">="}
    text = ",".join("+".join(f"{operator}{number}" for operator, number in tests) for tests in alternatives)
    said = " or ".join("(" + " and ".join(f"value {python[o]} {n}" for o, n in tests) + ")" for tests in alternatives)
    expected = value is not None and eval(said, {"value": value})
    assert parse_filter("OBS_VALUE", text).fits(value) is expected


@pytest.mark.parametrize(
    ("component", "text", "count"),
    [
        ("OBS_STATUS", "P", 5),
        ("OBS_STATUS", "E,Q", 2),
        ("OBS_STATUS", "ne:P", 2),
        ("CONF_STATUS", "A", 1),
        ("OBS_VALUE", "ge:8", 4),
        ("OBS_VALUE", "ne:3", 5),
        ("FREQ", "Q,D", 5),
        ("UNIT_MEASURE", "co:son", 7),
        ("AS_OF", "3", 7),
        ("PUBLISHED_AT", "gt:2025-07-01T04:12:45Z", 0),
        ("PUBLISHED_AT", "le:2025-07-01T04:12:45", 7),
    ],
)
def test_components_are_filtered_by_their_values(component: str, text: str, count: int) -> None:
    rows = [one._replace(series=one.series + "._T._T._T._Z") for one in ROWS]
    assert len(query(parameters=f"c[{component}]={text}").selection.of(rows)) == count


def test_a_suppressed_value_fits_no_comparison() -> None:
    for text in ("0", "ne:0", "ge:0", "lt:0"):
        assert not parse_filter("OBS_VALUE", text).fits(None)


@pytest.mark.parametrize(
    ("parameters", "parameter"),
    [
        ("c[AREA]=UZ", "c[AREA]"),
        ("c[FREQ]=", "c[FREQ]"),
        ("c[FREQ]=Q,", "c[FREQ]"),
        ("c[FREQ]=ge:Q", "c[FREQ]"),
        ("c[FREQ]=xx:Q", "c[FREQ]"),
        ("c[OBS_VALUE]=many", "c[OBS_VALUE]"),
        ("c[OBS_VALUE]=sw:1", "c[OBS_VALUE]"),
        ("c[TIME_PERIOD]=ge:2025-Q9", "c[TIME_PERIOD]"),
        ("c[PUBLISHED_AT]=ge:today", "c[PUBLISHED_AT]"),
        ("c[FREQ]=Q&c[FREQ]=A", "c[FREQ]"),
        ("c%5BFREQ%5D=Q&c[FREQ]=A", "c[FREQ]"),
        ("startPeriod=2025", "startPeriod"),
        ("asOf=yesterday", "asOf"),
        ("asOf=20250701", "asOf"),
        ("updatedAfter=2025-13-01T00:00:00Z", "updatedAfter"),
        ("updatedAfter=2025-07-02T00:00:00Z&asOf=2025-07-01T00:00:00Z", "updatedAfter"),
        ("includeHistory=yes", "includeHistory"),
        ("firstNObservations=0", "firstNObservations"),
        ("lastNObservations=-1", "lastNObservations"),
        ("limit=1e3", "limit"),
        ("offset=99999999999999999999", "offset"),
        ("dimensionAtObservation=SEX", "dimensionAtObservation"),
        ("attributes=OBS_VALUE", "attributes"),
        ("measures=LOWER", "measures"),
    ],
)
def test_a_parameter_that_is_no_query_is_refused_with_its_name(parameters: str, parameter: str) -> None:
    problem = refused(parameters=parameters)
    assert problem.status == 400
    assert problem.detail.startswith(parameter + ":")


def test_a_query_may_not_ask_for_more_than_is_answered_in_seconds() -> None:
    keys, values = ",".join(["Q"] * 101), ",".join(["UZ"] * 201)
    assert refused(f"{OURS}/{keys}").detail.startswith("key: at most 100 keys")
    assert refused(parameters=f"c[COUNTERPART_AREA]={values}&c[FREQ]={values}").detail.startswith("c[...]: at most 400 values")
    assert len(query(f"{OURS}/{keys[2:]}", f"c[COUNTERPART_AREA]={values}").selection.keys) == 100


def test_what_is_not_offered_is_said_to_be_so() -> None:
    assert refused(parameters="sort=TIME_PERIOD").status == 501
    assert refused(parameters="reportingYearStartDay=--07-01").status == 501


# Other parameters


def test_a_moment_may_have_its_plus_as_it_is_and_is_utc_without_an_offset() -> None:
    expected = datetime(2025, 7, 1, 4, 0, tzinfo=UTC)
    for text in ("2025-07-01T09:00:00+05:00", "2025-07-01T09:00:00%2B05:00", "2025-07-01T04:00:00Z", "2025-07-01T04:00:00"):
        assert query(parameters=f"asOf={text}").as_of == expected


def test_attributes_are_chosen_by_set_or_by_name_and_keep_their_order() -> None:
    assert query().attributes == (
        "LOWER",
        "UPPER",
        "UNIT_MEASURE",
        "DECIMALS",
        "OBS_STATUS",
        "CONF_STATUS",
        "AS_OF",
        "PUBLISHED_AT",
    )
    assert query(parameters="attributes=none").attributes == ()
    assert query(parameters="attributes=series").attributes == ("UNIT_MEASURE", "DECIMALS")
    assert query(parameters="attributes=OBS_STATUS,LOWER,dataset").attributes == ("LOWER", "OBS_STATUS")
    assert query(parameters="measures=none").measures == ()


@given(
    counts=st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 6)),
    first=st.none() | st.integers(1, 4),
    last=st.none() | st.integers(1, 4),
    offset=st.none() | st.integers(0, 12),
    limit=st.none() | st.integers(1, 12),
)
def test_first_and_last_observations_and_pages(
    counts: dict[str, int], first: int | None, last: int | None, offset: int | None, limit: int | None
) -> None:
    rows = [row(series, f"{2000 + i}") for series, count in sorted(counts.items()) for i in range(count)]
    asked = {"firstNObservations": first, "lastNObservations": last, "offset": offset, "limit": limit}
    parameters = "&".join(f"{name}={value}" for name, value in asked.items() if value is not None)
    expected = []
    for series, count in sorted(counts.items()):
        for i in range(count):
            at_start, at_end = first is not None and i < first, last is not None and i >= count - last
            if at_start or at_end or (first is None and last is None):
                expected.append((series, f"{2000 + i}"))
    expected = expected[offset or 0 :]
    expected = expected if limit is None else expected[:limit]
    assert [(one.series, one.period) for one in limited(rows, query(parameters=parameters))] == expected


# Formats and languages


@pytest.mark.parametrize(
    ("header", "kind", "content_type"),
    [
        ("", "json", "application/vnd.sdmx.data+json;version=2.0.0"),
        ("*/*", "json", "application/vnd.sdmx.data+json;version=2.0.0"),
        ("application/json", "json", "application/vnd.sdmx.data+json;version=2.0.0"),
        ("application/vnd.sdmx.data+json;version=2.0.0", "json", "application/vnd.sdmx.data+json;version=2.0.0"),
        ("application/vnd.sdmx.data+csv", "csv", "application/vnd.sdmx.data+csv;version=2.0.0"),
        ("text/csv", "csv", "application/vnd.sdmx.data+csv;version=2.0.0"),
        ("text/*", "csv", "application/vnd.sdmx.data+csv;version=2.0.0"),
        (
            "application/vnd.sdmx.data+csv; version=2+.0.0; labels=both",
            "csv",
            "application/vnd.sdmx.data+csv;version=2.0.0;labels=both",
        ),
        ("application/vnd.sdmx.data+csv;keys=series", "csv", "application/vnd.sdmx.data+csv;version=2.0.0;keys=series"),
        ("application/vnd.sdmx.data+json;version=1.0.0, text/csv;q=0.5", "csv", "application/vnd.sdmx.data+csv;version=2.0.0"),
        ("application/json;q=0.2, text/csv;q=0.9", "csv", "application/vnd.sdmx.data+csv;version=2.0.0"),
        ("*/*, text/csv", "csv", "application/vnd.sdmx.data+csv;version=2.0.0"),
        ("application/json;q=0, */*;q=0.1", "csv", "application/vnd.sdmx.data+csv;version=2.0.0"),
    ],
)
def test_the_best_format_that_there_is_is_chosen(header: str, kind: str, content_type: str) -> None:
    choice = choose_format(header, DATA)
    assert (choice.kind, choice.content_type) == (kind, content_type)


@pytest.mark.parametrize(
    "header",
    [
        "image/png",
        "application/vnd.sdmx.data+json;version=1.0.0",
        "application/vnd.sdmx.data+csv;timeFormat=normalized",
        "application/vnd.sdmx.genericdata+xml;version=2.1",
        "application/vnd.sdmx.data+csv;labels=all",
        "text/html",
        "*/*;q=0",
        "application/vnd.sdmx.structure+json",
    ],
)
def test_a_format_that_there_is_not_is_406(header: str) -> None:
    with pytest.raises(Problem) as caught:
        choose_format(header, DATA)
    assert caught.value.status == 406
    assert "application/vnd.sdmx.data+json;version=2.0.0" in caught.value.detail


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("kk-KZ, ru;q=0.8", "kk"),
        ("de, ru;q=0.3", "ru"),
        ("de", "en"),
        ("*, kk;q=0.1", "en"),
        ("ru;q=0, kk;q=0.1", "kk"),
    ],
)
def test_the_best_language_that_there_is_is_chosen(header: str, language: str) -> None:
    assert choose_language(header) == language
