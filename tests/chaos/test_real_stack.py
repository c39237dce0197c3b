"""What a run of real faults makes of services that do not answer just now."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.chaos.real.stack import Stack
from tools.stack.local import Entry


@pytest.mark.parametrize(("path", "found"), [("/", "here"), ("/slow", ""), ("/broken", ""), ("/torn", "")])
async def test_a_page_that_does_not_come_whole_and_in_time_is_not_there_yet(
    path: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/slow":
            await asyncio.sleep(30)
        if request.path == "/torn":
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=500 if request.path == "/broken" else 200, text="here")

    app = web.Application()
    app.router.add_get("/{name:.*}", answer)
    stack = Stack.__new__(Stack)
    async with TestServer(app) as server, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.3)) as session:
        stack.http = session
        monkeypatch.setattr(stack, "entries", lambda: {"one": Entry("one", str(server.make_url("")).rstrip("/"))})
        assert await stack.page("one", path) == found


async def test_nobody_there_is_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack.__new__(Stack)
    async with aiohttp.ClientSession() as session:
        stack.http = session
        monkeypatch.setattr(stack, "entries", lambda: {"one": Entry("one", "http://127.0.0.1:1")})
        assert await stack.page("one", "/") == ""
        assert await stack.metrics("one") == {}
