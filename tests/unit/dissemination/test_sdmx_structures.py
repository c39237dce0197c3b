"""Structures and availability of SDMX REST: what there is, what it is called, and what refers to what."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from schemas.feeds.codes import COUNTRIES
from schemas.sdmx.structures import DIMENSIONS, LANGUAGES, components, structures
from services.dissemination.sdmx import web as sdmx
from services.dissemination.sdmx.availability import find, parse_availability_query
from services.dissemination.wording import wording
from services.shared.runtime.postgres.store import Published, Snapshot
from services.shared.statistics.publication.sdmx_csv import COLUMNS
from tests.unit.dissemination.sdmx_readers import check_json_structure, check_xml_structure

Client = TestClient[web.Request, web.Application]
ROOT = Path(__file__).parents[3]
STRUCTURE = "/sdmx/v2/structure"
AVAILABLE = "/sdmx/v2/availability/dataflow/TOLQYN/KZ_MIG/1.0"
XML = {"Accept": "application/vnd.sdmx.structure+xml;version=3.0.0"}
COLLECTIONS = {
    "dataflows": "Dataflow",
    "dataStructures": "DataStructure",
    "conceptSchemes": "ConceptScheme",
    "codelists": "Codelist",
}


class NoArchive:
    """For queries that need nothing from before."""

    async def at(self, moment: datetime) -> Snapshot | None:
        raise AssertionError

    async def changes(self, *_: Any) -> list[Any]:
        raise AssertionError

    async def taken_back(self, *_: Any) -> list[Any]:
        raise AssertionError


@pytest.fixture
async def client(golden: Any) -> AsyncIterator[Client]:
    async def newest() -> Snapshot | None:
        found: Snapshot = golden.snapshot()
        return found

    application = web.Application()
    sdmx.add_routes(application, sdmx.Service(newest, NoArchive()))
    async with TestClient(TestServer(application)) as made:
        yield made


async def ids(client: Client, address: str) -> set[str]:
    """Ids of what an address gives, which is the same in both formats, each valid by the official schema."""
    answer = await client.get(address)
    assert answer.status == 200
    data = check_json_structure(await answer.text())["data"]
    root = check_xml_structure(await (await client.get(address, headers=XML)).read())
    found = {one["id"] for collection in data.values() for one in collection}
    for collection, element in COLLECTIONS.items():
        in_json = [one["id"] for one in data.get(collection, [])]
        in_xml = [one.get("id") for one in root.iterfind(f".//{{*}}{collection[0].upper()}{collection[1:]}/{{*}}{element}")]
        assert in_xml == in_json
    return found


LISTS = {
    "CL_FREQ", "CL_INDICATOR", "CL_AREA", "CL_PURPOSE", "CL_CATEGORY", "CL_METHOD", "CL_OBS_STATUS", "CL_CONF_STATUS",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("dataflow/TOLQYN/KZ_MIG/1.0", {"KZ_MIG"}),
        ("dataflow/TOLQYN/KZ_MIG/1.0?references=none&detail=full", {"KZ_MIG"}),
        ("datastructure/TOLQYN/KZ_MIG/+?references=children", {"KZ_MIG", "CS_KZ_MIG"} | LISTS),
        ("dataflow?references=descendants", {"KZ_MIG", "CS_KZ_MIG"} | LISTS),
        ("dataflow?references=all&detail=referencepartial", {"KZ_MIG", "CS_KZ_MIG"} | LISTS),
        ("dataflow?references=codelist", {"KZ_MIG"} | LISTS),
        ("codelist/*/CL_FREQ,CL_AREA", {"CL_FREQ", "CL_AREA"}),
        ("codelist/TOLQYN/CL_FREQ?references=parents", {"CL_FREQ", "KZ_MIG"}),
        ("codelist/TOLQYN/CL_FREQ?references=parentsandsiblings", {"KZ_MIG", "CS_KZ_MIG"} | LISTS),
        ("conceptscheme?references=ancestors&detail=referencestubs", {"CS_KZ_MIG", "KZ_MIG"}),
        ("*/TOLQYN?detail=allstubs", {"KZ_MIG", "CS_KZ_MIG"} | LISTS),
        ("", {"KZ_MIG", "CS_KZ_MIG"} | LISTS),
    ],
)
async def test_structures_are_found_with_what_they_refer_to(client: Client, path: str, expected: set[str]) -> None:
    assert await ids(client, f"{STRUCTURE}/{path}") == expected


async def test_stubs_have_a_name_and_nothing_within(client: Client) -> None:
    address = f"{STRUCTURE}/codelist/TOLQYN/CL_FREQ"
    whole = json.loads(await (await client.get(f"{address}?references=parents&detail=referencestubs")).text())
    assert [code["id"] for code in whole["data"]["codelists"][0]["codes"]] == ["Q", "A", "D"]
    assert "dataStructureComponents" not in whole["data"]["dataStructures"][0]
    stub = json.loads(await (await client.get(f"{address}?detail=allstubs")).text())
    assert stub["data"]["codelists"][0]["names"]["ru"] == "Периодичность"
    assert "codes" not in stub["data"]["codelists"][0]


async def test_one_item_is_a_part_of_its_list_and_says_so(client: Client) -> None:
    address = f"{STRUCTURE}/codelist/TOLQYN/CL_AREA/1.0/UZ,KG"
    (codelist,) = check_json_structure(await (await client.get(address)).text())["data"]["codelists"]
    assert (codelist["isPartial"], [code["id"] for code in codelist["codes"]]) == (True, ["KG", "UZ"])
    assert codelist["codes"][1]["names"] == {"en": "Uzbekistan", "ru": "Узбекистан", "kk": "Өзбекстан"}
    root = check_xml_structure(await (await client.get(address, headers=XML)).read())
    assert [one.get("isPartial") for one in root.iterfind(".//{*}Codelist")] == ["true"]


async def test_the_data_structure_has_the_columns_of_the_csv_in_their_order(client: Client) -> None:
    (made,) = json.loads(await (await client.get(f"{STRUCTURE}/datastructure")).text())["data"]["dataStructures"]
    parts = made["dataStructureComponents"]
    listed = [*parts["dimensionList"]["dimensions"], parts["dimensionList"]["timeDimension"]]
    listed += parts["measureList"]["measures"] + parts["attributeList"]["attributes"]
    assert tuple(one["id"] for one in listed) == COLUMNS


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("structure/table", 400, "artefactType:"),
        ("structure/dataflow/TOLQYN/KZ_MIG/1.0/X", 400, "itemID:"),
        ("structure/codelist?detail=short", 400, "detail:"),
        ("structure/codelist?references=cousins", 400, "references:"),
        ("structure/codelist?lang=en", 400, "lang:"),
        ("structure/categoryscheme", 404, "no such structure"),
        ("structure/dataflow/ECB", 404, "no such structure"),
        ("structure/codelist/TOLQYN/CL_FREQ/2.0", 404, "no such structure"),
        ("structure/codelist/TOLQYN/CL_FREQ/1.0/M", 404, "no such structure"),
        ("availability/dataflow/TOLQYN/KZ_MIG/1.0/*/OBS_VALUE", 400, "componentId:"),
        ("availability/dataflow?mode=all", 400, "mode:"),
        ("availability/dataflow?references=parents", 400, "references:"),
        ("availability/dataflow/ECB", 404, "TOLQYN/KZ_MIG/1.0"),
        ("availability/dataflow/TOLQYN/KZ_MIG/1.0/M", 404, "no data"),
    ],
)
async def test_what_cannot_be_answered_is_a_problem_that_says_why(client: Client, path: str, status: int, said: str) -> None:
    answer = await client.get(f"/sdmx/v2/{path}", headers=XML)
    problem = json.loads(await answer.text())
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    assert said in problem["detail"]


async def test_an_unchanged_structure_is_304(client: Client) -> None:
    tag = (await client.get(f"{STRUCTURE}/codelist")).headers["ETag"]
    assert (await client.get(f"{STRUCTURE}/codelist", headers={"If-None-Match": tag})).status == 304
    assert (await client.get(f"{STRUCTURE}/codelist", headers={"If-None-Match": tag} | XML)).status == 200


# What the structures say


def test_every_code_that_the_catalogue_speaks_of_is_in_its_list() -> None:
    rows = list(csv.DictReader(io.StringIO((ROOT / "schemas" / "indicators.csv").read_text("utf-8"))))
    lists = {name: {code.id for code in one.codes} for name, one in structures().codelists.items()}
    assert {row["indicator"] for row in rows} == lists["CL_INDICATOR"]
    assert {freq for row in rows for freq in row["freq"].split()} == lists["CL_FREQ"]
    assert {method for row in rows for method in row["method"].split()} <= lists["CL_METHOD"]
    groups = {word for row in rows for word in row["counterpart_area"].split() if word.isupper() or word == "_T"}
    assert groups | set(COUNTRIES) == lists["CL_AREA"]


def test_every_artefact_item_and_component_has_a_name_in_three_languages() -> None:
    known = structures()
    items = [code for one in known.codelists.values() for code in one.codes] + list(known.concepts.concepts)
    for names in (*(one.names for one in known.all), *(item.names for item in items)):
        assert set(names) == set(LANGUAGES)
        assert all(names.values())
    assert {one.id for one in components(known.structure)} == {one.id for one in known.concepts.concepts}
    assert [code for code in COUNTRIES if known.codelists["CL_AREA"].name_of(code)["en"] == code] == []


def test_a_code_is_called_as_the_bulletin_calls_it() -> None:
    texts = {"CL_AREA": "areas", "CL_PURPOSE": "purposes", "CL_CATEGORY": "categories", "CL_OBS_STATUS": "statuses"}
    compared = 0
    for identity, section in texts.items():
        for code, language in product(structures().codelists[identity].codes, LANGUAGES):
            if wording(language).has(f"{section}.{code.id}"):
                assert code.names[language] == wording(language)(f"{section}.{code.id}")
                compared += 1
    assert compared > 60


# Availability


async def test_availability_names_the_codes_that_the_data_query_finds(client: Client) -> None:
    address = f"{AVAILABLE}/Q.ARRIVALS_SHARE"
    (made,) = check_json_structure(await (await client.get(address)).text())["data"]["dataConstraints"]
    values = {one["id"]: [of["value"] for of in one.get("values", [])] for one in made["cubeRegions"][0]["keyValues"]}
    assert values["COUNTERPART_AREA"] == ["CIS", "FAR_ABROAD", "KG", "RU", "UZ", "XX"]
    assert values["INDICATOR"] == ["ARRIVALS_SHARE"]
    assert {one["id"]: one["title"] for one in made["annotations"]} == {"series_count": "6", "obs_count": "6"}
    assert made["cubeRegions"][0]["keyValues"][-1]["timeRange"]["endPeriod"]["period"] == "2025-06-30"
    root = check_xml_structure(await (await client.get(address, headers=XML)).read())
    in_xml = {one.get("id"): [value.text for value in one.iterfind("{*}Value")] for one in root.iterfind(".//{*}KeyValue")}
    assert in_xml.pop("TIME_PERIOD") == []
    assert in_xml == {name: of for name, of in values.items() if name != "TIME_PERIOD"}


async def test_availability_brings_the_parts_of_lists_that_it_uses(client: Client) -> None:
    address = f"{AVAILABLE}/Q.ARRIVALS_SHARE/COUNTERPART_AREA?references=codelist,dataflow"
    data = check_json_structure(await (await client.get(address)).text())["data"]
    assert [one["id"] for one in data["codelists"]] == ["CL_AREA"]
    assert {code["id"] for code in data["codelists"][0]["codes"]} == {"CIS", "FAR_ABROAD", "KG", "RU", "UZ", "XX"}
    assert [one["id"] for one in data["dataflows"]] == ["KZ_MIG"]
    assert await ids(client, f"{AVAILABLE}?references=all") >= {"KZ_MIG", "CS_KZ_MIG", "CL_FREQ", "AVAILABILITY"}


AT = datetime(2025, 7, 1)
series = st.tuples(*[st.sampled_from(pair) for pair in (("Q", "A"), ("X", "Y"), ("UZ", "KG"), ("_T",), ("_T",), ("_Z",))])


@given(
    rows=st.sets(st.tuples(series, st.sampled_from(["2025-Q1", "2025-Q2"])), min_size=1),
    key=st.tuples(*[st.sampled_from(pair) for pair in (("*", "Q"), ("*", "X"), ("*", "UZ"))]),
    mode=st.sampled_from(["exact", "available"]),
)
def test_availability_is_what_may_be_chosen_without_finding_nothing(rows: set[Any], key: tuple[str, ...], mode: str) -> None:
    published = [Published(".".join(codes), period, 1, None, None, "persons", 0, "P", "F", 1, AT) for codes, period in rows]
    found = find(parse_availability_query(f"dataflow/*/*/*/{'.'.join(key)}", f"mode={mode}"), published, structures())

    def fits(codes: tuple[str, ...], without: int | None = None) -> bool:
        return all(asked in ("*", codes[i]) for i, asked in enumerate(key) if i != without)

    selected = [(codes, period) for codes, period in rows if fits(codes)]
    assert (found is None) is (not selected)
    if found is None:
        return
    for i, dimension in enumerate(DIMENSIONS):
        among = {codes[i] for codes, _ in rows if fits(codes, i if mode == "available" else None)}
        assert set(found.codes[dimension.id]) == among
    assert (found.series, found.observations) == (len({codes for codes, _ in selected}), len(selected))
