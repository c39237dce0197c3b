"""The ingest service against a real broker: what it calls accepted is in the log, and nothing else is."""

import asyncio
import gzip
import hashlib
import json
import os
import secrets
import signal
import subprocess
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zstandard
from prometheus_client import REGISTRY

from schemas.feeds import FEEDS
from services.shared.feeds.catalogue import RULES
from services.shared.ingest import http
from services.shared.ingest.service import serve_feed
from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.kafka import stack_identity
from services.shared.runtime.kafka.producer import APART, EventProducer
from services.shared.runtime.kafka.topics import ensure_topics
from services.shared.runtime.process.api_keys import ApiKeys
from services.shared.runtime.process.clock_skew import SKEW_SECONDS_MAX
from services.shared.runtime.process.errors import ConfigurationError
from services.shared.runtime.process.service import ServiceContext
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.records import Records
from services.tally.partition import PartitionFold
from tools.stack.embedded.ports import free_port
from tools.stack.processes import INGEST, service_program

FEED = FEEDS["border-crossings"]
PERSON = "N-04417703-SECRET"
READY_SECONDS_MAX = 30
END_SECONDS_MAX = 10.0  # the promise
ONE_ID_SECONDS_MAX = 10.0  # a submission takes one or two, on a busy machine as well; waiting for a clock took over twenty
FILE_RECORDS = 100_000  # five submissions: enough to be caught in the middle, twice


def record(number: int, **fields: Any) -> dict[str, Any]:
    """A good crossing."""
    return {
        "record_id": f"c-{number}",
        "version": 1,
        "occurred_at": "2025-06-30T23:59:59.999+05:00",
        "direction": "arrival",
        "citizenship": "UZ",
        "counterpart": "UZ",
        "mode": "road",
        "checkpoint": "KZ-001",
        "person": PERSON,
    } | fields


def ndjson(*records: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(r).encode() for r in records)


