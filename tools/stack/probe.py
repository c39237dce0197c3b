"""Whether a process of the local stack can do its work: asked of itself."""

import asyncio

import aiohttp

from services.shared.runtime.kafka import clients
from tools.stack import processes
from tools.stack.embedded import postgres
from tools.stack.local import Entry

PROBE_SECONDS_MAX = 2.0  # who does not say within this that it is ready is not


async def not_ready(session: aiohttp.ClientSession, url: str) -> str:
    """Ask a service. Returns "" if it is ready, else why not, in a few words."""
    try:
        async with session.get(f"{url}/health/ready") as response:
            if response.status == 200:
                return ""
            return str((await response.json())["reason"])
    except aiohttp.ClientConnectorError:
        return "does not listen yet"
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        return f"no answer ({type(error).__name__})"


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS_MAX))


async def ask_all(entries: list[Entry], database_url: str) -> dict[str, str]:
    """For each process by name: "" if it is ready, else why not. `database_url` has the password that the entry's URL lacks."""
    async with session() as client:

        async def ask(entry: Entry) -> str:
            if entry.problem:
                return entry.problem
            if entry.name == processes.KAFKA:
                return await clients.answers(entry.url)
            if entry.name == processes.POSTGRESQL:
                return await postgres.answers(database_url or entry.url)
            return await not_ready(client, entry.url)

        reasons = await asyncio.gather(*(ask(entry) for entry in entries))
    return {entry.name: reason for entry, reason in zip(entries, reasons, strict=True)}
