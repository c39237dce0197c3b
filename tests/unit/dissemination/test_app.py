"""The web side: what is answered, with which headers, and what happens when there is nothing to show."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.dissemination import app as apps
from services.dissemination.app import Pages, add_routes
from services.shared.runtime.postgres.store import Published, Snapshot
from services.shared.runtime.postgres.vintages import Vintage
from services.shared.runtime.process.errors import Unavailable
from tests.unit.statistics.test_quality import FIRST_DAY, report, reporting

Client = TestClient[web.Request, web.Application]


def vintage_of(o: Published) -> Vintage:
    """The only vintage of a figure that never changed."""
    return Vintage(o.as_of, o.published_at, o.value, o.lower, o.upper, o.decimals, o.status)


class Database:
    """Stands for the database: has a snapshot, has none yet, or is away."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.snapshot = snapshot
        self.away = False
        self.reads = 0
        self.states: list[str] = []

    async def read(self) -> Snapshot | None:
        self.reads += 1
        if self.away:
            raise Unavailable("the database does not answer")
        return self.snapshot

    async def vintages(self, series: str, period: str, publication: int) -> list[Vintage]:
        if self.away:
            raise Unavailable("the database does not answer")
        assert self.snapshot is not None
        assert publication == self.snapshot.publication
        published = self.snapshot.observations.get((series, period))
        return [] if published is None else [vintage_of(published)]


@pytest.fixture
def database(golden: Any) -> Database:
    return Database(golden.snapshot())


