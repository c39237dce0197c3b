"""How soon a correction, and live traffic, are in the published figures, with millions of records in the index behind them.

Everything runs as `tolqyn up` starts it. The log holds the crossings of the last seven months; live traffic is of the last two
days, one record in twenty of any earlier day. Time begins when the ingest service has acknowledged a record over HTTP and ends
when a consumer of `indicators.v1` holds the mark of a whole set that contains it: the changed figure itself for a correction, the
cut for live traffic.
"""

import argparse
import asyncio
import contextlib
import gc
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple
from zlib import crc32

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench import stack
from bench.events import SUBMISSION_RECORDS, Lines
from bench.topic import append
from services.shared.ingest.http import PATH
from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import MARK_KIND, Cut, Mark, is_behind
from services.shared.statistics.terms.calendar import day_label, local_day, quarter_label, quarter_of
from tools.stack import local

FEED = "border-crossings"
EVENTS, INDICATORS = f"events.{FEED}.v1", "indicators.v1"
STAGES = (f"tallies.{FEED}.v1", "aggregates.quarterly.v1", "estimates.informality.v1", INDICATORS)
INDEXED, INDEXED_QUICK = 20_000_000, 500_000
CORRECTIONS, CORRECTIONS_QUICK = 200, 30
LIVE_SECONDS, LIVE_SECONDS_QUICK = 60, 10
LIVE_RECORDS_PER_SECOND = 5_000
LIVE_CHUNK = 250  # a file of an agency's shift: twenty of them a second
PAUSE_SECONDS_MAX = 0.4  # between two corrections: at random, so that they meet every phase of tally's rounds of cuts
WAIT_SECONDS_MAX = 60.0
FILL_SECONDS_MAX = 600.0  # until twenty million records are folded: a minute or two where nobody else works
LATE_SHARE = 0.05  # of live traffic: records of earlier days, each of which moves some ninety rolling figures
SEED = 20250630

DAYS = 212  # seven months, to yesterday: twenty million crossings are two quarters and a third at the rate of 2025
# (citizenship, how often): who crosses. Forty countries, from 36 % down to a few in ten thousand.
LEADING = {"UZ": 360, "RU": 230, "KG": 220, "CN": 60, "TJ": 30, "IN": 20, "TR": 20, "DE": 8, "KR": 8, "AZ": 8, "BY": 6, "US": 6}
OTHERS = ("AE", "AM", "AT", "BD", "CZ", "EG", "ES", "FR", "GB", "GE", "GR", "HU", "IL", "IQ", "IR", "IT", "JP", "LT", "MD", "MN",
          "MY", "NL", "PK", "PL", "SA", "TH", "TM", "UA")  # fmt: skip
PURPOSES = ("business", "education", "employment", "private", "tourism", "transit")
KINDS = 200_000  # different combinations of day and fields that the records are drawn from


class Kind(NamedTuple):
    """All of a crossing but who sent it."""

    day: int
    direction: str
    country: str
    purpose: str

    def record(self, record_id: str, version: int) -> dict[str, Any]:
        """As the agency sends it."""
        return {
            "record_id": record_id, "version": version, "action": "record", "occurred_at": f"{day_label(self.day)}T12:00:00+05:00",
            "direction": self.direction, "citizenship": self.country, "counterpart": self.country, "purpose": self.purpose,
            "mode": "road", "checkpoint": "KZ-SARYAGASH", "person": f"N{record_id}",
        }  # fmt: skip

    def event_tail(self) -> bytes:
        """As it stands in the log, after the identifier."""
        event = self.record("", 1) | {"occurred_at": f"{day_label(self.day)}T07:00:00.000Z", "person": "0123456789abcdef" * 2}
        del event["record_id"]
        return orjson.dumps({**event, "pseudonym_key": "01234567"})[1:]

    @property
    def figure(self) -> str:
        """An entry of `indicators.v1` that counts it."""
        indicator = "ARRIVALS" if self.direction == "arrival" else "DEPARTURES"
        return f"Q.{indicator}.{self.country}._T._T._Z:{quarter_label(quarter_of(self.day))}"