class Service:
    """A running ingest service, and a key for it."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self.settings, self.session = settings, session
        self.url = f"http://127.0.0.1:{settings.listen_port}"
        self.key = ApiKeys(settings.api_keys_file).add("knb", FEED.name)[1]

    async def post(self, body: bytes, media_type: str = "application/x-ndjson", **headers: str) -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": media_type} | headers
        async with self.session.post(self.url + "/v1/records", data=body, headers=sent) as response:
            return response.status, await response.json(content_type=None)

    async def log(self, topic: str = FEED.topic, partitions: int = 12) -> list[tuple[int, Any]]:
        return await whole_log(self.settings, topic, partitions)


async def whole_log(settings: Settings, topic: str, partitions: int) -> list[tuple[int, Any]]:
    """(partition, record) of a whole topic, partition by partition."""
    [ends] = (await kafka.end_offsets(settings, [topic])).values()
    found: list[Any] = []
    async with kafka.reading(settings, topic) as consumer:
        while len(found) < sum(ends):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                found += records
    assert len(ends) == partitions
    return sorted(((r.partition, r) for r in found), key=lambda pair: (pair[0], pair[1].offset))


@pytest.fixture
async def stack_settings(broker: str, topic_prefix: str, home: Path) -> Settings:
    port = free_port()
    settings = Settings.from_env(
        {
            "TOLQYN_HOME": str(home),
            "TOLQYN_LISTEN_PORT": str(port),
            "TOLQYN_PREFIX": topic_prefix,
            "KAFKA_BOOTSTRAP_SERVERS": broker,
        }
    )
    await ensure_topics(settings)
    await stack_identity.claim(settings)
    return settings


@pytest.fixture
async def service(stack_settings: Settings) -> AsyncIterator[Service]:
    context = ServiceContext(FEED.name, stack_settings)
    running = asyncio.ensure_future(serve_feed(context, FEED))
    async with aiohttp.ClientSession() as session, asyncio.timeout(READY_SECONDS_MAX):
        while not context.ready:
            assert not running.done(), running.exception()
            await asyncio.sleep(0.02)
        yield Service(stack_settings, session)
    context.stopping.set()
    await running
    await context.close()


async def test_what_is_accepted_is_in_the_log_and_what_is_rejected_is_not(service: Service) -> None:
    good = [record(i, citizenship=c) for i, c in enumerate(["UZ", "KZ", "RU"])]
    status, receipt = await service.post(ndjson(good[0], record(9, citizenship="ZZ"), good[1], good[2]))

    assert status == 207
    assert {name: receipt[name] for name in ("received", "accepted", "rejected", "retry")} == {
        "received": 4,
        "accepted": 3,
        "rejected": 1,
        "retry": 0,
    }
    assert [(i["index"], i["status"], i["code"], i["pointer"]) for i in receipt["items"]] == [
        (1, "rejected", "invalid_value", "/citizenship")
    ]
    log = await service.log()
    assert sorted(r.key for _, r in log) == [b"knb/c-0", b"knb/c-1", b"knb/c-2"]
    (stamp,) = {int(dict(event.headers)["stamped"]) for _, event in log}  # all of one sending say the same
    assert all(0 <= event.timestamp - stamp < 60_000 for _, event in log)
    for partition, event in log:
        assert partition == zlib.crc32(event.key) % 12
        assert [name for name, _ in event.headers] == ["schema", "stamped"]
        assert dict(event.headers)["schema"] == b"border-crossings/1"
        value = json.loads(event.value)
        assert list(value)[:5] == ["record_id", "version", "action", "occurred_at", "direction"]
        assert list(value)[-2:] == ["person", "pseudonym_key"]
        assert value["occurred_at"] == "2025-06-30T18:59:59.999Z"
        assert value["purpose"] == "unspecified"
        assert len(value["person"]) == 32


async def test_a_person_is_nowhere_but_in_the_request(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    bad = [record(1, checkpoint=PERSON.lower()), record(2, **{PERSON: 1}), record(3, person=PERSON * 9), record(4, version=PERSON)]
    _, receipt = await service.post(ndjson(record(0), *bad) + b'\n{"person": "' + PERSON.encode() + b'"')
    assert (receipt["accepted"], receipt["rejected"]) == (1, 5)
    async with service.session.get(service.url + "/metrics") as response:
        metrics = await response.text()
    written = [r.key + r.value for _, r in await service.log()] + [r.value for _, r in await service.log("rejections.v1", 1)]
    captured = capfd.readouterr()
    for text in (json.dumps(receipt), metrics, captured.out, captured.err, *(w.decode() for w in written)):
        assert PERSON.lower() not in text.lower()


async def test_refusals_are_summed_without_values_in_the_rejections_topic(service: Service) -> None:
    await service.post(ndjson(record(1, citizenship="ZZ"), record(2, mode="boat"), record(3, version=0), record(4)))
    [(_, note)] = await service.log("rejections.v1", 1)
    value = json.loads(note.value)
    assert note.key == b"knb/border-crossings"
    assert (value["agency"], value["received"], value["rejected"]) == ("knb", 4, 3)
    assert value["codes"] == {"invalid_value": 2, "out_of_range": 1}


async def test_every_format_and_packing_of_the_same_records_gives_the_same_log(service: Service) -> None:
    records = [record(i) for i in range(20)]
    columns = list(records[0])
    table = "\r\n".join([",".join(columns), *(",".join(str(r[c]) for c in columns) for r in records)]).encode()
    lines = ndjson(*records)
    bodies: list[tuple[bytes, str, dict[str, str]]] = [
        (lines, "application/x-ndjson", {}),
        (json.dumps(records).encode(), "application/json; charset=utf-8", {}),
        (table, "text/csv", {}),
        (gzip.compress(lines), "application/x-ndjson", {"Content-Encoding": "gzip"}),
        (zstandard.compress(table), "text/csv", {"Content-Encoding": "zstd"}),
    ]
    for body, media_type, headers in bodies:
        status, receipt = await service.post(body, media_type, **headers)
        assert (status, receipt["accepted"], receipt["items"]) == (207, 20, [])
    seen = [(p, r.key, r.value) for p, r in await service.log()]
    assert len(seen) == 100
    assert len(set(seen)) == 20


async def test_records_without_a_version_stand_in_the_log_in_the_order_of_receipt_and_without_one(service: Service) -> None:
    unversioned = record(1)
    del unversioned["version"]
    stops = [f"S-{i}" for i in range(6)]
    for i in (0, 2, 4):
        await service.post(ndjson(*(unversioned | {"checkpoint": stop} for stop in stops[i : i + 2])))
    events = [json.loads(r.value) for _, r in await service.log()]
    assert [event["checkpoint"] for event in events] == stops
    assert {event["version"] for event in events} == {0}


async def test_a_clock_that_goes_back_delays_no_answer_and_changes_no_order(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    unversioned = {k: v for k, v in record(1).items() if k != "version"}
    now = http._now_ms()
    for stop, hours in (("S-0", 0), ("S-1", 1), ("S-2", 2)):
        monkeypatch.setattr(http, "_now_ms", partial(int, now - hours * 3_600_000))
        async with asyncio.timeout(ONE_ID_SECONDS_MAX):
            await service.post(ndjson(unversioned | {"checkpoint": stop}))
    assert [json.loads(event.value)["checkpoint"] for _, event in await service.log()] == ["S-0", "S-1", "S-2"]


async def test_a_large_submission_of_one_id_without_versions_takes_no_longer_than_one_of_many(service: Service) -> None:
    """Nothing waits for a clock: it takes a second or two, the former twenty could not be hurried."""
    unversioned = {k: v for k, v in record(1).items() if k != "version"}
    async with asyncio.timeout(ONE_ID_SECONDS_MAX):
        _, receipt = await service.post(ndjson(*(unversioned | {"checkpoint": f"S-{i}"} for i in range(20_000))))
    assert receipt["accepted"] == 20_000
    assert [json.loads(r.value)["checkpoint"] for _, r in await service.log()] == [f"S-{i}" for i in range(20_000)]


async def test_a_withdrawal_needs_nothing_but_its_id_and_leaves_nothing_else_in_the_log(service: Service) -> None:
    body = ndjson({"record_id": "c-1", "version": 7, "action": "withdraw", "citizenship": "nonsense", "person": PERSON, "x": []})
    _, receipt = await service.post(body)
    assert receipt["accepted"] == 1
    [(_, event)] = await service.log()
    assert json.loads(event.value) == {"record_id": "c-1", "version": 7, "action": "withdraw"}


async def test_a_large_submission_is_stored_whole_and_in_order_per_partition(service: Service) -> None:
    body = ndjson(*(record(i % 100, version=i + 1, checkpoint=secrets.token_hex(8).upper()) for i in range(20_000)))
    _, receipt = await service.post(body)
    assert (receipt["accepted"], receipt["items"]) == (20_000, [])
    by_key: dict[bytes, list[int]] = {}
    for _, event in await service.log():
        by_key.setdefault(event.key, []).append(json.loads(event.value)["version"])
    assert sum(map(len, by_key.values())) == 20_000
    assert all(versions == sorted(versions) for versions in by_key.values())


async def test_a_body_that_is_too_large_is_answered_readably(service: Service) -> None:
    status, problem = await service.post(b"x" * (20 << 20))
    assert (status, problem["status"]) == (413, 413)
    status, problem = await service.post(gzip.compress(b"\0" * (200 << 20), 1), **{"Content-Encoding": "gzip"})
    assert (status, problem["status"]) == (413, 413)
    assert await service.log() == []


async def test_a_revoked_key_stops_working_at_once(service: Service) -> None:
    keys = ApiKeys(service.settings.api_keys_file)
    assert (await service.post(ndjson(record(1))))[0] == 207
    keys.revoke(keys.all()[0].id)
    assert (await service.post(ndjson(record(1))))[0] == 401


async def test_another_pseudonym_key_stops_ingest(stack_settings: Settings) -> None:
    stack_settings.pseudonym_key_file.write_bytes(secrets.token_bytes(32))
    context = ServiceContext(FEED.name, stack_settings)
    with pytest.raises(ConfigurationError, match="not the pseudonym key"):
        await serve_feed(context, FEED)
    await context.close()


async def test_a_lost_pseudonym_key_stops_ingest_and_no_new_one_is_made(stack_settings: Settings) -> None:
    stack_settings.pseudonym_key_file.unlink()
    context = ServiceContext(FEED.name, stack_settings)
    with pytest.raises(ConfigurationError, match="is missing"):
        await serve_feed(context, FEED)
    assert not stack_settings.pseudonym_key_file.exists()
    await context.close()


async def test_another_partition_count_is_refused(stack_settings: Settings) -> None:
    producer = EventProducer(stack_settings, "test", asyncio.Event())
    await producer.start()
    with pytest.raises(ConfigurationError, match="has 12 partitions, the contract says 4"):
        await producer.check_partitions(FEED.topic, 4)
    await producer.stop()


async def test_a_producer_whose_sequence_is_broken_is_replaced_and_goes_on(stack_settings: Settings) -> None:
    stopping = asyncio.Event()
    producer = EventProducer(stack_settings, "test", stopping)
    await producer.start()
    away, back = asyncio.Event(), asyncio.Event()

    def tell(trouble: str) -> None:
        if trouble:
            away.set()
        elif away.is_set():
            back.set()

    watching = asyncio.ensure_future(producer.watch(tell))
    event = (b"k", b"v")
    assert await producer.send(FEED.topic, [[event]], b"s") == [1]
    # The broker has seen sequence 1; the client skips some, as it does after a batch that was refused for good.
    transactions = producer._producer.client._txn_manager
    numbers = transactions._sequence_numbers
    numbers[next(tp for tp in numbers if tp.topic.endswith(FEED.topic))] += 5
    assert await producer.send(FEED.topic, [[event]], b"s") == [0]
    await back.wait()
    assert await producer.send(FEED.topic, [[event]], b"s") == [1]
    assert producer.in_flight_bytes == 0
    stopping.set()
    await watching
    await producer.stop()


@pytest.mark.parametrize("ahead", [SKEW_SECONDS_MAX + 30, -SKEW_SECONDS_MAX - 30])
async def test_while_the_clocks_of_edge_and_broker_differ_nothing_is_taken_and_then_it_goes_on_by_itself(
    stack_settings: Settings, ahead: float
) -> None:
    context, off = ServiceContext(FEED.name, stack_settings), 0.0
    running = asyncio.ensure_future(serve_feed(context, FEED, lambda: time.time() + off))

    async def until(holds: Callable[[], Awaitable[Any]]) -> Any:
        while not (found := await holds()):
            assert not running.done(), running.exception()
            await asyncio.sleep(0.05)
        return found

    async def health() -> str:
        async with session.get(service.url + "/health/ready") as response:
            return (await response.json())["reason"] if response.status == 503 else "ready"

    async def seen() -> float | None:
        return REGISTRY.get_sample_value("tolqyn_clock_skew_seconds", {"feed": FEED.name})

    async def probes(least: int) -> bool:
        return len([r for r in await kafka.read_to_end(stack_settings, "stack.v1") if r.key.startswith(b"clock/")]) >= least

    async with aiohttp.ClientSession() as session, asyncio.timeout(2 * READY_SECONDS_MAX):
        service = Service(stack_settings, session)
        await until(lambda: asyncio.sleep(0, context.ready))
        assert (await service.post(ndjson(record(1))))[0] == 207
        off = ahead
        status, receipt = await service.post(ndjson(record(2)))
        assert (status, receipt["accepted"]) == (207, 1), "this acknowledgement shows it"
        status, problem = await service.post(ndjson(record(3)))
        assert (status, "clock" in problem["detail"]) == (503, True)
        assert await seen() == pytest.approx(-ahead, abs=5)
        assert "clock" in await until(lambda: _not(health, "ready"))
        body = gzip.compress(ndjson(record(4)))
        dropped(stack_settings, "held", body, 1)
        receipt_path = stack_settings.outbox / "knb" / FEED.name / "held.receipt.json"
        await until(lambda: probes(3))  # the one at the start, and two rounds of looking for agreement
        assert {r.key for _, r in await service.log()} == {b"knb/c-1", b"knb/c-2"}
        assert not receipt_path.exists()
        off = 0.0
        assert await until(lambda: _not(health, APART)) == "ready"
        assert (await service.post(ndjson(record(3))))[0] == 207
        await until(lambda: asyncio.to_thread(receipt_path.exists))
        assert {r.key for _, r in await service.log()} == {f"knb/c-{i}".encode() for i in (1, 2, 3, 4)}
        assert await seen() == 0
    context.stopping.set()
    await running
    await context.close()


async def _not(what: Callable[[], Awaitable[str]], unwanted: str) -> str:
    """What it says, or nothing while it says what is not wanted."""
    said = await what()
    return "" if said == unwanted else said


def dropped(settings: Settings, name: str, body: bytes, records: int) -> None:
    """Put a packed file and then its manifest into the inbox."""
    folder = settings.inbox / "knb" / FEED.name
    folder.mkdir(parents=True)
    (folder / f"{name}.ndjson.gz").write_bytes(body)
    said = {"file": f"{name}.ndjson.gz", "sha256": hashlib.sha256(body).hexdigest(), "records": records}
    (folder / f"{name}.manifest.json").write_text(json.dumps(said))


def started(settings: Settings) -> "subprocess.Popen[bytes]":
    """The ingest service as a process of its own."""
    program = service_program(INGEST[0], settings, settings.listen_port)
    return subprocess.Popen(program.command, env=os.environ | program.env)


async def appears(path: Path, process: subprocess.Popen[bytes], after: int = -1) -> Any:
    """The JSON of a file of the outbox, once it is there (a progress: with more records received than `after`)."""
    async with asyncio.timeout(READY_SECONDS_MAX):
        while True:
            assert process.poll() is None
            found = json.loads(path.read_bytes()) if path.exists() else None
            if found is not None and (after < 0 or found["total"]["received"] > after):
                return found
            await asyncio.sleep(0.005)


async def test_a_file_whose_taking_is_killed_and_stopped_in_the_middle_counts_once(stack_settings: Settings) -> None:
    lines = [json.dumps({k: v for k, v in record(i).items() if k != "version"}).encode() for i in range(FILE_RECORDS)]
    lines[50_000] = b"torn"
    dropped(stack_settings, "june", gzip.compress(b"\n".join(lines), 1), FILE_RECORDS)
    answers = stack_settings.outbox / "knb" / FEED.name
    received = 0
    for end in (signal.SIGKILL, signal.SIGTERM, None):
        with started(stack_settings) as process:
            try:
                if end is None:
                    receipt = await appears(answers / "june.receipt.json", process)
                    process.terminate()
                    break
                received = (await appears(answers / ".june.progress.json", process, received))["total"]["received"]
                assert received < FILE_RECORDS
                process.send_signal(end)
                assert await asyncio.to_thread(process.wait, END_SECONDS_MAX) == (0 if end is signal.SIGTERM else -end)
                assert not (answers / "june.receipt.json").exists()
            finally:
                process.kill()

    assert [receipt[n] for n in ("received", "accepted", "rejected", "retry")] == [FILE_RECORDS, FILE_RECORDS - 1, 1, 0]
    rejects = (answers / "june.rejects.ndjson").read_text().splitlines()
    assert [json.loads(line) for line in rejects] == [{"index": 50_000, "code": "malformed_json", "pointer": ""}]
    counted = stands = 0
    for _, some in groupby(await whole_log(stack_settings, FEED.topic, 12), itemgetter(0)):
        log = [event for _, event in some]
        fold = PartitionFold(RULES[FEED.name])
        columns = zip(*((r.offset, r.timestamp, r.key, r.value, r.headers) for r in log), strict=True)
        effect = fold.fold(Records(*(list(column) for column in columns)))
        assert effect.dead == []
        assert effect.counted + effect.duplicate == len(log)
        assert len({(r.key, r.value) for r in log}) == effect.counted
        counted += effect.counted
        for sheet in map(json.loads, fold.all_sheets().values()):
            stands += sum(n for cell, n in zip(sheet["cells"], sheet["counts"], strict=True) if not cell.startswith("~"))
    assert counted == stands == FILE_RECORDS - 1
