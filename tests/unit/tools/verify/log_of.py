"""Small logs written by hand, what verify makes of them, and what the engine makes of them."""

import json
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from schemas.indicators import units
from services.shared.feeds.catalogue import RULES
from services.shared.runtime.kafka.topics import load_topics
from services.shared.statistics.aggregation.aggregates import Aggregates
from services.shared.statistics.estimation.informality import MEASURES, estimates
from services.shared.statistics.estimation.open_quarter import nowcasts
from services.shared.statistics.exchange.observation import Observation
from services.shared.statistics.exchange.records import Headers, Records
from services.shared.statistics.publication.indicators import observations
from services.tally.partition import PartitionFold
from tools.verify.raw import RawPartition
from tools.verify.recount import Figures, Recount

PARTITIONS = {feed: topic.partitions for feed in RULES for name, topic in load_topics().items() if name == f"events.{feed}.v1"}
APPENDED = 1_751_340_000_000  # 2025-07-01 03:20 UTC: the second quarter of 2025 is past, the third is open and has no past day

CROSSING: dict[str, Any] = {
    "action": "record", "occurred_at": "2025-05-01T10:00:00.000Z", "direction": "arrival", "citizenship": "UZ",
    "counterpart": "UZ", "purpose": "employment", "mode": "road", "checkpoint": "KZ-1",
}  # fmt: skip
PERMIT: dict[str, Any] = {
    "action": "record", "citizenship": "CN", "category": "2", "region": "KZ-75", "sector": "F",
    "valid_from": "2025-01-10", "valid_to": "2025-06-30", "employer": "0" * 32, "pseudonym_key": "0" * 8,
}  # fmt: skip
ENROLMENT: dict[str, Any] = {
    "action": "record", "citizenship": "IN", "institution": "MGU-ASTANA", "branch_of": "RU", "level": "bachelor", "field": "09",
    "enrolled_on": "2024-09-01",
}  # fmt: skip
FIGURE: dict[str, Any] = {
    "action": "record", "figure": "INFORMAL_SHARE", "period": "2024", "value": 34, "unit": "percent", "source": "IOM",
    "published_on": "2025-02-01", "sample_size": 1845,
}  # fmt: skip
SAMPLES: dict[str, dict[str, Any]] = {
    "border-crossings": CROSSING, "work-permits": PERMIT, "student-enrolments": ENROLMENT, "reference-figures": FIGURE,
    "residence-registrations": {
        "action": "record", "occurred_on": "2025-05-01", "direction": "arrival", "citizenship": "RU", "counterpart": "RU",
        "purpose": "employment",
    },
    "labour-emigration": {"action": "record", "departed_on": "2024-05-01", "destination": "KR", "channel": "organised"},
    "visitor-stays": {"action": "record", "arrived_on": "2024-05-01", "citizenship": "CN", "kind": "guest"},
    "migration-violations": {
        "action": "record", "occurred_on": "2025-03-14", "citizenship": "UZ", "kind": "work_without_permit", "person": "a" * 32,
        "pseudonym_key": "0" * 8,
    },
}  # fmt: skip


class Log:
    """All partitions of all feeds, in memory."""

    def __init__(self) -> None:
        self.partitions: dict[tuple[str, int], list[tuple[int, bytes | None, bytes | None, Headers]]] = {}

    def add(
        self, feed: str, record_id: str, version: int = 1, *, at: int = APPENDED, stamp: bytes | None = None, **fields: Any
    ) -> "Log":
        """Append the feed's sample record with other fields (None leaves one out)."""
        value = {"record_id": record_id, "version": version, **SAMPLES[feed], **fields}
        text = json.dumps({k: v for k, v in value.items() if v is not None}, ensure_ascii=False, separators=(",", ":"))
        return self.raw(feed, f"local/{record_id}".encode(), text.encode(), at=at, stamp=stamp)

    def withdraw(self, feed: str, record_id: str, version: int, *, at: int = APPENDED) -> "Log":
        text = json.dumps({"record_id": record_id, "version": version, "action": "withdraw"}, separators=(",", ":"))
        return self.raw(feed, f"local/{record_id}".encode(), text.encode(), at=at)

    def raw(
        self,
        feed: str,
        key: bytes | None,
        value: bytes | None,
        header: str | None = None,
        at: int = APPENDED,
        stamp: bytes | None = None,
    ) -> "Log":
        """Append anything at all."""
        headers: Headers = () if header == "" else (("schema", (header or f"{feed}/1").encode()),)
        headers += () if stamp is None else (("stamped", stamp),)
        partition = crc32(key or b"") % PARTITIONS[feed]
        self.partitions.setdefault((feed, partition), []).append((at, key, value, headers))
        return self

    def records(self) -> dict[tuple[str, int], Records]:
        return {
            place: Records(
                list(range(len(rows))), [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], [r[3] for r in rows]
            )
            for place, rows in self.partitions.items()
        }


