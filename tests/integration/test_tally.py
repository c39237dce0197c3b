"""The tally process on a real broker: killed, robbed of its state, fed poison, its sheets are what the log says.

The oracle reads the log itself, record by record, and applies the words of the contract.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from functools import partial
from operator import ne
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.kafka.dead_letters import Letter, open_letters
from services.shared.runtime.kafka.ledger import LedgerFollower
from services.shared.runtime.kafka.redrive import redrive
from services.shared.runtime.kafka.topics import ensure_topics
from services.shared.runtime.process.settings import Settings
from services.tally.run_store import RunStore
from tools.stack.embedded.ports import free_port

FEED, PARTITIONS = "work-permits", 4
EVENTS, SHEETS = f"events.{FEED}.v1", f"tallies.{FEED}.v1"
FOLD = 3
SECONDS_MAX = 60.0  # a start takes two seconds, a cut half of one; a machine that does much else gets a minute
HEADERS = [("schema", f"{FEED}/1".encode())]

Sheet = dict[str, dict[str, int]]  # {"counts": {cell: n}, "ended": {cell: n}}
Sheets = dict[tuple[int, str], Sheet]  # by partition and day


# --- events, and what they come to -------------------------------------------------------------------------------------------


def permit(number: int, version: int = 1, **fields: Any) -> dict[str, Any]:
    """A permit as the log carries it."""
    return {
        "record_id": f"p-{number}", "version": version, "action": "record", "citizenship": "CN", "category": "1",
        "region": "KZ-75", "sector": "F", "valid_from": "2025-03-01", "valid_to": "2025-06-30", "employer": "0" * 32,
    } | fields  # fmt: skip


def some_permits(rng: random.Random, count: int, keys: int) -> list[dict[str, Any]]:
    """Permits of few keys in many versions, or without: corrected, revoked, withdrawn, repeated, in conflict, late."""
    found = []
    for _ in range(count):
        number, version = rng.randrange(keys), max(0, rng.randrange(-3, 6))
        if rng.random() < 0.1:
            found.append({"record_id": f"p-{number}", "version": version, "action": "withdraw"})
            continue
        first = date(2024, 12, 1) + timedelta(days=rng.randrange(120))
        fields = {
            "citizenship": rng.choice(["CN", "UZ", "IN", "TR"]),
            "category": rng.choice(["1", "2", "seasonal"]),
            "valid_from": first.isoformat(),
            "valid_to": (first + timedelta(days=rng.randrange(200))).isoformat(),
        }
        if rng.random() < 0.2:
            fields["revoked_on"] = (first + timedelta(days=rng.randrange(-5, 100))).isoformat()
        found.append(permit(number, version, **fields))
    return found


def content(event: dict[str, Any]) -> tuple[str, date, date] | None:
    """(cell, first day, first day no longer in force); None for a withdrawal."""
    if event["action"] == "withdraw":
        return None
    first = date.fromisoformat(event["valid_from"])
    last = date.fromisoformat(event["valid_to"]) + timedelta(days=1)
    if "revoked_on" in event:
        last = min(last, date.fromisoformat(event["revoked_on"]))
    return f"{event['citizenship']}|{event['category']}", first, max(first, last)


def late(record: Any, day: date) -> int:
    """How many local days after a day the broker appended the record."""
    appended = datetime.fromtimestamp(record.timestamp / 1000, ZoneInfo("Asia/Almaty")).date()
    return max(0, min(60, (appended - day).days))


class Log:
    """What is in the log, as the broker gives it back."""

    def __init__(self) -> None:
        self.ends: dict[int, int] = {}
        self.sheets: Sheets = {}
        self.conflicts: list[tuple[int, int]] = []  # (partition, offset)

    @classmethod
    async def read(cls, settings: Settings, unreadable: frozenset[tuple[int, int]] = frozenset()) -> "Log":
        log = cls()
        for partition in range(PARTITIONS):
            records = await kafka.read_to_end(settings, EVENTS, partition)
            log.ends[partition] = len(records)
            log._count(partition, [r for r in records if (partition, r.offset) not in unreadable])
        return log

    def _count(self, partition: int, records: list[Any]) -> None:
        state: dict[bytes, tuple[int, tuple[str, date, date] | None]] = {}
        days: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: {"counts": Counter(), "ended": Counter()})
        for record in records:
            event = json.loads(record.value)
            version, known = event["version"], state.get(record.key, (-1, None))
            new, old = content(event), known[1]
            if version > known[0] or version == known[0] == 0:
                state[record.key] = (version, new)
                for one, step in ((new, 1), (old, -1)):
                    if one is not None:
                        days[one[1].isoformat()]["counts"][f"~delay|permits_issued|{late(record, one[1])}"] += step
                if old is not None and old != new:
                    days[old[1].isoformat()]["counts"][f"~{'corrected' if new else 'withdrawn'}|permits_issued"] += 1
            elif version == known[0] and new != old:
                self.conflicts.append((partition, record.offset))
                refused = new or old
                assert refused is not None
                days[refused[1].isoformat()]["counts"]["~conflict|permits_issued"] += 1
        for _, counted in state.values():
            if counted is not None:
                cell, first, last = counted
                days[first.isoformat()]["counts"][cell] += 1
                days[last.isoformat()]["ended"][cell] += 1
        for day, sheet in days.items():
            found = {name: {cell: n for cell, n in counts.items() if n} for name, counts in sheet.items()}
            if any(found.values()):
                self.sheets[partition, day] = found


# --- the process, and what it hands on ---------------------------------------------------------------------------------------


@pytest.fixture
async def stack(broker: str, topic_prefix: str, home: Path) -> Settings:
    """Settings of a stack whose topics are there and empty."""
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
    return settings


class Tally:
    """The tally of one stack as a process of its own, that can be killed and started again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log_path = settings.home / "tally.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> None:
        settings = self.settings
        environment = (
            os.environ
            | variables
            | {
                "TOLQYN_HOME": str(settings.home),
                "TOLQYN_PREFIX": settings.prefix,
                "TOLQYN_LISTEN_PORT": str(settings.listen_port),
                "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
                "TOLQYN_FEED": FEED,
                "TOLQYN_INSTANCE": "one",
            }
        )
        with self.log_path.open("ab") as output:
            self._process = subprocess.Popen([sys.executable, "-P", "-m", "services.tally"], env=environment, stderr=output)

    def end(self, number: signal.Signals) -> int:
        """Send the signal, wait for the end; the exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    async def ended(self) -> int:
        """Wait until it has ended by itself; the exit code."""
        process, self._process = self._process, None
        assert process is not None
        return await asyncio.to_thread(process.wait, SECONDS_MAX)

    def check(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self.log_path.read_text("utf-8")

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        url = f"http://127.0.0.1:{self.settings.listen_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))

    def folder(self, partition: int) -> Path:
        return self.settings.state_dir / FEED / str(partition)


@pytest.fixture
def tally(stack: Settings) -> Iterator[Tally]:
    one = Tally(stack)
    yield one
    one.end(signal.SIGKILL)


class View:
    """What a follower of the sheets has adopted so far."""

    def __init__(self) -> None:
        self.cuts: dict[int, int] = {}
        self.sheets: Sheets = {}

    def at(self, log: Log) -> bool:
        return all(self.cuts.get(p, -1) >= end for p, end in log.ends.items())


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[View]:
    stopping, view = asyncio.Event(), View()
    follower = LedgerFollower(settings, [SHEETS], FOLD)
    await follower.start(stopping)

    async def follow() -> None:
        async for adoptions in follower.adoptions(stopping):
            for adoption in adoptions:
                view.cuts[adoption.partition] = adoption.mark.cut[f"{FEED}/{adoption.partition}"]
                for day, value in adoption.changes.items():
                    take(view.sheets, (adoption.partition, day), value)

    task = asyncio.ensure_future(follow())
    try:
        yield view
        assert not task.done(), task.exception()
    finally:
        stopping.set()
        await task
        await follower.stop()


def take(sheets: Sheets, place: tuple[int, str], value: bytes | None) -> None:
    if value is None:
        sheets.pop(place, None)
        return
    body = json.loads(value)
    assert body["day"] == place[1]
    names = ("counts", "ended")
    sheets[place] = {n: {c: x for c, x in zip(body["cells"], body.get(n, []), strict=False) if x} for n in names}


async def until(holds: Callable[[], bool], tally: Tally) -> None:
    """Wait until something holds; fail at once when the process ends."""
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():
            tally.check()
            await asyncio.sleep(0.01)


async def settled(tally: Tally, unreadable: frozenset[tuple[int, int]] = frozenset()) -> Log:
    """Wait until the sheets are those of all that is in the log; a follower that starts now has them too."""
    log = await Log.read(tally.settings, unreadable)
    async with following(tally.settings) as view:
        await until(lambda: view.at(log), tally)
        assert view.sheets == log.sheets
    return log


@asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    client = kafka.producer(settings, "test")
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def produce(
    client: AIOKafkaProducer, settings: Settings, events: list[dict[str, Any]], headers: list[tuple[str, bytes]] = HEADERS
) -> None:
    acks = []
    for event in events:
        key = f"mol/{event['record_id']}".encode()
        partition = int(event["record_id"].partition("-")[2]) % PARTITIONS
        value = json.dumps(event).encode()
        acks.append(await client.send(settings.topic(EVENTS), value, key, partition=partition, headers=headers))
    await asyncio.gather(*acks)


# --- tests -------------------------------------------------------------------------------------------------------------------


async def test_killed_again_and_again_the_sheets_are_what_the_log_says(stack: Settings, tally: Tally) -> None:
    rng = random.Random(11)
    async with producing(stack) as client, following(stack) as watching:
        for _ in range(3):
            tally.start()
            for _ in range(4):
                await produce(client, stack, some_permits(rng, 400, 300))
            seen = dict(watching.cuts)
            await until(partial(ne, watching.cuts, seen), tally)  # a cut went through, the next are on their way
            await produce(client, stack, some_permits(rng, 400, 300))
            assert tally.end(signal.SIGKILL) == -signal.SIGKILL
        tally.start()
        log = await settled(tally)
        await until(lambda: watching.at(log), tally)
        assert watching.sheets == log.sheets, "who followed all the time has the same"
    assert log.conflicts
    assert set(log.conflicts) == {(x.origin_partition, x.origin_offset) for x in await open_letters(stack)}


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def run_file(folder: Path) -> Path:
    return max(folder.glob("*.run"), key=lambda path: path.stat().st_size)


DAMAGES: dict[str, tuple[Callable[[Path], None], int]] = {
    # what happens to one partition's folder, and how many partitions then know that their state is lost
    "none": (lambda _: None, 0),
    "a run file truncated": (lambda folder: truncate(run_file(folder)), 1),
    "a bit of a run file flipped": (lambda folder: flip(run_file(folder)), 1),
    "a run file gone": (lambda folder: run_file(folder).unlink(), 1),
    "the manifest torn": (lambda folder: truncate(folder / "manifest.json"), 1),
    "the manifest gone": (lambda folder: (folder / "manifest.json").unlink(), 0),
    "everything gone": (lambda folder: shutil.rmtree(folder.parent), 0),
}


async def test_whatever_happens_to_the_saved_state_the_sheets_are_what_the_log_says(stack: Settings, tally: Tally) -> None:
    rng = random.Random(12)
    async with producing(stack) as client:
        await produce(client, stack, some_permits(rng, 2000, 400))
        tally.start()
        await settled(tally)
        for name, (damage, discarded) in DAMAGES.items():
            assert tally.end(signal.SIGTERM) == 0
            damage(tally.folder(2))
            await produce(client, stack, some_permits(rng, 50, 400))
            tally.start()
            await settled(tally)
            assert await tally.metric("tolqyn_tally_state_discarded_total") == discarded, name


async def test_state_of_another_log_is_not_built_upon(stack: Settings, tally: Tally) -> None:
    other = Settings.from_env(
        {
            "TOLQYN_HOME": str(stack.home),
            "TOLQYN_LISTEN_PORT": str(stack.listen_port),
            "TOLQYN_PREFIX": stack.prefix + "other.",
            "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        }
    )
    await ensure_topics(other)
    async with producing(stack) as client:
        await produce(client, stack, [permit(i) for i in range(40)])
        await produce(client, other, [permit(i, citizenship="UZ") for i in range(80)])  # longer: the offset alone does not tell
    tally.start()
    await settled(tally)
    tally.end(signal.SIGTERM)
    tally.settings = other
    tally.start()
    await settled(tally)
    assert await tally.metric("tolqyn_tally_state_discarded_total") == PARTITIONS


async def test_poison_in_the_topic_is_set_aside_with_its_reason_and_costs_no_good_record(stack: Settings, tally: Tally) -> None:
    good = json.dumps(permit(0)).encode()
    poison: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]], str]] = [
        (b"mol/x-1", b"not json at all", HEADERS, "malformed_json"),
        (b"mol/x-2", good[:-3], HEADERS, "malformed_json"),
        (b"mol/x-3", None, HEADERS, "no_value"),
        (None, good, HEADERS, "no_key"),
        (b"mol/x-5", good, [], "unknown_schema"),
        (b"mol/x-6", good, [("schema", b"border-crossings/1")], "unknown_schema"),
        (b"mol/x-7", good, [("schema", b"work-permits/2")], "newer_schema"),
        (b"mol/x-8", json.dumps(permit(8, valid_from="2025-02-29")).encode(), HEADERS, "invalid_record"),
        (b"mol/x-9", json.dumps(permit(9, category="9")).encode(), HEADERS, "invalid_record"),
        (b"mol/x-10", b'{"record_id":"x-10","version":1}', HEADERS, "invalid_record"),
    ]
    tally.start()
    expected: dict[tuple[int, int], str] = {}
    async with producing(stack) as client:
        for i, (key, value, headers, reason) in enumerate(poison):
            sent = await client.send_and_wait(stack.topic(EVENTS), value, key, partition=1, headers=headers)
            expected[1, sent.offset] = reason
            await produce(client, stack, [permit(4 * i + 1), permit(4 * i + 2)])
        conflict = json.dumps(permit(1, citizenship="IN")).encode()
        sent = await client.send_and_wait(stack.topic(EVENTS), conflict, b"mol/p-1", partition=1, headers=HEADERS)
    log = await settled(tally, frozenset(expected))
    assert log.conflicts == [(1, sent.offset)]
    counted = sum(n for sheet in log.sheets.values() for cell, n in sheet["counts"].items() if not cell.startswith("~"))
    assert counted == 2 * len(poison)
    letters = {(x.origin_partition, x.origin_offset): x for x in await open_letters(stack)}
    assert {place: x.reason for place, x in letters.items()} == {**expected, (1, sent.offset): "version_conflict"}
    for place, (key, value, headers, _) in zip(expected, poison, strict=True):
        letter = letters[place]
        assert letter.origin_topic == stack.topic(EVENTS)
        assert (letter.key, letter.value, list(letter.headers)) == (key or b"", value or b"", headers), "the whole record"
    await check_redriving(tally, letters, expected)


async def test_a_record_too_large_for_a_letter_is_set_aside_without_its_value(stack: Settings, tally: Tally) -> None:
    huge = b'{"x":"' + b"0" * (17 << 20)
    packed = AIOKafkaProducer(bootstrap_servers=stack.broker(), max_request_size=64 << 20, compression_type="gzip")
    await packed.start()
    try:
        sent = await packed.send_and_wait(stack.topic(EVENTS), huge, b"mol/x", partition=1, headers=HEADERS)
    finally:
        await packed.stop()
    async with producing(stack) as client:
        await produce(client, stack, [permit(1), permit(2)])
    tally.start()
    await settled(tally, frozenset({(1, sent.offset)}))
    (letter,) = await open_letters(stack)
    assert (letter.origin_partition, letter.origin_offset, letter.reason) == (1, sent.offset, "malformed_json")
    assert (letter.value, letter.key, letter.left_out) == (b"", b"", len(huge) + len(b"mol/x") + len("schema") + len(HEADERS[0][1]))
    await redrive(stack, [letter])
    assert await open_letters(stack) == [letter], "it stays: there is nothing to append"


async def check_redriving(tally: Tally, letters: dict[tuple[int, int], Letter], known: dict[tuple[int, int], str]) -> None:
    """A letter that is redriven is closed; what is still bad comes back as a new one, and no figure moves."""
    place = next(iter(known))
    await redrive(tally.settings, [letters[place]])
    ends = (await kafka.end_offsets(tally.settings, [EVENTS]))[EVENTS]
    again = (1, ends[1] - 1)
    await settled(tally, frozenset({*known, again}))
    now = {(x.origin_partition, x.origin_offset): x.reason for x in await open_letters(tally.settings)}
    assert place not in now
    assert now[again] == known[place]


async def test_a_redriven_record_without_a_version_takes_no_later_one_s_place(stack: Settings, tally: Tally) -> None:
    newer = [("schema", f"{FEED}/2".encode())]
    topic = stack.topic(EVENTS)

    async def send(client: Any, name: str, citizenship: str, headers: Any = HEADERS) -> int:
        value = json.dumps(permit(0, 0, citizenship=citizenship) | {"record_id": name}).encode()
        return int((await client.send_and_wait(topic, value, f"mol/{name}".encode(), partition=1, headers=headers)).offset)

    tally.start()
    async with producing(stack) as client:
        overtaken = await send(client, "a", "IN", newer)
        await send(client, "a", "CN")
        first, second = await send(client, "b", "IN", newer), await send(client, "b", "TR", newer)
        alone = await send(client, "c", "UZ", newer)
    await settled(tally, frozenset((1, offset) for offset in (overtaken, first, second, alone)))
    # Mended: they now come with a schema that is understood.
    letters = [letter._replace(headers=tuple(HEADERS)) for letter in await open_letters(stack)]
    assert [letter.origin_offset for letter in letters] == [overtaken, first, second, alone]
    done = await redrive(stack, letters[1:2])  # cut short after the first of two of one record
    assert [letter.origin_offset for letter in done.append] == [first]
    done = await redrive(stack, [letters[3], letters[0], letters[2]])
    assert [letter.origin_offset for letter in done.append] == [second, alone]
    assert [letter.origin_offset for letter in done.overtaken] == [overtaken]
    assert await open_letters(stack) == []
    log = await settled(tally, frozenset((1, offset) for offset in (overtaken, first, second, alone)))
    standing = Counter[str]()
    for sheet in log.sheets.values():
        standing.update({cell: n for cell, n in sheet["counts"].items() if not cell.startswith("~")})
    assert standing == {"CN|1": 1, "TR|1": 1, "UZ|1": 1}
    await redrive(stack, [letters[1]])  # again: what it was before is known
    assert (await settled(tally, frozenset((1, offset) for offset in (overtaken, first, second, alone)))).sheets == log.sheets


async def test_an_old_build_stops_at_records_of_a_newer_schema_before_it_sets_them_aside(stack: Settings, tally: Tally) -> None:
    newer = [("schema", f"{FEED}/2".encode())]
    async with producing(stack) as client:
        await produce(client, stack, [permit(i) for i in range(400)])
        tally.start()
        await settled(tally)
        tally.end(signal.SIGKILL)
        await produce(client, stack, [permit(i, version=2) for i in range(3000)], newer)
    for starts in (1, 2):
        tally.start()
        assert await tally.ended() == 78
        last = json.loads(tally.log_path.read_text("utf-8").splitlines()[-1])
        assert "cannot be read (newer_schema): this is not the build for this log" in last["message"]
        # 400 good ones and fewer than 600 of the others are too few to tell; the next start may begin with another partition.
        assert len(await open_letters(stack)) < 600 * starts
    tally.start(TOLQYN_SET_ASIDE_ALL="1")  # a person has decided
    newer_ones = frozenset((p, offset) for p in range(PARTITIONS) for offset in range(100, 850))
    await settled(tally, newer_ones)
    assert {(x.origin_partition, x.origin_offset) for x in await open_letters(stack)} == newer_ones


async def test_a_state_folder_that_another_process_holds_is_left_alone(stack: Settings, tally: Tally) -> None:
    holder = RunStore(tally.folder(0))
    holder.open()
    try:
        async with producing(stack) as client:
            await produce(client, stack, some_permits(random.Random(13), 200, 50))
        tally.start()
        await settled(tally)
        assert [path.name for path in tally.folder(0).iterdir()] == ["lock"]
        assert (stack.state_dir / FEED / "0.1" / "manifest.json").exists()
    finally:
        holder.close()


async def test_a_log_that_lost_its_beginning_stops_tally_with_a_clear_line(stack: Settings, tally: Tally) -> None:
    from aiokafka import TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

    async with producing(stack) as client:
        await produce(client, stack, [permit(i) for i in range(8)])
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(stack.topic(EVENTS), 3): RecordsToDelete(before_offset=1)})
    finally:
        await admin.close()
    tally.start()
    assert await tally.ended() == 78
    assert "lost its beginning" in tally.log_path.read_text("utf-8").splitlines()[-1]
