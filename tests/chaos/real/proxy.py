"""A TCP proxy on loopback whose connections can be made to hang: what is sent vanishes, and nobody closes anything."""

import asyncio
import contextlib
from collections.abc import Callable

from tools.stack.embedded.ports import LOOPBACK, free_port

PIECE_BYTES = 1 << 16


class Proxy:
    """Between clients and `target()`, a port that may only be known later. `start`, then `stop`."""

    def __init__(self, target: Callable[[], int]) -> None:
        self.port = free_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._swallows = False
        self._open: set[asyncio.StreamWriter] = set()
        self._struck: list[asyncio.StreamWriter] = []
        self.swallowed_bytes = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._drop(list(self._open))

    def swallow(self) -> None:
        """From now on every byte vanishes, both ways."""
        self._swallows, self._struck = True, list(self._open)

    def let_through(self) -> None:
        """Bytes go through again. Connections from before have lost some, and stay open: who waits for an answer waits in vain."""
        self._swallows = False

    def reset_struck(self) -> None:
        """Close the connections that lost bytes, those too that were made meanwhile, as a firewall may do at last."""
        self._drop(self._struck)

    def _drop(self, writers: list[asyncio.StreamWriter]) -> None:
        for writer in writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target())
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        if self._swallows:
            self._struck += [writer, far_writer]
        try:
            await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer))
        finally:
            self._open -= {writer, far_writer}
            self._drop([writer, far_writer])

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if self._swallows:
                    self.swallowed_bytes += len(piece)
                    continue
                writer.write(piece)
                await writer.drain()
        writer.close()
