"""Twenty thousand requests with something wrong: nothing that was sent is in any answer, log line or metric."""

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from services.shared.runtime.http.server import DRAIN_SECONDS_MAX
from tests.unit.http.mutations import mutated, pieces
from tests.unit.http.serving import Served, answers, check_problem, check_silence, served, submission
from tools.stack.embedded.ports import LOOPBACK

SEED = 20_250_314
CONNECTIONS_MAX = 48  # at a time: enough to keep a core busy
REQUESTS_A_CONNECTION = (1, 1, 1, 2, 3)  # those after the first are pipelined
PIECE_SECONDS = 0.002  # long enough that the service mostly reads the pieces one by one
PATIENCE_SECONDS = 0.05  # of a sender that does not say that nothing more comes, until it says so
CONNECTION_SECONDS_MAX = DRAIN_SECONDS_MAX + 60  # a service that leaves a connection open longer has forgotten it


async def _converse(service: Served, sent: list[bytes], closes: bool) -> bytes:
    """What the service says to these pieces until it closes the connection."""
    reader, writer = await asyncio.open_connection(LOOPBACK, service.port)
    said = b""
    try:
        async with asyncio.timeout(CONNECTION_SECONDS_MAX):
            for piece in sent:
                writer.write(piece)
                await asyncio.sleep(PIECE_SECONDS if len(sent) > 1 else 0)
            if not closes:
                with suppress(TimeoutError):
                    said = await asyncio.wait_for(reader.read(1 << 20), PATIENCE_SECONDS)
            if not writer.is_closing():
                writer.write_eof()
            while part := await reader.read(1 << 20):
                said += part
    finally:
        writer.close()
    return said


async def _storm(service: Served, requests: int, seed: int) -> Counter[int]:
    """Send so many requests, and check each answer; how many there were by status."""
    dice = random.Random(seed)
    found: Counter[int] = Counter()
    resets = 0
    left = requests

    async def sender() -> None:
        nonlocal left, resets
        while left > 0:
            count = min(dice.choice(REQUESTS_A_CONNECTION), left)
            left -= count
            sent = b"".join(mutated(dice) for _ in range(count))
            try:
                said = await _converse(service, pieces(dice, sent), dice.random() < 0.5)
            except OSError:
                resets += 1
                continue
            text = said.decode("latin-1")
            check_silence(text)
            for answer in answers(said):
                found[answer.status] += 1
                if answer.status >= 400:
                    check_problem(answer)

    async with asyncio.TaskGroup() as senders:
        for _ in range(CONNECTIONS_MAX):
            senders.create_task(sender())
    assert resets == 0, "every sender could read to the end of the answers"
    return found


@pytest.mark.parametrize(("parser", "requests"), [("compiled", 20_000), ("python", 3_000)])
def test_nothing_of_thousands_of_malformed_requests_comes_back(tmp_path: Path, parser: str, requests: int) -> None:
    with served(tmp_path, AIOHTTP_NO_EXTENSIONS="1" if parser == "python" else "") as service:
        found = asyncio.run(_storm(service, requests, SEED))
        print(f"seed {SEED}, {requests} requests, {parser}: {dict(sorted(found.items()))}")  # noqa: T201 - figures of the run
        check_silence(service.metrics())
        log = service.log.read_text()
        check_silence(log)
        lines = [json.loads(line) for line in log.splitlines()]
        assert [line for line in lines if line["level"] not in ("INFO", "DEBUG")] == []
        assert found.keys() <= {200, 207, 400, 401, 404, 405, 413, 414, 415, 417, 429, 431}
        assert found.keys() >= {200, 207, 400, 401, 404, 405, 414, 415, 417, 431}
        assert found[400] > requests / 10
        assert found[207] > requests / 20
        said = asyncio.run(_converse(service, [submission()], closes=True))
        (answer,) = answers(said)
        assert (answer.status, json.loads(answer.body)["accepted"]) == (207, 1)
