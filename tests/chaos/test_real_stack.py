"""What a run of real faults makes of services that do not answer just now."""

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.chaos.real.stack import Stack


@pytest.mark.parametrize(("path", "found"), [("/", "here"), ("/slow", ""), ("/broken", ""), ("/torn", "")])
async def test_a_page_that_does_not_come_whole_and_in_time_is_not_there_yet(path: str, found: str) -> None:
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
        stack.entries = lambda: {"one": SimpleNamespace(url=str(server.make_url("")).rstrip("/"))}  # type: ignore[method-assign,assignment,return-value]
        assert await stack.page("one", path) == found


async def test_nobody_there_is_not_there_yet() -> None:
    stack = Stack.__new__(Stack)
    async with aiohttp.ClientSession() as session:
        stack.http = session
        stack.entries = lambda: {"one": SimpleNamespace(url="http://127.0.0.1:1")}  # type: ignore[method-assign,assignment,return-value]
        assert await stack.page("one", "/") == ""
        assert await stack.metrics("one") == {}