def kinds() -> list[Kind]:
    """What the records of the log are drawn from; the same but for the days, which end yesterday."""
    rng = random.Random(SEED)
    countries, last = [*LEADING, *OTHERS], local_day(int(time.time() * 1000)) - 1
    drawn = rng.choices(countries, [*LEADING.values(), *(1 for _ in OTHERS)], k=KINDS)
    return [Kind(last - rng.randrange(DAYS), rng.choice(("arrival", "departure")), c, rng.choice(PURPOSES)) for c in drawn]


def kind_of(number: int) -> int:
    """Which kind record `number` of the log is of: neighbours lie on different days."""
    return number * 7919 % KINDS


def submissions(records: int, all_kinds: list[Kind]) -> Iterator[Lines]:
    """The first versions of records 0 to `records`, as the ingest service would write them."""
    tails = [kind.event_tail() for kind in all_kinds]
    for first in range(0, records, SUBMISSION_RECORDS):
        numbers = range(first, min(first + SUBMISSION_RECORDS, records))
        values = [b'{"record_id":"B%08d",%b' % (number, tails[kind_of(number)]) for number in numbers]
        yield Lines([b"local/B%08d" % number for number in numbers], values)


class Tail:
    """Reads the ledgers of all stages as they are written, and lets others wait for what they must say."""

    def __init__(self, settings: Settings) -> None:
        self._consumer: AIOKafkaConsumer = kafka.consumer(settings, "bench-tail")
        self._plain = {settings.topic(topic): topic for topic in STAGES}
        self.figures: dict[str, float] = {}  # `indicators.v1`, as of its newest mark
        self._unmarked: dict[str, float | None] = {}
        self.cut: Cut = {}
        self.marks: dict[str, list[tuple[float, Cut]]] = defaultdict(list)  # by stage: when a mark was read, its cut
        self.changes: list[int] = []  # by publication
        self.news = asyncio.Condition()

    async def start(self) -> None:
        await self._consumer.start()
        counts = {topic: load_topics()[topic].partitions for topic in STAGES}
        tps = [TopicPartition(name, p) for name, plain in self._plain.items() for p in range(counts[plain])]
        self._consumer.assign(tps)
        await self._consumer.seek_to_beginning(*tps)

    async def stop(self) -> None:
        await self._consumer.stop()

    async def run(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=1000)
            at = time.monotonic()
            async with self.news:
                for tp, records in batches.items():
                    for record in records:
                        self._take(self._plain[tp.topic], record.key.decode(), record.value, dict(record.headers).get("kind"), at)
                self.news.notify_all()

    def _take(self, topic: str, key: str, value: bytes | None, kind: bytes | None, at: float) -> None:
        if kind == MARK_KIND and value is not None:
            cut = Mark.from_bytes(value).cut
            self.marks[topic].append((at, cut))
            if topic == INDICATORS:
                self._adopt(cut)
        elif topic == INDICATORS:
            self._unmarked[key] = None if value is None else orjson.loads(value)["OBS_VALUE"]

    def _adopt(self, cut: Cut) -> None:
        self.cut = cut
        self.changes.append(len(self._unmarked))
        for key, value in self._unmarked.items():
            if value is None:
                self.figures.pop(key, None)
            else:
                self.figures[key] = value
        self._unmarked = {}

    async def until_figure(self, figure: str, value: float) -> float:
        """When a whole set said so."""
        async with asyncio.timeout(WAIT_SECONDS_MAX), self.news:
            await self.news.wait_for(lambda: self.figures.get(figure) == value)
        return self.marks[INDICATORS][-1][0]

    async def until_cut(self, cut: Cut, seconds_max: float) -> float:
        """When a whole set contained all before `cut`."""
        async with asyncio.timeout(seconds_max), self.news:
            await self.news.wait_for(lambda: not is_behind(self.cut, cut))
        return self.marks[INDICATORS][-1][0]

    def stage_times(self, cut: Cut) -> list[float]:
        """When each stage's ledger had first been marked at this cut of one or several partitions, in the stages' order."""
        return [max(self._first_mark(stage, name, offset) for name, offset in cut.items()) for stage in STAGES]

    def _first_mark(self, stage: str, name: str, offset: int) -> float:
        return next(at for at, marked in self.marks[stage] if marked.get(name, -1) >= offset)


