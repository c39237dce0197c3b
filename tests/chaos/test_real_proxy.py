"""The proxy makes connections hang as a broken network does: bytes vanish, and nobody is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.real.proxy import Proxy
from tools.stack.embedded.ports import LOOPBACK


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[Proxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100):
            writer.write(piece)
        writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    proxy = Proxy(lambda: server.sockets[0].getsockname()[1])
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
        server.close()


async def test_what_is_sent_while_it_swallows_never_comes_and_the_connection_stays_open() -> None:
    async with echo_behind_proxy() as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.swallow()
        writer.write(b"lost")
        while proxy.swallowed_bytes < len(b"lost"):
            await asyncio.sleep(0.01)
        proxy.let_through()
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after", "and not what was swallowed"
        writer.close()


async def test_a_connection_that_lost_bytes_can_be_cut() -> None:
    async with echo_behind_proxy() as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.swallow()
        proxy.let_through()
        proxy.reset_struck()
        assert await reader.read() == b"", "it has ended"
        writer.close()


async def test_a_connection_that_was_made_while_bytes_vanished_can_be_cut_too() -> None:
    async with echo_behind_proxy() as proxy:
        proxy.swallow()
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        writer.write(b"lost")
        while proxy.swallowed_bytes < len(b"lost"):
            await asyncio.sleep(0.01)
        proxy.let_through()
        proxy.reset_struck()
        assert await asyncio.wait_for(reader.read(), 5) == b"", "it has ended"
        writer.close()


async def test_without_a_server_behind_it_a_connection_is_closed() -> None:
    proxy = Proxy(lambda: 1)
    await proxy.start()
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    assert await reader.read() == b"", "it has ended"
    writer.close()
    await proxy.stop()
