"""PostgreSQL as the stack uses it: a connection that never hangs, the tables of one stack, one writer at a time."""

import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import psycopg
from psycopg import sql

from services.shared.runtime.process.errors import Unavailable
from services.shared.runtime.process.settings import Settings

# A connection may hang without ever closing. The largest publication, every figure of six years, takes two seconds.
ANSWER_SECONDS_MAX = 30.0
CONNECT_SECONDS_MAX = 5  # a database that does not answer within this is away
LOCK = 0x746F6C71796E  # "tolqyn": one publisher at a time, whatever else happens
KEY_LENGTH_MAX = 63  # of a PostgreSQL name

R = TypeVar("R")
P = ParamSpec("P")
D = TypeVar("D", bound="Database")


def schema_name(prefix: str) -> str:
    """The PostgreSQL schema of a stack: stacks with other prefixes can share a database."""
    tail = re.sub(r"[^a-z0-9]+", "_", prefix.lower()).strip("_")
    return f"tolqyn_{tail}"[:KEY_LENGTH_MAX] if tail else "tolqyn"


def available(method: Callable[Concatenate[D, P], Awaitable[R]]) -> Callable[Concatenate[D, P], Coroutine[Any, Any, R]]:
    """A database that goes away in the middle is bad luck: Unavailable."""

    @wraps(method)
    async def call(self: D, *args: P.args, **kwargs: P.kwargs) -> R:
        watch = asyncio.get_running_loop().call_later(ANSWER_SECONDS_MAX, self._hang_up)
        try:
            return await method(self, *args, **kwargs)
        except psycopg.OperationalError as error:
            raise Unavailable(f"the database went away: {str(error).splitlines()[0]}") from error
        finally:
            watch.cancel()

    return call  # type: ignore[return-value]


class Database:
    """A connection to the tables of one stack. `async with`; raises Unavailable while the database is away."""

    def __init__(self, database_url: str, prefix: str = "") -> None:
        self._url = database_url
        self._schema = sql.Identifier(schema_name(prefix))
        self._connection: psycopg.AsyncConnection[Any] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.database(), settings.prefix)

    async def __aenter__(self) -> Self:
        try:
            self._connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_SECONDS_MAX, application_name="tolqyn"
            )
        except psycopg.OperationalError as error:
            raise Unavailable(f"the database does not answer: {str(error).splitlines()[0]}") from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _hang_up(self) -> None:
        """End a connection on which no answer comes: whoever waits there gets an OperationalError. A cancelled wait would go on."""
        if self._connection is not None and not self._connection.closed:
            with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)

    @property
    def connection(self) -> "psycopg.AsyncConnection[Any]":
        assert self._connection is not None, "use `async with`"
        return self._connection

    @available
    async def clock(self) -> datetime:
        """What the database's own clock says."""
        row = await (await self.connection.execute("select clock_timestamp()")).fetchone()
        assert row is not None
        return cast(datetime, row[0].astimezone(UTC))

    def _sql(self, text: str) -> sql.Composed:
        return sql.SQL(text).format(schema=self._schema)

    async def _lock(self) -> None:
        """For this transaction, which the server ends when its client has fallen silent: else the lock would stay for hours."""
        await self.connection.execute(
            "select pg_advisory_xact_lock(%s), set_config('idle_in_transaction_session_timeout', %s, true)",
            [LOCK, f"{ANSWER_SECONDS_MAX:.0f}s"],
        )