class Sender:
    """Submits records over HTTP, as an agency does."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._session, self._url = session, stack.service_url(settings, FEED) + PATH
        self._headers = {"Authorization": f"Bearer {local.api_key(FEED)}", "Content-Type": "application/x-ndjson"}

    async def send(self, records: list[dict[str, Any]]) -> float:
        """When all of them were acknowledged; what the log did not take in time is sent again."""
        lines = [orjson.dumps(record) for record in records]
        while lines:
            async with self._session.post(self._url, data=b"\n".join(lines), headers=self._headers) as response:
                receipt = orjson.loads(await response.read())
            assert not receipt["rejected"], receipt["items"][0]
            lines = [lines[item["index"]] for item in receipt["items"]]
        return time.monotonic()


async def correct(tail: Tail, sender: Sender, ends: "Ends", all_kinds: list[Kind], indexed: int, count: int) -> dict[str, Any]:
    """Seconds of `count` corrections, one after the other, of records drawn at random."""
    rng = random.Random(SEED)
    versions: dict[int, int] = defaultdict(lambda: 1)
    seconds, ways, began = [], [], len(tail.changes)
    for _ in range(count):
        await asyncio.sleep(rng.random() * PAUSE_SECONDS_MAX)
        number = rng.randrange(indexed)
        while number in versions:
            number = rng.randrange(indexed)
        versions[number] += 1
        old = all_kinds[kind_of(number)]
        new = old._replace(country=rng.choice([c for c in LEADING if c != old.country]))
        wanted = tail.figures.get(new.figure, 0) + 1
        record_id = f"B{number:08d}"
        acked = await sender.send([new.record(record_id, versions[number])])
        partition = crc32(b"local/" + record_id.encode()) % load_topics()[EVENTS].partitions
        seconds.append(await tail.until_figure(new.figure, wanted) - acked)
        cut = {f"{FEED}/{partition}": (await ends.now())[f"{FEED}/{partition}"]}
        ways.append([at - acked for at in tail.stage_times(cut)])
    result = summary(seconds) | {"indexed": indexed}
    print(f"  correction of one record at {indexed:,} indexed: {described(result)}")
    _print_ways(ways)
    changes = tail.changes[began:]
    print(f"    figures changed by a publication: median {quantile(changes, 0.5):.0f}, most {max(changes)}")
    return result


def _print_ways(ways: list[list[float]]) -> None:
    parts = []
    for stage, column in zip(STAGES, zip(*ways, strict=True), strict=True):
        parts.append(f"{stage.split('.')[0]} {quantile(list(column), 0.5):.3f} / {quantile(list(column), 0.99):.3f}")
    print(f"    to the mark of each stage (median / p99): {'; '.join(parts)}")


class Ends:
    """Where the event log ends."""

    def __init__(self, settings: Settings) -> None:
        self._consumer: AIOKafkaConsumer = kafka.consumer(settings, "bench-ends")
        self._tps = [TopicPartition(settings.topic(EVENTS), p) for p in range(load_topics()[EVENTS].partitions)]

    async def start(self) -> None:
        await self._consumer.start()

    async def stop(self) -> None:
        await self._consumer.stop()

    async def now(self) -> Cut:
        found = await self._consumer.end_offsets(self._tps)
        return {f"{FEED}/{tp.partition}": offset for tp, offset in found.items()}


async def flow(tail: Tail, sender: Sender, ends: Ends, all_kinds: list[Kind], duration: float) -> dict[str, Any]:
    """Seconds from the acknowledgement of each submission to its publication, at a steady rate."""
    rng = random.Random(SEED)
    waits: list[asyncio.Task[list[float]]] = []
    newest = max(kind.day for kind in all_kinds)
    fresh = [kind for kind in all_kinds if kind.day >= newest - 1]
    every, chunks = LIVE_CHUNK / LIVE_RECORDS_PER_SECOND, round(duration * LIVE_RECORDS_PER_SECOND / LIVE_CHUNK)
    began = time.monotonic()
    for chunk in range(chunks):
        await asyncio.sleep(max(0.0, began + chunk * every - time.monotonic()))
        drawn = [rng.choice(all_kinds if rng.random() < LATE_SHARE else fresh) for _ in range(LIVE_CHUNK)]
        records = [kind.record(f"L{chunk * LIVE_CHUNK + i:08d}", 1) for i, kind in enumerate(drawn)]
        waits.append(asyncio.create_task(_one_chunk(tail, sender, ends, records)))
    sent = time.monotonic() - began
    ways = await asyncio.gather(*waits)
    result = summary([way[-1] for way in ways]) | {"records_per_second": round(chunks * LIVE_CHUNK / sent)}
    print(f"  live traffic, {result['records_per_second']:,} records/s for {sent:.0f} s: {described(result)}")
    _print_ways(ways)
    return result


async def _one_chunk(tail: Tail, sender: Sender, ends: Ends, records: list[dict[str, Any]]) -> list[float]:
    """Seconds from the acknowledgement to each stage's mark."""
    acked = await sender.send(records)
    cut = await ends.now()
    await tail.until_cut(cut, WAIT_SECONDS_MAX)
    return [at - acked for at in tail.stage_times(cut)]


