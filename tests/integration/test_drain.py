"""SIGTERM while work is under way: a service ends within ten seconds, and has called nothing accepted that is not in the log."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from schemas.feeds import FEEDS
from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.kafka import stack_identity
from services.shared.runtime.kafka.topics import ensure_topics, load_topics
from services.shared.runtime.process.api_keys import ApiKeys
from services.shared.runtime.process.settings import Settings
from tools.stack.processes import INGEST, service_program

FEED = FEEDS["border-crossings"]
END_SECONDS_MAX = 10.0  # the promise
READY_SECONDS_MAX = 60.0
SENDERS = 6
RECORDS = 500  # of a submission: small, so that many are under way at any moment


class Ingest:
    """A process of an ingest service, and what its senders were told."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.key = ApiKeys(settings.api_keys_file).add("knb", FEED.name)[1]
        program = service_program(INGEST[0], settings, settings.listen_port)
        self.url = program.url
        self.process = subprocess.Popen(program.command, env=os.environ | program.env)
        self.accepted: set[bytes] = set()
        self.answers = 0
        self.enough = asyncio.Event()  # every sender has had an answer, and sends on

    async def ready(self) -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(READY_SECONDS_MAX):
            while True:
                assert self.process.poll() is None
                try:
                    async with session.get(self.url + "/health/ready") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    async def send(self, sender: int) -> None:
        """Submission after submission, until the service no longer takes any."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/x-ndjson"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for number in range(1_000_000):
                ids = [f"c-{sender}-{number}-{i}" for i in range(RECORDS)]
                body = b"\n".join(record(name) for name in ids)
                try:
                    async with session.post(f"{self.url}/v1/records?items=all", data=body) as response:
                        status, answer = response.status, await response.json(content_type=None)
                except aiohttp.ClientError:
                    return
                if status != 207:
                    assert status == 503
                    return
                self.answers += 1
                if self.answers > SENDERS:
                    self.enough.set()
                self.accepted |= {f"knb/{ids[i['index']]}".encode() for i in answer["items"] if i["status"] == "accepted"}

    async def in_log(self) -> set[bytes]:
        keys: set[bytes] = set()
        for partition in range(load_topics()[FEED.topic].partitions):
            await kafka.each_to_end(self.settings, FEED.topic, partition, lambda r: keys.add(r.key))
        return keys


def record(name: str) -> bytes:
    return json.dumps(
        {
            "record_id": name,
            "version": 1,
            "occurred_at": "2025-06-30T23:59:59.999+05:00",
            "direction": "arrival",
            "citizenship": "UZ",
            "counterpart": "UZ",
            "mode": "road",
            "checkpoint": "KZ-001",
        }
    ).encode()


@pytest.fixture
async def ingest(settings: Settings) -> AsyncIterator[Ingest]:
    await ensure_topics(settings)
    await stack_identity.claim(settings)
    one = Ingest(settings)
    yield one
    one.process.kill()
    one.process.wait()


async def half_a_submission(ingest: Ingest) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A sender that stops in the middle of its body and keeps the connection."""
    host, port = ingest.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/records HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ingest.key}\r\nContent-Type: application/x-ndjson\r\n"
    writer.write(head.encode() + b"Content-Length: 100000\r\n\r\n" + record("c-half") + b"\n")
    await writer.drain()
    return reader, writer


async def test_ingest_told_to_end_under_load_ends_in_time_and_what_it_called_accepted_is_in_the_log(ingest: Ingest) -> None:
    await ingest.ready()
    reader, writer = await half_a_submission(ingest)
    senders = [asyncio.ensure_future(ingest.send(number)) for number in range(SENDERS)]
    async with asyncio.timeout(READY_SECONDS_MAX):
        await ingest.enough.wait()
    told, before = time.monotonic(), ingest.answers
    ingest.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(ingest.process.wait, END_SECONDS_MAX) == 0
    assert time.monotonic() - told < END_SECONDS_MAX
    await asyncio.gather(*senders)  # each has an answer or a closed connection
    assert b"207" not in await reader.read()
    writer.close()
    assert ingest.answers > before, "submissions that were under way were still answered"
    log = await ingest.in_log()
    assert len(ingest.accepted) > SENDERS * RECORDS
    assert ingest.accepted <= log
    assert b"knb/c-half" not in log


HANGS = """
import asyncio, logging, os
from services.shared.runtime.process import service

async def main(context):
    await context.serve()
    os.write(1, b"what a library prints")
    logging.getLogger("tolqyn").info("up")
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.Event().wait()

service.run("hangs", main)
"""


def test_a_service_in_which_something_hangs_ends_in_time_too(settings: Settings, tmp_path: Path) -> None:
    environment = os.environ | {"TOLQYN_LISTEN_PORT": str(settings.listen_port), "TOLQYN_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", HANGS], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["message"] == "up"
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_SECONDS_MAX) == 1
        assert b"did not drain" in process.stderr.read()
        assert process.stdout.read() == b""