def recounted(log: Log, folder: Path) -> Figures:
    """What verify makes of a log."""
    folder.mkdir(exist_ok=True)
    recount = Recount(folder)
    try:
        for (feed, partition), records in log.records().items():
            raw = RawPartition(feed, folder / f"{feed}-{partition}")
            raw.add(records)
            recount.count(feed, raw.files, raw.log_time)
        return recount.figures()
    finally:
        recount.close()


class Engine(NamedTuple):
    """What tally, aggregates, estimates and indicators make of a log, and where it stands then."""

    observations: dict[tuple[str, str], Observation]
    entries: dict[str, Any]
    estimates: dict[str, Any]
    cut: dict[str, int]
    log_time: int
    identity: dict[str, str]


def engine(partitions: dict[tuple[str, int], Records], batches: dict[tuple[str, int], list[Records]] | None = None) -> Engine:
    """Run the engine's pure parts over whole partitions, those of `batches` batch by batch."""
    aggregates, log_time = Aggregates(), 0
    cut, identity = {}, {}
    for (feed, partition), records in partitions.items():
        fold = PartitionFold(RULES[feed])
        for batch in (batches or {}).get((feed, partition), [records]):
            fold.fold(batch)
        aggregates.apply(feed, partition, dict(fold.all_sheets()))
        log_time = max(log_time, fold.log_time)
        cut[f"{feed}/{partition}"], identity[f"{feed}/{partition}"] = fold.offset, fold.record_hash
    entries = {k: json.loads(v) for k, v in aggregates.changes(log_time).items() if v is not None}
    inputs = {k: v for k, v in entries.items() if v["measure"] in MEASURES}
    estimated = estimates(inputs, log_time) | nowcasts(entries, log_time)
    found = observations(entries, estimated.values(), units())
    return Engine(found, entries, estimated, cut, log_time, identity)


def add_odd_records(log: Log) -> int:
    """Append what the ingest services would never write, by many hands; how many of them count all the same."""
    counting = 0
    for feed, sample in SAMPLES.items():
        plain = {"record_id": "odd", "version": 1, **sample}
        good = json.dumps(plain)
        values: list[bytes | None] = [text.encode() for text in _odd_texts(good)]
        values += [json.dumps({**plain, **fields}).encode() for fields in ODD_FIELDS[feed]]
        values += [None, b"", b"\xff", good.encode() + b"\xff", good.encode("utf-16")]
        for number, value in enumerate(values):
            log.raw(feed, f"odd/{number}".encode(), value)
        for header in ("", "x/1", f"{feed}/2", f"{feed}/0", f"{feed}/\u00b2", f"{feed}/", f"{feed}/1/1", f"{feed}/{'9' * 5000}"):
            log.raw(feed, f"odd/header-{len(header)}".encode(), good.encode(), header)
        log.raw(feed, None, good.encode()).raw(feed, b"", good.encode())
        # Written otherwise, and yet the record that it says.
        for number, text in enumerate(
            (f" {good} ", good.replace("record", "\\u0072ecord"), good[:-1] + ', "version": 7, "new": [1]}')
        ):
            log.raw(feed, f"odd/fine-{number}".encode(), text.encode())
            counting += 1
    return counting


