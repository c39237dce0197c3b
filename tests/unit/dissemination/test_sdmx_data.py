"""Data queries of SDMX REST over HTTP: answers as independent readers see them, and what is said when there is none."""

import csv
import gzip
import io
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.dissemination import app as apps
from services.dissemination.app import Pages
from services.dissemination.sdmx import datasets
from services.dissemination.sdmx import web as sdmx
from services.dissemination.sdmx.query import Key
from services.shared.runtime.postgres.changes import Change
from services.shared.runtime.postgres.store import Published, Snapshot
from services.shared.runtime.process.errors import Unavailable
from services.shared.statistics.publication.sdmx_csv import COLUMNS, to_csv, to_json
from tests.unit.dissemination.sdmx_readers import read_json, read_xml

Client = TestClient[web.Request, web.Application]
DATA = "/sdmx/v2/data/dataflow/TOLQYN/KZ_MIG/1.0"
CSV = {"Accept": "application/vnd.sdmx.data+csv;version=2.0.0"}
JSON = {"Accept": "application/vnd.sdmx.data+json;version=2.0.0"}
XML = {"Accept": "application/vnd.sdmx.data+xml;version=3.0.0"}
LAYOUTS = ("TIME_PERIOD", "AllDimensions", "COUNTERPART_AREA", "INDICATOR", "FREQ")
PUBLISHED_AT = datetime(2025, 7, 1, 4, 12, 45, tzinfo=UTC)


class Archive:
    """Stands for the database: the newest snapshot, those before it, changes that a test puts in."""

    def __init__(self, newest: Snapshot) -> None:
        self.newest: Snapshot | None = newest
        self.past: list[Snapshot] = []
        self.log: list[Change] = []
        self.gone: list[Published] = []
        self.away = False

    async def read(self) -> Snapshot | None:
        if self.away:
            raise Unavailable("the database does not answer")
        return self.newest

    async def at(self, moment: datetime) -> Snapshot | None:
        return next((one for one in reversed(self.past) if one.published_at <= moment), None)

    async def changes(self, keys: Sequence[Key], after: datetime | None, publication: int, count: int) -> Sequence[Change]:
        return [one for one in self.log if one.publication <= publication and (after is None or one.published_at > after)][:count]

    async def taken_back(self, keys: Sequence[Key], after: datetime, publication: int) -> Sequence[Published]:
        return self.gone


@pytest.fixture
def archive(golden: Any) -> Archive:
    golden.put("PERMITS_IN_FORCE", None, area="UZ", category="seasonal", status="Q")
    return Archive(golden.snapshot())