@pytest.fixture
async def client(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr(apps, "SNAPSHOT_SECONDS", 0.0)
    application = web.Application()
    add_routes(application, Pages(database.read, database.vintages, database.states.append))
    async with TestClient(TestServer(application)) as made:
        yield made


async def test_the_first_page_is_the_newest_quarter_that_has_arrivals_in_russian(client: Client) -> None:
    answer = await client.get("/", headers={"Accept-Language": "en"})
    text = await answer.text()
    assert answer.status == 200
    assert answer.content_type == "text/html"
    assert '<html lang="ru">' in text
    assert "II квартал 2025 года" in text
    assert "43\u00a0700" in text


@pytest.mark.parametrize(
    ("language", "words"), [("ru", "Пересечения границы"), ("kk", "Шекараны кесіп өту"), ("en", "Border crossings")]
)
async def test_the_language_is_chosen_by_address(client: Client, language: str, words: str) -> None:
    answer = await client.get(f"/bulletin/2025-Q2?lang={language}")
    text = await answer.text()
    assert answer.headers["Content-Language"] == language
    assert f'<html lang="{language}">' in text
    assert words in text
    assert 'href="/bulletin/2025-Q2?lang=kk"' in text


async def test_head_answers_like_get_without_a_body(client: Client) -> None:
    answer = await client.head("/bulletin/2025-Q2")
    assert answer.status == 200
    assert answer.headers["ETag"] == (await client.get("/bulletin/2025-Q2")).headers["ETag"]
    assert await answer.read() == b""


async def test_an_unchanged_page_is_answered_with_304_and_a_new_publication_with_the_page(
    client: Client, database: Database, golden: Any
) -> None:
    tag = (await client.get("/?lang=en")).headers["ETag"]
    assert (await client.get("/?lang=en", headers={"If-None-Match": tag})).status == 304
    assert (await client.get("/?lang=kk", headers={"If-None-Match": tag})).status == 200, "another language, another page"
    golden.put("ARRIVALS", 51234)
    database.snapshot = golden.snapshot()._replace(publication=42)
    answer = await client.get("/?lang=en", headers={"If-None-Match": tag})
    assert answer.status == 200
    assert "51,234" in await answer.text()


async def test_a_page_forbids_scripts_frames_and_anything_from_elsewhere(client: Client) -> None:
    answer = await client.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    text = await answer.text()
    assert "<script" not in text
    assert " style=" not in text
    assert "http://" not in text
    assert "https://" not in text


@pytest.mark.parametrize("path", ["/bulletin/2025-Q7", "/bulletin/latest", "/nothing", "/static/../app.py", "/bulletin/2031-Q1"])
async def test_what_is_not_there_is_a_page_that_says_so(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert answer.status == 404
    assert "<h1>" in await answer.text()
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Content-Security-Policy" in answer.headers


async def test_a_bulletin_leads_to_its_quality_report_where_there_is_one(client: Client, database: Database, golden: Any) -> None:
    assert "/quality/" not in await (await client.get("/bulletin/2025-Q2?lang=en")).text()
    absent = await client.get("/quality/2025-Q2?lang=en")
    assert absent.status == 404
    assert "No quality report: second quarter of 2025" in await absent.text()
    database.snapshot = golden.snapshot()._replace(publication=42, qualities={"2025-Q2": report(reporting([(FIRST_DAY, 0)]))})
    assert 'href="/quality/2025-Q2?lang=en"' in await (await client.get("/bulletin/2025-Q2?lang=en")).text()
    answer = await client.get("/quality/2025-Q2?lang=en")
    assert (answer.status, answer.headers["Content-Language"]) == (200, "en")
    text = await answer.text()
    assert "Quality of the figures: second quarter of 2025" in text
    assert " style=" not in text
    again = await client.get("/quality/2025-Q2?lang=en", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    assert (await client.get("/quality/2025")).status == 404


async def test_a_quarter_without_data_names_the_quarters_that_have_some(client: Client) -> None:
    text = await (await client.get("/bulletin/2031-Q1?lang=en")).text()
    assert "No data: first quarter of 2031" in text
    assert 'href="/bulletin/2025-Q2?lang=en"' in text


async def test_programs_get_errors_as_problem_json(client: Client) -> None:
    answer = await client.get("/bulletin/2025-Q7", headers={"Accept": "application/json"})
    assert answer.content_type == "application/problem+json"
    assert json.loads(await answer.text())["status"] == 404


async def test_another_method_is_refused_and_the_allowed_ones_are_named(client: Client) -> None:
    answer = await client.post("/bulletin/2025-Q2", data="x")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


async def test_an_unknown_language_is_refused(client: Client) -> None:
    assert (await client.get("/bulletin/2025-Q2?lang=xx")).status == 400


async def test_before_the_first_publication_the_page_says_how_to_begin(client: Client, database: Database) -> None:
    database.snapshot = None
    answer = await client.get("/?lang=en")
    assert answer.status == 200
    assert "tolqyn send" in await answer.text()
    assert (await client.get("/bulletin/2025-Q2")).status == 404


async def test_a_database_that_goes_away_is_a_503_and_comes_back_by_itself(client: Client, database: Database) -> None:
    assert (await client.get("/")).status == 200
    database.away = True
    answer = await client.get("/")
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "временно недоступен" in await answer.text()
    assert database.states[-1] == "the database does not answer"
    database.away = False
    assert (await client.get("/")).status == 200
    assert database.states[-1] == ""


async def test_a_burst_of_requests_looks_at_the_database_once(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "SNAPSHOT_SECONDS", 60.0)
    await client.get("/")
    reads = database.reads
    for _ in range(5):
        await client.get("/")
    assert database.reads == reads


async def test_the_style_sheet_is_kept_for_ever_under_the_address_of_its_edition(client: Client) -> None:
    text = await (await client.get("/")).text()
    address = text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer = await client.get(address)
    assert answer.content_type == "text/css"
    assert "immutable" in answer.headers["Cache-Control"]
    assert "url(" not in await answer.text()


async def test_figures_are_escaped_wherever_they_come_from(client: Client, database: Database, golden: Any) -> None:
    golden.refer("MIGRANT_WORKERS_STOCK", 1, "2024", "persons", "<script>alert(1)</script>", published_on="2025-12-31")
    golden.estimates["RESIDUAL|2025-Q2|INFORMAL_WORKERS"] = {"absent": True, "reason": "<b>bold</b>"}
    database.snapshot = golden.snapshot()
    text = await (await client.get("/bulletin/2025-Q2?lang=en")).text()
    assert "&lt;script&gt;" in text
    assert "<script>" not in text
    assert "<b>bold" not in text


FIGURE = "/figure/Q.ARRIVALS._T._T._T._Z:2025-Q2"


@pytest.mark.parametrize(
    ("language", "name"),
    [("ru", "Въезды иностранных граждан"), ("kk", "Шетел азаматтарының келуі"), ("en", "Arrivals of foreign citizens")],
)
async def test_a_figure_has_a_page_of_its_own_with_the_headers_of_the_bulletin(client: Client, language: str, name: str) -> None:
    answer = await client.get(f"{FIGURE}?lang={language}")
    text = await answer.text()
    assert answer.status == 200
    assert answer.headers["Content-Language"] == language
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert f"<h1>{name}</h1>" in text
    assert f'href="{FIGURE}?lang=kk"' in text
    again = await client.get(f"{FIGURE}?lang={language}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304


async def test_the_page_of_a_figure_is_another_one_at_the_next_publication(client: Client, database: Database, golden: Any) -> None:
    tag = (await client.get(FIGURE)).headers["ETag"]
    golden.put("ARRIVALS", 51234)
    database.snapshot = golden.snapshot()._replace(publication=42)
    answer = await client.get(FIGURE, headers={"If-None-Match": tag})
    assert answer.status == 200
    assert "51\u00a0234" in await answer.text()


@pytest.mark.parametrize(
    "key",
    [
        "Q.ARRIVALS._T._T._T._Z:2031-Q1",  # never published
        "Q.ARRIVALS._T._T._T._Z",
        "Q.ARRIVALS._T._T._T._Z:2025-Q5",
        "Q.NOTHING._T._T._T._Z:2025-Q2",
        "Q.ARRIVALS._T._T._T.SURVEYED:2025-Q2",
        "Q.ARRIVALS._T._T._T:2025-Q2",
        "<script>:2025-Q2",
    ],
)
async def test_a_figure_that_was_never_published_is_a_page_that_says_so(client: Client, key: str) -> None:
    answer = await client.get(f"/figure/{key}?lang=en")
    assert answer.status == 404
    assert "<script" not in await answer.text()
    everything = await client.get(f"/figure/{key}", headers={"If-None-Match": "*"})
    assert everything.status == 404


async def test_a_figure_in_an_unknown_language_is_refused(client: Client) -> None:
    assert (await client.get(f"{FIGURE}?lang=xx")).status == 400


async def test_while_the_database_is_away_a_figure_is_unavailable(client: Client, database: Database) -> None:
    database.away = True
    answer = await client.get(FIGURE)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0


async def test_every_method_page_is_served_and_no_other_file(client: Client) -> None:
    text = await (await client.get("/methods?lang=kk")).text()
    pages = re.findall(r'href="(/methods/[a-z-]+)\?lang=kk"', text)
    assert len(pages) == len(list((Path(__file__).parents[3] / "docs" / "methods").glob("*.md")))
    for address in pages:
        answer = await client.get(f"{address}?lang=en")
        body = await answer.text()
        assert answer.status == 200
        assert body.count("<h1>") == 1
        assert " style=" not in body
        assert (await client.get(f"{address}?lang=en", headers={"If-None-Match": answer.headers["ETag"]})).status == 304
    for address in ("/methods/../operating", "/methods/%2e%2e%2foperating", "/methods/chao.md"):
        assert (await client.get(address)).status == 404