def quantile(values: list[Any], share: float) -> float:
    """The value that `share` of them do not exceed."""
    return float(sorted(values)[min(len(values) - 1, int(share * len(values)))])


def summary(seconds: list[float]) -> dict[str, Any]:
    shares = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    return {name: round(quantile(seconds, share), 3) for name, share in shares} | {"n": len(seconds)}


def described(result: dict[str, Any]) -> str:
    return f"p50 {result['p50']:.2f} s, p99 {result['p99']:.2f} s, most {result['max']:.2f} s, of {result['n']}"


async def _fill(settings: Settings, indexed: int, all_kinds: list[Kind]) -> None:
    """Append the log that the index is made of; returns when the broker has it, tally is still folding."""
    began = time.monotonic()
    gc.disable()  # millions of short-lived objects without cycles: the collector would take half of the time
    try:
        await append(settings, submissions(indexed, all_kinds))
    finally:
        gc.enable()
    print(f"  {indexed:,} records appended in {time.monotonic() - began:.0f} s")


async def _measured(settings: Settings, indexed: int, all_kinds: list[Kind], quick: bool) -> dict[str, Any]:
    """Corrections and live traffic on a stack whose log has the records already, from when they are published."""
    tail, ends = Tail(settings), Ends(settings)
    began = time.monotonic()
    await ends.start()
    await tail.start()
    reading = asyncio.create_task(tail.run())
    try:
        await tail.until_cut(await ends.now(), FILL_SECONDS_MAX)
        print(f"  published {time.monotonic() - began:.0f} s after that")
        async with aiohttp.ClientSession() as session:
            sender = Sender(settings, session)
            before = stack.cpu_seconds(settings)
            corrections = await correct(tail, sender, ends, all_kinds, indexed, CORRECTIONS_QUICK if quick else CORRECTIONS)
            _print_cpu(settings, before)
            before = stack.cpu_seconds(settings)
            live = await flow(tail, sender, ends, all_kinds, LIVE_SECONDS_QUICK if quick else LIVE_SECONDS)
            _print_cpu(settings, before)
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await tail.stop()
        await ends.stop()
    return {"correction_seconds": corrections, "live_seconds": live}


def _print_cpu(settings: Settings, before: dict[str, float]) -> None:
    used = {name: now - before.get(name, 0.0) for name, now in stack.cpu_seconds(settings).items()}
    most = sorted(used.items(), key=lambda item: -item[1])[:7]
    print("    CPU seconds of that: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in most))


def measure(quick: bool) -> dict[str, Any]:
    """{"correction_seconds": {p50, p99, max, n, indexed}, "live_seconds": {p50, p99, max, n, records_per_second}}."""
    print("Corrections and live traffic, from the acknowledgement to indicators.v1")
    indexed, all_kinds = INDEXED_QUICK if quick else INDEXED, kinds()
    with stack.running() as settings:
        before = stack.cpu_seconds(settings)
        asyncio.run(_fill(settings, indexed, all_kinds))
        _print_cpu(settings, before)
        return asyncio.run(_measured(settings, indexed, all_kinds, quick))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small index, few corrections")
    measure(parser.parse_args().quick)


if __name__ == "__main__":
    main()
