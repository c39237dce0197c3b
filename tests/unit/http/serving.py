"""An ingest service as a process of its own, with a log in memory and some handlers that fail. `python -m tests.unit.http.serving`.

It runs as services do, by `run`: what it writes to standard error is what operators would read.
"""

import asyncio
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from schemas.feeds import FEEDS
from services.shared.ingest.edge import Edge
from services.shared.ingest.http import PATH, RecordsEndpoint
from services.shared.runtime.process.api_keys import ApiKeys
from services.shared.runtime.process.service import ServiceContext, run
from tools.stack.embedded.ports import LOOPBACK, free_port

ROOT = Path(__file__).parents[3]
FEED = "border-crossings"
START_SECONDS_MAX = 60.0  # imports take two, on a machine with other tests ten
# What must not come back. Each is a repeated piece, so that a part of one is found too; no text of ours has any of the pieces.
KEY_MARK, PERSON_MARK, HEADER_MARK, PATH_MARK, QUERY_MARK = "kwvzqk", "zqxjzq", "hzqkxh", "pzvqxp", "qjzwxq"
MARKS = (KEY_MARK, PERSON_MARK, HEADER_MARK, PATH_MARK, QUERY_MARK)
SECRET_KEY = "tlq_" + KEY_MARK * 7
RECORD = {
    "record_id": "r-1",
    "version": 1,
    "occurred_at": "2025-03-14T10:00:00+05:00",
    "direction": "arrival",
    "citizenship": "UZ",
    "counterpart": "UZ",
    "purpose": "employment",
    "mode": "road",
    "checkpoint": "KONYSBAEVA",
    "person": PERSON_MARK * 3,
}


class MemoryLog:
    """Acknowledges everything and keeps nothing."""

    in_flight_bytes = 0

    async def send(self, _: str, events: Sequence[Sequence[tuple[bytes, bytes]]], __: bytes) -> list[int]:
        return [len(some) for some in events]


async def _raising(request: web.Request) -> web.Response:
    raise ValueError(f"{request.match_info['value']} {request.headers.get('X-Note')} {await request.read()!r}")


async def _chained(request: web.Request) -> web.Response:
    try:
        int(request.match_info["value"])
    except ValueError:
        raise KeyError(request.match_info["value"]) from None
    raise AssertionError


async def _no_response(request: web.Request) -> web.Response:
    return {"sent": request.match_info["value"]}  # type: ignore[return-value]


async def _own_words(request: web.Request) -> web.Response:
    raise web.HTTPConflict(text=request.match_info["value"], reason=request.match_info["value"])


async def _returned(request: web.Request) -> web.StreamResponse:
    return web.HTTPGone(text=request.match_info["value"])


async def _slow(_: web.Request) -> web.Response:
    raise TimeoutError


async def _forgotten(request: web.Request) -> web.Response:
    async def work() -> None:
        raise ValueError(request.match_info["value"])

    def called_back(value: str) -> None:
        raise ValueError(value)

    task = asyncio.ensure_future(work())
    asyncio.get_running_loop().call_soon(called_back, request.match_info["value"])
    await asyncio.wait({task})
    del task  # nobody has asked for its exception
    return web.Response(text="done")


class _Undone:
    def __init__(self, value: str) -> None:
        self.value = value

    def __del__(self) -> None:
        raise ValueError(self.value)


async def _library(request: web.Request) -> web.Response:
    value = request.match_info["value"]
    try:
        raise ValueError(value)
    except ValueError:
        logging.getLogger("aiohttp.internal").exception("Exception in %s", value)
    _Undone(value)
    return web.Response(text="done")


async def _begun(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"x" * 10)
    raise ValueError(request.match_info["value"])


FAULTS = {
    "raising": _raising, "chained": _chained, "no-response": _no_response, "own-words": _own_words,
    "returned": _returned, "slow": _slow, "forgotten": _forgotten, "library": _library, "begun": _begun,
}  # fmt: skip


async def main(context: ServiceContext) -> None:
    """Serve until told to stop."""
    edge = Edge(FEEDS[FEED], b"k" * 32, "0123abcd")
    endpoint = RecordsEndpoint(edge, ApiKeys(context.settings.api_keys_file), MemoryLog(), 4, lambda: True)  # type: ignore[arg-type]
    endpoint.add_to(context.web)
    for name, handler in FAULTS.items():
        context.web.router.add_route("*", f"/{name}/{{value}}", handler)
    await context.serve()
    context.set_ready()
    await context.stopping.wait()


@dataclass(frozen=True)
class Served:
    """A running service: where it listens, and what it has logged."""

    port: int
    log: Path

    def metrics(self) -> str:
        """The metrics page."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text


@contextmanager
def served(folder: Path, **environment: str) -> Iterator[Served]:
    """Start the service, with one working key, and stop it at the end."""
    entry: dict[str, str | None] = {
        "id": "0a1b2c3d",
        "sha256": hashlib.sha256(SECRET_KEY.encode()).hexdigest(),
        "agency": "knb",
        "feed": FEED,
    }
    entry |= {"created": "2025-01-01T00:00:00Z", "revoked": None}
    (folder / "keys.json").write_text(json.dumps({"keys": [entry]}))
    port, path = free_port(), folder / "log"
    settings = {"TOLQYN_LISTEN_PORT": str(port), "TOLQYN_API_KEYS_FILE": str(folder / "keys.json"), "TOLQYN_HOME": str(folder)}
    with path.open("wb") as log:
        command = [sys.executable, "-W", "always", "-P", "-m", "tests.unit.http.serving"]
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings | environment, stderr=log)
    try:
        _until_ready(process, port, path)
        yield Served(port, path)
    finally:
        process.terminate()
        process.wait(20)


def _until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    limit = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < limit:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/health/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise AssertionError(f"waited {START_SECONDS_MAX} s for the service to listen: {log.read_text()}")


@dataclass(frozen=True)
class Answer:
    """One answer as it came. `headers` with names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def answers(raw: bytes) -> list[Answer]:
    """The answers in what a server sent; interim ones are left out. An answer to HEAD has no body."""
    found = []
    while raw:
        head, separator, rest = raw.partition(b"\r\n\r\n")
        assert separator, raw[:200]
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if status == "100":
            raw = rest
            continue
        size = 0 if rest.startswith(b"HTTP/1.") else int(headers["content-length"])
        found.append(Answer(int(status), headers, rest[:size]))
        raw = rest[size:]
    return found


def check_problem(answer: Answer) -> dict[str, Any]:
    """An answer that says no is a problem of RFC 9457 with the same status, and nothing else."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    if not answer.body:  # to HEAD
        return {}
    problem: dict[str, Any] = json.loads(answer.body)
    assert list(problem) == ["type", "title", "status", "detail"]
    assert problem["status"] == answer.status
    assert problem["title"]
    assert problem["detail"]
    return problem


def check_silence(text: str) -> None:
    """None of the marks is in a text."""
    lower = text.lower()
    found = [mark for mark in MARKS if mark in lower]
    assert not found, (found, lower[max(0, lower.index(found[0]) - 300) :][:600])


def submission(body: bytes = json.dumps(RECORD).encode(), headers: str = "", path: str = PATH, length: int | None = None) -> bytes:
    """A well-formed request with a record, or one whose length is wrong."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET_KEY}\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n{headers}\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    run(FEED, main)
