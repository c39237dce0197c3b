"""Sending files: chunks in order, each record counted once, whatever the service does in between."""

import argparse
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.shared.ingest.bodies import RECORDS_MAX, records
from services.shared.ingest.files import Chunk, chunks
from services.shared.ingest.http import PATH
from services.shared.ingest.refusal import TOO_LARGE, Refusal
from services.shared.ingest.unpack import UNPACKED_BYTES_MAX
from services.shared.runtime.process.api_keys import ApiKeys
from services.shared.runtime.process.errors import Failure, Refused, Unavailable, UsageError
from services.shared.runtime.process.settings import Settings
from tools.command import delivery, send
from tools.command.delivery import Delivery
from tools.stack import local

NUMBERS = frozenset({"version"})


def all_records(path: Path) -> list[Any]:
    return [record for chunk in chunks(path, NUMBERS) for record in chunk.records]


@pytest.mark.parametrize("pack", ["", ".gz", ".zst"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (".ndjson", b'{"record_id":"a","version":1}\n\n{"record_id":"b"}\nnonsense'),
        (".json", b'[{"record_id":"a","version":1},\n {"record_id":"b"}, "nonsense"]'),
        (".csv", b'record_id,version\r\na,1\r\nb,\r\n"torn'),
    ],
)
def test_a_file_has_the_records_that_the_edge_would_see(tmp_path: Path, kind: str, body: bytes, pack: str) -> None:
    path = tmp_path / f"f{kind}{pack}"
    path.write_bytes({"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[pack](body))  # type: ignore[operator]
    media_type = {".ndjson": "application/x-ndjson", ".json": "application/json", ".csv": "text/csv"}[kind]
    assert all_records(path) == records(body, media_type, NUMBERS)


def test_chunks_hold_what_a_submission_may_and_know_their_place(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    path.write_bytes(b"{}\n" * (RECORDS_MAX * 2 + 5))
    assert [(c.first, len(c.records)) for c in chunks(path, NUMBERS)] == [
        (0, RECORDS_MAX),
        (RECORDS_MAX, RECORDS_MAX),
        (RECORDS_MAX * 2, 5),
    ]
    line = b'"' + b"x" * 60_000 + b'"\n'
    path.write_bytes(line * 1000)
    made = list(chunks(path, NUMBERS))
    assert sum(len(c.records) for c in made) == 1000
    assert all(len(c.body(list(range(len(c.records))))) <= UNPACKED_BYTES_MAX for c in made)


def test_a_line_that_is_too_long_is_refused_here_and_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    path.write_bytes(b"{}\n" + b"x" * (20 << 20) + b"\n{}\n")
    assert all_records(path) == [b"{}", TOO_LARGE, b"{}"]


def test_a_file_that_is_not_what_its_name_says_is_one_clear_line(tmp_path: Path) -> None:
    cut_off = [("b.ndjson.gz", gzip.compress(b"{}\n" * 9)[:-9]), ("b.ndjson.zst", zstandard.compress(b"{}\n" * 9)[:-3])]
    wrong = [("a.ndjson.gz", b"{}"), ("a.ndjson.zst", b"{}"), ("a.json", b"{"), ("a.csv", b"no header")]
    for name, body in wrong + cut_off:
        (tmp_path / name).write_bytes(body)
        with pytest.raises(Failure, match=name):
            all_records(tmp_path / name)
    with pytest.raises(UsageError):
        all_records(tmp_path / "a.txt")


class FakeService:
    """A service that answers as its script says, and keeps the records that it accepted, in order."""

    def __init__(self) -> None:
        self.script: list[Callable[[list[bytes]], web.Response]] = []
        self.stored: list[bytes] = []
        self.posts = 0
        application = web.Application(client_max_size=1 << 30)
        application.router.add_post(PATH, self.answer)
        self.server = TestServer(application)

    async def answer(self, request: web.Request) -> web.Response:
        self.posts += 1
        sent = [r for r in records(await request.read(), request.content_type, NUMBERS) if isinstance(r, bytes)]
        if self.script:
            return self.script.pop(0)(sent)
        return self.receipt(sent)

    def receipt(self, sent: list[bytes], retry: frozenset[int] = frozenset()) -> web.Response:
        """Rejects "bad" records, takes the others but for those to retry."""
        items: list[dict[str, Any]] = []
        for index, record in enumerate(sent):
            if b"bad" in record:
                items.append({"index": index, "status": "rejected", "code": "invalid_value", "pointer": "/x", "detail": "d"})
            elif index in retry:
                items.append({"index": index, "status": "retry"})
            else:
                self.stored.append(record)
        counts = Counter(item["status"] for item in items)
        body = {"received": len(sent), "accepted": len(sent) - len(items), "items": items, **counts}
        return web.json_response(body, status=207)


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeService]:
    monkeypatch.setattr(delivery, "WAIT_SECONDS_MIN", 0.001)
    service = FakeService()
    await service.server.start_server()
    yield service
    await service.server.close()


async def deliver(service: FakeService, path: Path) -> tuple[Delivery, list[str]]:
    sender = Delivery(str(service.server.make_url("/")), "key")
    said: list[str] = []
    await sender.deliver(chunks(path, NUMBERS), {}, lambda _: None, said.append)
    return sender, said


async def test_each_record_is_counted_once_and_stored_in_the_file_s_order_whatever_has_to_be_sent_again(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.shared.ingest.files.RECORDS_MAX", 10)
    path = tmp_path / "f.ndjson"
    lines = [f'{{"n":{i}{",bad" if i in (3, 17) else ""}}}'.encode() for i in range(25)]
    path.write_bytes(b"\n".join(lines))
    service.script = [
        lambda _: web.Response(status=503, headers={"Retry-After": "0"}),
        lambda _: web.Response(status=429),
        lambda sent: service.receipt(sent, frozenset({8, 9})),
        lambda _: web.Response(status=500),
        lambda sent: service.receipt(sent, frozenset({1})),
        service.receipt,
    ]
    sender, said = await deliver(service, path)
    assert vars(sender.total) == {
        "received": 25,
        "accepted": 23,
        "rejected": 2,
        "retry": 0,
        "items": [{"index": i, "status": "rejected", "code": "invalid_value", "pointer": "/x", "detail": "d"} for i in (3, 17)],
    }
    assert service.stored == [line for line in lines if b"bad" not in line]
    assert len(said) == 5


async def test_a_service_that_is_not_there_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "GIVE_UP_SECONDS", 0.5)
    path = tmp_path / "f.ndjson"
    path.write_bytes(b"{}\n{}\n")
    sender = Delivery("http://127.0.0.1:9", "key")
    said: list[str] = []
    with pytest.raises(Unavailable, match="send the file again"):
        await sender.deliver(chunks(path, NUMBERS), {}, lambda _: None, said.append)
    assert said
    assert (sender.total.received, sender.total.retry) == (2, 2)


async def test_a_refused_submission_is_not_sent_again(service: FakeService, tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    path.write_bytes(b"{}\n")
    service.script = [lambda _: web.json_response({"detail": "a working API key is needed"}, status=401)]
    with pytest.raises(Refused, match="401: a working API key is needed"):
        await deliver(service, path)
    assert service.posts == 1


async def test_rows_that_are_no_csv_are_counted_without_being_sent(service: FakeService, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b"record_id,version\na,1\nb\nc,3\n")
    sender, _ = await deliver(service, path)
    assert (sender.total.received, sender.total.accepted, sender.total.rejected) == (3, 2, 1)
    assert sender.total.items[0]["index"] == 1
    assert service.stored == [b'{"record_id":"a","version":1}', b'{"record_id":"c","version":3}']


def test_a_json_chunk_is_an_array_and_leaves_out_what_was_refused_here() -> None:
    refusal: Refusal = TOO_LARGE
    chunk = Chunk("application/json", 0, [b"1", refusal, b"2", b"3"], 0)
    assert chunk.body([0, 1, 2]) == b"[1,2]"


def _status(home: Path, url: str) -> local.Status:
    own = home / "secrets" / "keys.json"
    own.parent.mkdir(parents=True)
    own.write_text('{"border-crossings": "tlq_own"}')
    return local.Status(1, 0.0, services=[local.Entry("border-crossings", url)], keys=str(own))


def test_the_key_of_another_agency_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLQYN_HOME", str(tmp_path))
    status = _status(tmp_path, "http://127.0.0.1:9")
    monkeypatch.setattr(local, "running", lambda _: status)
    settings = Settings.from_env()
    assert send._service(settings, "border-crossings", "local") == ("http://127.0.0.1:9", "tlq_own")
    _, first = send._service(settings, "border-crossings", "knb")
    _, second = send._service(settings, "border-crossings", "knb")
    assert first == second
    found = ApiKeys(settings.api_keys_file).find(first)
    assert found is not None
    assert (found.agency, found.feed) == ("knb", "border-crossings")
    ApiKeys(settings.api_keys_file).revoke(found.id)
    assert send._service(settings, "border-crossings", "knb")[1] != first


def test_the_command_ends_with_the_receipt_and_1_if_a_record_was_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOLQYN_HOME", str(tmp_path))
    status = _status(tmp_path, "http://127.0.0.1:9")
    monkeypatch.setattr(local, "running", lambda _: status)
    parser = argparse.ArgumentParser()
    send.add_parser(parser.add_subparsers())
    (tmp_path / "f.csv").write_text("record_id\n\ufffd,x\n")
    args = parser.parse_args(["send", "--feed", "border-crossings", str(tmp_path / "f.csv")])
    assert args.run(args) == 1
    receipt = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (receipt["received"], receipt["rejected"], receipt["items"][0]["code"]) == (1, 1, "malformed_json")
    args = parser.parse_args(["send", "--feed", "border-crossings", str(tmp_path / "missing.csv")])
    with pytest.raises(UsageError, match="no such file"):
        args.run(args)