def _odd_texts(good: str) -> list[str]:
    body = good[:-1]
    return [
        "null", "5", "[]", f"[{good}]", "{}", body, body + ",}", good + "x", f"{good} {good}", good + "\n", "\ufeff" + good, "\0",
        body + ', "x": NaN}', body + ', "x": 01}', body + ', "x": 1e999}', body + ', "x": tru}', body + ', "x": "a\tb"}',
        body + f', "x": {"9" * 40}' + "}", body + ', "x": ' + "[" * 20_000 + "]" * 20_000 + "}",
        good.replace('"version": 1,', '"version": "1",'), good.replace('"version": 1,', '"version": 1.0,'),
        good.replace('"version": 1,', '"version": 0.0,'), good.replace('"version": 1,', '"version": -1,'),
        good.replace('"version": 1,', '"version": "0",'), good.replace('"version": 1,', '"version": 9007199254740992,'),
        good.replace('"version": 1,', '"version": null,'), good.replace('"version": 1,', ""),
        good.replace('"record",', '"Record",'), good.replace('"action": "record",', ""),
    ]  # fmt: skip


ODD_FIELDS: dict[str, list[dict[str, Any]]] = {
    "border-crossings": [
        {"occurred_at": text}
        for text in ("2025-01-01T00:00:00Z", "2025-01-01T00:00:60.000Z", "2025-01-01T24:00:00.000Z", "2025-1-1T00:00:00.000Z",
                     " 2025-01-01T00:00:00.000Z", "2025-02-30T00:00:00.000Z", "1999-12-31T12:00:00.000Z", "2025-01-01", "", None, 5,
                     "9999-12-31T23:00:00.000Z")
    ] + [{"citizenship": "uz"}, {"citizenship": None}, {"counterpart": "UZB"}, {"direction": ["arrival"]}, {"purpose": "fun"}],
    "work-permits": [
        {"valid_to": "2024-12-31"}, {"valid_to": None}, {"valid_from": "2025-1-10"}, {"valid_from": "1999-12-31"},
        {"revoked_on": ""}, {"revoked_on": "1999-12-31"}, {"revoked_on": "1999-12-30"}, {"revoked_on": 5}, {"category": "5"},
        {"citizenship": "C|"},
    ],
    "student-enrolments": [
        {"ended_on": "2024-09-01"}, {"ended_on": "2024-08-31"}, {"ended_on": "soon"}, {"branch_of": "ru"}, {"branch_of": ""},
        {"institution": ""}, {"institution": None}, {"institution": "x" * 33}, {"institution": "a\0b"}, {"level": "x"},
    ],
    "residence-registrations": [
        {"occurred_on": text}
        for text in ("2025-1-01", "2025-02-30", "1999-12-31", "2025-01-01T00:00:00.000Z", " 2025-01-01", "+2025-01-01", "", None, 5)
    ] + [{"citizenship": "uz"}, {"counterpart": "XXX"}, {"direction": "in"}, {"purpose": None}, {"purpose": "fun"}],
    "labour-emigration": [{"departed_on": "9999-12-31"}, {"departed_on": None}, {"destination": "K|"}, {"destination": None}],
    "visitor-stays": [{"arrived_on": "2025-00-01"}, {"citizenship": "C"}, {"kind": "patient"}, {"kind": None}, {"kind": "guest|"}],
    "migration-violations": [
        {"person": None}, {"person": "A" * 32}, {"person": "a" * 31}, {"person": "a|" * 16}, {"person": 5}, {"kind": "work"},
        {"citizenship": "U|"}, {"occurred_on": "2025-13-01"},
    ],
    "reference-figures": [
        {"value": "34"}, {"value": None}, {"value": True}, {"value": 1e300}, {"period": "2024-Q5"}, {"period": "1850"},
        {"sample_size": 0}, {"sample_size": 1.5}, {"design_effect": 0}, {"design_effect": "2"}, {"published_on": "2025-13-01"},
        {"source": "a\0b"}, {"source": None}, {"source": ""}, {"note": "a\0b"}, {"figure": "informal share"}, {"counterpart": 5},
    ],
}  # fmt: skip