@pytest.fixture
async def client(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr(apps, "SNAPSHOT_SECONDS", 0.0)

    async def history(series: str, period: str, publication: int) -> list[Any]:
        return []

    application = web.Application()
    pages = Pages(archive.read, history, lambda _: None)
    apps.add_routes(application, pages)
    sdmx.add_routes(application, sdmx.Service(pages.snapshot, archive))
    async with TestClient(TestServer(application)) as made:
        yield made


def expected(archive: Archive) -> list[dict[str, Any]]:
    assert archive.newest is not None
    return list(json.loads(to_json(archive.newest.observations.values())))


def in_order(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted(tuple(row[name] for name in COLUMNS) for row in rows)


async def test_all_data_as_csv_are_the_bytes_of_the_export(client: Client, archive: Archive) -> None:
    assert archive.newest is not None
    answer = await client.get(DATA, headers=CSV)
    assert answer.headers["Content-Type"] == "application/vnd.sdmx.data+csv;version=2.0.0"
    assert await answer.text() == to_csv(archive.newest.observations.values())


async def test_a_key_as_csv_is_the_export_with_the_other_rows_left_out(client: Client, archive: Archive) -> None:
    assert archive.newest is not None
    head, *lines = to_csv(archive.newest.observations.values()).splitlines()
    kept = [line for line in lines if line.split(",")[4] == "ARRIVALS_SHARE" and line.split(",")[5] in ("UZ", "CIS")]
    answer = await client.get(f"{DATA}/Q.ARRIVALS_SHARE.UZ,*.ARRIVALS_SHARE.CIS", headers=CSV)
    assert (await answer.text()).splitlines() == [head, *kept]
    assert len(kept) == 2


@pytest.mark.parametrize("at", LAYOUTS)
async def test_json_in_every_layout_has_the_rows_of_the_export(client: Client, archive: Archive, at: str) -> None:
    answer = await client.get(f"{DATA}?dimensionAtObservation={at}", headers=JSON)
    assert answer.headers["Content-Type"] == "application/vnd.sdmx.data+json;version=2.0.0"
    ((action, _, rows),) = read_json(await answer.text())
    assert action == "Information"
    assert in_order(rows) == in_order(expected(archive))


@pytest.mark.parametrize("at", LAYOUTS)
async def test_xml_in_every_layout_has_the_rows_of_the_export(client: Client, archive: Archive, at: str) -> None:
    answer = await client.get(f"{DATA}?dimensionAtObservation={at}", headers=XML)
    assert answer.headers["Content-Type"] == "application/vnd.sdmx.data+xml;version=3.0.0"
    ((action, _, rows),) = read_xml(await answer.read(), at)
    assert action == "Information"
    # XML knows texts only, and leaves out what is absent.
    texts = [{name: str(value) for name, value in row.items() if value is not None} for row in expected(archive)]
    assert sorted(rows, key=repr_of) == sorted(texts, key=repr_of)


def repr_of(row: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(row.items())


async def test_a_suppressed_value_is_empty_with_its_status_in_every_format(client: Client) -> None:
    key = f"{DATA}/Q.PERMITS_IN_FORCE.UZ.*.seasonal"
    ((_, _, rows),) = read_json(await (await client.get(key)).text())
    assert [(row["OBS_VALUE"], row["OBS_STATUS"]) for row in rows] == [(None, "Q")]
    (row,) = csv.DictReader(io.StringIO(await (await client.get(key, headers=CSV)).text()))
    assert (row["OBS_VALUE"], row["OBS_STATUS"]) == ("", "Q")
    ((_, _, rows),) = read_xml(await (await client.get(key, headers=XML)).read())
    assert [("OBS_VALUE" in row, row["OBS_STATUS"]) for row in rows] == [(False, "Q")]


async def test_components_that_are_not_asked_for_are_left_out(client: Client) -> None:
    address = f"{DATA}/Q.ARRIVALS?attributes=OBS_STATUS&measures=none"
    ((_, _, rows),) = read_json(await (await client.get(address)).text())
    assert {name for row in rows for name in row} == {*COLUMNS[:7], "OBS_STATUS"}
    head = (await (await client.get(address, headers=CSV)).text()).splitlines()[0]
    assert head.split(",")[3:] == [*COLUMNS[:7], "OBS_STATUS"]


async def test_names_are_in_the_language_that_is_asked_for(client: Client) -> None:
    answer = await client.get(f"{DATA}/Q.ARRIVALS_SHARE.UZ", headers={"Accept-Language": "kk"})
    assert answer.headers["Content-Language"] == "kk"
    dimensions = json.loads(await answer.text())["data"]["structures"][0]["dimensions"]["series"]
    assert [d["values"][0]["name"] for d in dimensions][:3] == ["Тоқсандық", "Келу санындағы үлесі", "Өзбекстан"]


async def test_csv_has_names_and_keys_where_they_are_asked_for(client: Client) -> None:
    accept = "application/vnd.sdmx.data+csv;version=2.0.0;labels={};keys=both"
    address = f"{DATA}/Q.ARRIVALS_SHARE.UZ?attributes=OBS_STATUS"
    both = (await (await client.get(address, headers={"Accept": accept.format("both")})).text()).splitlines()
    name = (await (await client.get(address, headers={"Accept": accept.format("name")})).text()).splitlines()
    assert both[0].startswith("STRUCTURE,STRUCTURE_ID,ACTION,SERIES_KEY,OBS_KEY,FREQ: Frequency,INDICATOR: Indicator,")
    assert both[1].startswith("dataflow,TOLQYN:KZ_MIG(1.0): Migration indicators of Kazakhstan,I,Q.ARRIVALS_SHARE.UZ._T._T._Z,")
    assert both[1].endswith(",UZ: Uzbekistan,_T: Total,_T: Total,_Z: Not applicable,2025-Q2,36,P: provisional")
    assert name[0].startswith("STRUCTURE,STRUCTURE_ID,STRUCTURE_NAME,ACTION,SERIES_KEY,OBS_KEY,FREQ,Frequency,")
    assert name[1].endswith(",_Z,Not applicable,2025-Q2,,36,,P,provisional")
    assert len(name[0].split(",")) == len(name[1].split(","))


async def test_an_unchanged_answer_is_304_and_a_new_publication_is_not(client: Client, archive: Archive, golden: Any) -> None:
    first = await client.get(DATA)
    tag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    assert first.headers["Vary"] == "Accept, Accept-Encoding, Accept-Language"
    assert (await client.get(DATA, headers={"If-None-Match": tag})).status == 304
    assert (await client.get(DATA, headers={"If-Modified-Since": modified})).status == 304
    assert (await client.get(DATA, headers={"If-None-Match": tag} | CSV)).status == 200, "another format, another answer"
    assert (await client.get(f"{DATA}/A", headers={"If-None-Match": tag})).status == 200, "another query, another answer"
    archive.newest = golden.snapshot()._replace(publication=42, published_at=PUBLISHED_AT + timedelta(seconds=2))
    assert (await client.get(DATA, headers={"If-None-Match": tag})).status == 200
    assert (await client.get(DATA, headers={"If-Modified-Since": modified})).status == 200


async def test_a_second_that_is_not_over_is_no_last_modification(client: Client, archive: Archive, golden: Any) -> None:
    archive.newest = golden.snapshot()._replace(published_at=datetime.now(UTC))
    assert "Last-Modified" not in (await client.get(DATA)).headers, "another publication may fall into the same second"


async def test_an_answer_is_packed_for_those_who_can_unpack_it(client: Client) -> None:
    plain = await (await client.get(DATA, headers={"Accept-Encoding": "identity"})).read()
    for coding, packed in (("gzip", True), ("br;q=1, gzip;q=0.5", True), ("gzip;q=0", False), ("deflate", False)):
        answer = await client.session.get(client.make_url(DATA), headers={"Accept-Encoding": coding}, auto_decompress=False)
        body = await answer.read()
        assert (answer.headers.get("Content-Encoding") == "gzip") is packed
        assert (gzip.decompress(body) if packed else body) == plain


async def test_every_answer_has_the_headers_of_the_rest_and_may_be_read_from_any_page(client: Client) -> None:
    for address in (DATA, DATA + "?x=1"):
        headers = (await client.get(address)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        (f"{DATA}/Q.ARRIVALS?c[AREA]=UZ", 400, "c[AREA]:"),
        (f"{DATA}/Q.NOTHING", 404, "no data"),
        ("/sdmx/v2/data/dataflow/ECB/EXR", 404, "TOLQYN/KZ_MIG/1.0"),
        ("/sdmx/v2/metadata/metadataset", 501, "metadata"),
        ("/sdmx/v2/nothing", 404, "data, structure, availability"),
        ("/sdmx/v2/", 404, "data, structure, availability"),
        (f"{DATA}/{'Q,' * 4000}Q", 414, "8000 characters"),
        (f"{DATA}?asOf=2020-01-01T00:00:00Z", 404, "nothing was published at that moment"),
    ],
)
async def test_what_cannot_be_answered_is_a_problem_that_says_why(client: Client, address: str, status: int, said: str) -> None:
    answer = await client.get(address, headers=CSV)
    problem = json.loads(await answer.text())
    assert answer.status == problem["status"] == status
    assert answer.content_type == "application/problem+json"
    assert said in problem["detail"]
    assert answer.headers["Cache-Control"] == "no-store"


async def test_other_formats_methods_and_a_database_that_is_away_are_problems_too(client: Client, archive: Archive) -> None:
    assert (await client.get(DATA, headers={"Accept": "image/png"})).status == 406
    posted = await client.post(DATA, data="x")
    assert (posted.status, posted.headers["Allow"]) == (405, "GET, HEAD")
    assert (await client.head(DATA)).status == 200
    archive.away = True
    answer = await client.get(DATA)
    assert (answer.status, answer.content_type) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0


async def test_an_answer_that_would_be_too_large_names_what_narrows_it(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "OBSERVATIONS_MAX", 3)
    answer = await client.get(DATA)
    assert answer.status == 413
    assert "c[TIME_PERIOD]" in json.loads(await answer.text())["detail"]
    assert (await client.get(f"{DATA}?limit=3")).status == 200


async def test_before_the_first_publication_there_are_no_data(client: Client, archive: Archive) -> None:
    archive.newest = None
    answer = await client.get(DATA)
    assert answer.status == 404
    assert "nothing was published yet" in json.loads(await answer.text())["detail"]


async def test_data_as_they_were_at_a_moment_are_those_of_the_publication_of_then(client: Client, archive: Archive) -> None:
    assert archive.newest is not None
    before = {key: row._replace(value=1.0, as_of=40) for key, row in archive.newest.observations.items() if key[1] == "2025-Q1"}
    archive.past = [archive.newest._replace(publication=40, published_at=PUBLISHED_AT - timedelta(hours=1), observations=before)]
    then = await client.get(f"{DATA}?asOf=2025-07-01T04:00:00Z", headers=CSV)
    assert await then.text() == to_csv(before.values())
    now = await client.get(f"{DATA}?asOf=2025-07-01T09:12:45%2B05:00", headers=CSV)
    assert await now.text() == to_csv(archive.newest.observations.values())


def changed(archive: Archive) -> tuple[Published, Published, Published]:
    """Two vintages of one figure, one hour apart, and another that the later publication took back."""
    assert archive.newest is not None
    new = archive.newest.observations["Q.ARRIVALS._T._T._T._Z", "2025-Q2"]
    earlier = PUBLISHED_AT - timedelta(hours=1)
    old = new._replace(value=43000, as_of=40, published_at=earlier)
    gone = old._replace(period="2025-Q3", value=7)
    archive.newest.observations.update(
        {key: row._replace(as_of=40, published_at=earlier) for key, row in archive.newest.observations.items() if row is not new}
    )
    archive.gone = [gone]
    archive.log = [
        Change(40, earlier, old, gone=False),
        Change(40, earlier, gone, gone=False),
        Change(41, PUBLISHED_AT, new, gone=False),
        Change(41, PUBLISHED_AT, gone, gone=True),
    ]
    return old, new, gone


async def test_what_changed_since_a_moment_is_to_be_replaced_and_what_was_taken_back_to_be_deleted(
    client: Client, archive: Archive
) -> None:
    _, new, gone = changed(archive)
    address = f"{DATA}?updatedAfter=2025-07-01T04:00:00Z"
    replaced, deleted = read_json(await (await client.get(address)).text())
    assert (replaced[0], deleted[0]) == ("Replace", "Delete")
    assert [(row["TIME_PERIOD"], row["OBS_VALUE"]) for row in replaced[2]] == [(new.period, new.value)]
    assert [(row["TIME_PERIOD"], "OBS_VALUE" in row) for row in deleted[2]] == [(gone.period, False)]
    rows = list(csv.DictReader(io.StringIO(await (await client.get(address, headers=CSV)).text())))
    assert [(row["ACTION"], row["TIME_PERIOD"], row["OBS_VALUE"], row["UNIT_MEASURE"]) for row in rows] == [
        ("R", "2025-Q2", "43700", "crossings"),
        ("D", "2025-Q3", "", ""),
    ]
    assert (await client.get(f"{DATA}?updatedAfter=2025-07-01T05:00:00Z&c[TIME_PERIOD]=2025-Q2")).status == 404


async def test_a_history_has_a_data_set_for_each_publication_that_changed_something(client: Client, archive: Archive) -> None:
    old, new, _ = changed(archive)
    address = f"{DATA}/Q.ARRIVALS._T?includeHistory=true"
    sets = read_json(await (await client.get(address)).text())
    assert [(action, validity) for action, validity, _ in sets] == [
        ("Replace", {"validFrom": "2025-07-01T03:12:45.000Z"}),
        ("Replace", {"validFrom": "2025-07-01T04:12:45.000Z"}),
        ("Delete", {"validTo": "2025-07-01T04:12:45.000Z"}),
    ]
    assert [[row.get("OBS_VALUE") for row in rows] for _, _, rows in sets] == [[old.value, 7], [new.value], [None]]
    in_xml = read_xml(await (await client.get(address, headers=XML)).read())
    assert [(action, validity, len(rows)) for action, validity, rows in in_xml] == [(a, v, len(rows)) for a, v, rows in sets]
    lines = (await (await client.get(address, headers=CSV)).text()).splitlines()
    assert lines[0].endswith(",PUBLISHED_AT,VALID_FROM,VALID_TO")
    assert lines[-1].startswith("dataflow,TOLQYN:KZ_MIG(1.0),D,Q,ARRIVALS,_T,_T,_T,_Z,2025-Q3,,")
    assert lines[-1].endswith(",,2025-07-01T04:12:45.000Z")


async def test_a_history_that_would_be_too_long_names_what_narrows_it(
    client: Client, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(archive)
    monkeypatch.setattr(datasets, "CHANGES_MAX", 3)
    answer = await client.get(f"{DATA}?includeHistory=true")
    assert answer.status == 413
    assert "updatedAfter" in json.loads(await answer.text())["detail"]
