"""The HTTP answers of an ingest service, against a log that does what the test wants."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from schemas.feeds import FEEDS
from services.shared.ingest import http
from services.shared.ingest.edge import Edge
from services.shared.ingest.http import RecordsEndpoint
from services.shared.runtime.http.server import Runner
from services.shared.runtime.process.api_keys import ApiKeys

FIGURE = {
    "record_id": "f-1",
    "version": 1,
    "figure": "INFORMAL_SHARE",
    "period": "2024",
    "value": 34,
    "unit": "percent",
    "source": "survey",
    "published_on": "2025-03-14",
}
BODY = json.dumps(FIGURE).encode()
NDJSON = {"Content-Type": "application/x-ndjson"}


class MemoryLog:
    """Stands for the producer: keeps what it gets, acknowledges what it is told to, once it may."""

    def __init__(self) -> None:
        self.in_flight_bytes = 0
        self.acknowledges = 1_000_000
        self.open = asyncio.Event()
        self.open.set()
        self.stored: list[tuple[str, bytes, bytes]] = []

    async def send(self, topic: str, events: Sequence[Sequence[tuple[bytes, bytes]]], schema: bytes) -> list[int]:
        await self.open.wait()
        taken = [list(some)[: self.acknowledges] for some in events]
        self.stored += [(topic, key, value) for some in taken for key, value in some]
        return [len(some) for some in taken]


class Server(TestServer):
    """The server of every service, on a port of its own."""

    async def _make_runner(self, **options: Any) -> Runner:
        return Runner(self.app, **options)


class Endpoint:
    """An endpoint behind a real HTTP server."""

    def __init__(self, keys: ApiKeys) -> None:
        self.log, self.ready = MemoryLog(), True
        self.key = keys.add("iom", "reference-figures")[1]
        self.foreign = keys.add("iom", "work-permits")[1]
        edge = Edge(FEEDS["reference-figures"], b"k" * 32, "0123abcd")
        self.records = RecordsEndpoint(edge, keys, self.log, 1, lambda: self.ready)  # type: ignore[arg-type]
        application = web.Application()
        self.records.add_to(application)
        self.server = Server(application)

    async def send(self, body: Any = BODY, method: str = "POST", query: str = "", **headers: str) -> tuple[int, Any, Any]:
        sent = {"Authorization": f"Bearer {self.key}"} | {k.replace("_", "-"): v for k, v in headers.items() if v}
        async with (
            aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
            session.request(method, self.server.make_url(http.PATH + query), data=body, headers=sent) as response,
        ):
            text = await response.text()
            if response.status != 207:
                assert response.content_type == "application/problem+json"
            return response.status, json.loads(text) if text else None, response.headers


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(ApiKeys(tmp_path / "keys.json"))
    await endpoint.server.start_server()
    yield endpoint
    await endpoint.server.close()


async def test_a_receipt_has_the_contract_s_fields_and_lists_every_record_if_asked(endpoint: Endpoint) -> None:
    body = b"\n".join([BODY, b"{", BODY])
    status, receipt, _ = await endpoint.send(body, **NDJSON)
    assert status == 207
    assert list(receipt) == ["submission", "received", "accepted", "rejected", "retry", "items"]
    assert receipt["items"] == [
        {"index": 1, "status": "rejected", "code": "malformed_json", "pointer": "", "detail": "not one JSON value in UTF-8"}
    ]
    _, again, _ = await endpoint.send(body, query="?items=all", **NDJSON)
    assert [(item["index"], item["status"]) for item in again["items"]] == [(0, "accepted"), (1, "rejected"), (2, "accepted")]
    assert again["submission"] != receipt["submission"]


async def test_nothing_is_called_accepted_before_the_log_has_it(endpoint: Endpoint) -> None:
    endpoint.log.open.clear()
    answer = asyncio.ensure_future(endpoint.send(**NDJSON))
    done, _ = await asyncio.wait({answer}, timeout=0.2)
    assert not done
    endpoint.log.open.set()
    assert (await answer)[1]["accepted"] == 1


async def test_what_the_log_did_not_take_is_to_be_sent_again(endpoint: Endpoint) -> None:
    endpoint.log.acknowledges = 1
    _, receipt, _ = await endpoint.send(b"\n".join([BODY, b"x", BODY, BODY]), **NDJSON)
    assert (receipt["received"], receipt["accepted"], receipt["rejected"], receipt["retry"]) == (4, 1, 1, 2)
    assert [(item["index"], item["status"]) for item in receipt["items"]] == [(1, "rejected"), (2, "retry"), (3, "retry")]


async def test_an_empty_submission_is_received_as_nothing(endpoint: Endpoint) -> None:
    for body, media_type in ((b"", "application/x-ndjson"), (b"[]", "application/json"), (b"record_id,figure\r\n", "text/csv")):
        status, receipt, _ = await endpoint.send(body, Content_Type=media_type)
        assert (status, receipt["received"]) == (207, 0)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer tlq_wrong", "Basic dTpw", "tlq_wrong"])
async def test_without_a_working_key_the_answer_is_401(endpoint: Endpoint, authorization: str) -> None:
    status, problem, headers = await endpoint.send(**NDJSON, Authorization=authorization or "x")
    assert (status, problem["status"], problem["title"]) == (401, 401, "Unauthorized")
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert endpoint.log.stored == []


async def test_a_key_for_another_feed_is_403(endpoint: Endpoint) -> None:
    assert (await endpoint.send(**NDJSON, Authorization=f"Bearer {endpoint.foreign}"))[0] == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_other_methods_are_405(endpoint: Endpoint, method: str) -> None:
    status, _, headers = await endpoint.send(b"", method=method)
    assert (status, headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/json; charset=windows-1251"},
        {"Content_Type": "application/octet-stream"},
        {"Content_Type": "application/json", "Content_Encoding": "br"},
        {"Content_Type": "application/json", "Content_Encoding": "gzip, gzip"},
    ],
)
async def test_another_media_type_charset_or_encoding_is_415(endpoint: Endpoint, headers: dict[str, str]) -> None:
    assert (await endpoint.send(**headers))[0] == 415


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=UTF-8", "Application/JSON"])
async def test_utf_8_may_be_said_or_not(endpoint: Endpoint, media_type: str) -> None:
    assert (await endpoint.send(Content_Type=media_type))[0] == 207


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[1,", {"Content_Type": "application/json"}),
        (BODY, {"Content_Type": "application/json", "Content_Encoding": "gzip"}),
        (gzip.compress(BODY)[:-4], {"Content_Type": "application/json", "Content_Encoding": "gzip"}),
        (b"a,b\n1,2\n", {"Content_Type": "text/csv"}),
    ],
)
async def test_a_body_that_cannot_be_read_as_a_whole_is_400(endpoint: Endpoint, body: bytes, headers: dict[str, str]) -> None:
    assert (await endpoint.send(body, **headers))[0] == 400


async def test_too_many_records_are_413_and_one_less_is_not(endpoint: Endpoint) -> None:
    assert (await endpoint.send(b"{}\n" * 20_001, **NDJSON))[0] == 413
    assert (await endpoint.send(b"{}\n" * 20_000, **NDJSON))[1]["rejected"] == 20_000


async def test_a_body_of_16_mib_is_taken_and_one_byte_more_is_413(endpoint: Endpoint) -> None:
    body = BODY + b"\n" + b" " * ((16 << 20) - len(BODY) - 1)
    assert (await endpoint.send(body, **NDJSON))[1]["accepted"] == 1
    assert (await endpoint.send(body + b" ", **NDJSON))[0] == 413


async def test_a_413_is_readable_after_60_mib_also_without_a_length(endpoint: Endpoint) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield b"x" * (1 << 20)

    status, _, headers = await endpoint.send(parts(), **NDJSON)
    assert (status, headers["Connection"]) == (413, "close")
    assert (await endpoint.send(b"x" * (60 << 20), **NDJSON))[0] == 413


async def test_while_the_log_is_away_the_answer_is_503_with_retry_after(endpoint: Endpoint) -> None:
    endpoint.ready = False
    status, _, headers = await endpoint.send(**NDJSON)
    assert (status, headers["Retry-After"]) == (503, str(http.AWAY_RETRY_SECONDS))


async def test_when_too_much_is_unacknowledged_the_answer_is_429_until_it_is_settled(endpoint: Endpoint) -> None:
    endpoint.log.in_flight_bytes = http.IN_FLIGHT_BYTES_MAX
    status, _, headers = await endpoint.send(**NDJSON)
    assert (status, headers["Retry-After"]) == (429, str(http.BUSY_RETRY_SECONDS))
    endpoint.log.in_flight_bytes = 0
    assert (await endpoint.send(**NDJSON))[0] == 207


async def test_small_submissions_count_too_so_that_not_any_number_is_open(endpoint: Endpoint) -> None:
    endpoint.log.open.clear()
    endpoint.log.in_flight_bytes = http.IN_FLIGHT_BYTES_MAX - 2 * http.SUBMISSION_BYTES_MIN
    answers = [asyncio.ensure_future(endpoint.send(**NDJSON)) for _ in range(3)]
    done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    assert [answer.result()[0] for answer in done] == [429]
    endpoint.log.open.set()
    assert [answer[0] for answer in await asyncio.gather(*waiting)] == [207] * 2


async def test_open_submissions_count_until_they_are_answered(endpoint: Endpoint) -> None:
    endpoint.log.open.clear()
    body = BODY + b" " * ((16 << 20) - len(BODY))
    answers = [asyncio.ensure_future(endpoint.send(body, **NDJSON)) for _ in range(5)]
    done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    assert [answer.result()[0] for answer in done] == [429]
    endpoint.log.open.set()
    assert [answer[0] for answer in await asyncio.gather(*waiting)] == [207] * 4
    await endpoint.records.idle()
    assert (await endpoint.send(body, **NDJSON))[0] == 207


async def test_a_sender_that_goes_away_in_the_middle_costs_nothing(endpoint: Endpoint) -> None:
    url = endpoint.server.make_url("/")
    for _ in range(5):
        _, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST {http.PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {endpoint.key}\r\n"
        writer.write((head + "Content-Type: application/x-ndjson\r\nContent-Length: 16777216\r\n\r\n{").encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    await endpoint.records.idle()
    assert (await endpoint.send(**NDJSON))[0] == 207
    assert [key for topic, key, _ in endpoint.log.stored if topic.startswith("events")] == [b"iom/f-1"]


async def test_a_413_comes_only_when_its_sender_has_sent_everything_and_so_looks_for_an_answer(endpoint: Endpoint) -> None:
    url = endpoint.server.make_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST {http.PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {endpoint.key}\r\n"
    writer.write((head + f"Content-Type: application/x-ndjson\r\nContent-Length: {20 << 20}\r\n\r\n").encode())
    writer.write(b"x" * (19 << 20))
    await writer.drain()
    answer = asyncio.ensure_future(reader.readline())
    done, _ = await asyncio.wait({answer}, timeout=0.2)
    assert not done
    writer.write(b"x" * (1 << 20))
    assert b" 413 " in await answer
    writer.close()
