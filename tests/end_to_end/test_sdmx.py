"""SDMX REST of the whole stack: the rows of `tolqyn export`, now and as they were, over a real connection."""

import csv
import io
import json
import urllib.error
import urllib.request

import pytest

from tests.end_to_end.conftest import Stack

FLOW = "dataflow/TOLQYN/KZ_MIG/1.0"
KEY = "Q.ARRIVALS._T._T._T._Z"
ATTEMPTS_MAX = 5  # a publication between an export and its counterpart: the next one meets none


def ask(stack: Stack, path: str, accept: str = "text/csv") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{stack.port}/sdmx/v2/{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode("utf-8"))


def test_all_data_are_the_bytes_of_the_export(stack: Stack) -> None:
    for _ in range(ATTEMPTS_MAX):
        before, answer, after = stack.tolqyn("export"), ask(stack, f"data/{FLOW}"), stack.tolqyn("export")
        if before == after:
            break
    else:
        pytest.fail("the figures moved all the time")
    assert answer == before


def test_each_vintage_of_a_history_is_what_the_export_and_the_service_said_then(stack: Stack) -> None:
    history = list(csv.DictReader(io.StringIO(ask(stack, f"data/{FLOW}/{KEY}?includeHistory=true&c[TIME_PERIOD]=2025-Q2"))))
    assert history, "the figure was published at least once"
    assert [row["VALID_FROM"] for row in history] == sorted(row["VALID_FROM"] for row in history)
    for row in (history[0], history[-1]):
        then = row["VALID_FROM"]
        served = list(csv.DictReader(io.StringIO(ask(stack, f"data/{FLOW}/{KEY}?asOf={after(then)}&c[TIME_PERIOD]=2025-Q2"))))
        exported = [
            line
            for line in csv.DictReader(io.StringIO(stack.tolqyn("export", "--as-of", row["AS_OF"])))
            if line["INDICATOR"] == "ARRIVALS" and line["TIME_PERIOD"] == "2025-Q2" and ".".join(list(line.values())[3:9]) == KEY
        ]
        assert [one["OBS_VALUE"] for one in served] == [one["OBS_VALUE"] for one in exported] == [row["OBS_VALUE"]]


def after(moment: str) -> str:
    """The end of the millisecond to which a moment was cut."""
    return moment.removesuffix("Z") + "999Z"


def test_availability_and_structures_fit_the_data(stack: Stack) -> None:
    json_type = "application/vnd.sdmx.structure+json;version=2.0.0"
    available = json.loads(ask(stack, f"availability/{FLOW}?references=all", json_type))["data"]
    rows = list(csv.DictReader(io.StringIO(ask(stack, f"data/{FLOW}?attributes=none"))))
    regions = available["dataConstraints"][0]["cubeRegions"][0]["keyValues"]
    region = {one["id"]: {of["value"] for of in one.get("values", [])} for one in regions}
    lists = json.loads(ask(stack, "structure/codelist", json_type))["data"]["codelists"]
    known = {one["id"]: {code["id"] for code in one["codes"]} for one in lists}
    for dimension, codelist in {"INDICATOR": "CL_INDICATOR", "COUNTERPART_AREA": "CL_AREA", "METHOD": "CL_METHOD"}.items():
        assert region[dimension] == {row[dimension] for row in rows} <= known[codelist]


def test_a_query_that_is_none_is_refused_with_the_name_of_the_parameter(stack: Stack) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(stack, f"data/{FLOW}?c[AREA]=UZ")
    assert caught.value.code == 400
    assert "c[AREA]" in json.loads(caught.value.read())["detail"]
