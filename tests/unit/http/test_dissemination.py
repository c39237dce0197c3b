"""What dissemination answers: pages where a browser is lost, a problem where there is no HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from services.dissemination.app import Pages, add_routes
from services.dissemination.sdmx import web as sdmx
from services.dissemination.sdmx.archive import StoreArchive
from services.shared.runtime.http.server import Runner
from services.shared.runtime.process.settings import Settings
from tests.unit.http.serving import HEADER_MARK, PATH_MARK, QUERY_MARK, Answer, answers, check_problem, check_silence
from tools.stack.embedded.ports import LOOPBACK


async def _none(*_: object) -> None:
    return None


@pytest.fixture
async def port() -> AsyncIterator[int]:
    application = web.Application()
    pages = Pages(_none, _none, lambda _: None)  # type: ignore[arg-type]
    add_routes(application, pages)
    sdmx.add_routes(application, sdmx.Service(pages.snapshot, StoreArchive(Settings())))
    runner = Runner(application)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    found: int = runner.addresses[0][1]
    yield found
    await runner.cleanup()


async def said(port: int, request: str) -> Answer:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(request.encode())
    writer.write_eof()
    raw = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    check_silence(raw.decode().replace(f"/{PATH_MARK}?", ""))  # a page links to itself in the other languages
    (answer,) = answers(raw)
    return answer


@pytest.mark.parametrize(("request_line", "status"), [(f"GET /{PATH_MARK} HTTP/1.1", 404), ("PUT / HTTP/1.1", 405)])
async def test_a_browser_that_is_lost_gets_a_page(port: int, request_line: str, status: int) -> None:
    answer = await said(port, f"{request_line}\r\nHost: x\r\nAccept: text/html\r\nX-Note: {HEADER_MARK}\r\n\r\n")
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (f"GET /methods HTTP/1.1\nHost: x\nX-Note: {HEADER_MARK}\n\n", 400),
        (f"GET /methods HTTP/1.1\r\nHost: x\r\nX-Note : {HEADER_MARK}\r\nAccept: text/html\r\n\r\n", 400),
        (f"GET /sdmx/v2/data/{QUERY_MARK * 2_000} HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (f"GET /methods HTTP/1.1\r\nHost: x\r\nExpect: {HEADER_MARK}\r\n\r\n", 417),
        (f"GET /sdmx/v2/{PATH_MARK} HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("DELETE /sdmx/v2/data/x HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ],
)
async def test_what_is_not_http_and_what_sdmx_refuses_is_a_problem(port: int, request_text: str, status: int) -> None:
    answer = await said(port, request_text)
    assert (answer.status, check_problem(answer)["status"]) == (status, status)
    assert json.loads(answer.body)["type"] == "about:blank"
