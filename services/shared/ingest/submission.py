"""A submission: its records checked, encoded and grouped by partition; and its receipt. Pure."""

import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import orjson

from schemas.values import Rejection
from services.shared.ingest.calendar_rules import Latest
from services.shared.ingest.columns import Columns
from services.shared.ingest.refusal import Refusal

SUBMISSION_ID_BYTES = 16
REJECTIONS_TOPIC = "rejections.v1"
REJECTION_SCHEMA = b"rejections/1"
ITEMS_MAX = 1000  # refused records in the receipt of a file: enough to see what is wrong, short enough to read


@dataclass
class Prepared:
    """What is to be produced, and what was refused. Per partition: each record's index in the submission, its key and value."""

    received: int
    indices: list[list[int]]
    events: list[list[tuple[bytes, bytes]]]
    refusals: dict[int, Refusal] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(SUBMISSION_ID_BYTES))


def prepare(columns: Columns, agency: str, found: Sequence[bytes | Refusal], partitions: int, latest: Latest) -> Prepared:
    """Take every record through the edge. The order of a partition's events is that of the submission."""
    prepared = Prepared(len(found), [[] for _ in range(partitions)], [[] for _ in range(partitions)])
    taken = columns.accept(found, latest)
    for index in [index for index, event in enumerate(taken.events) if event is None]:
        raw = found[index]
        alone = raw if isinstance(raw, Refusal) else columns.edge.check(raw, latest)
        if isinstance(alone, Refusal):
            prepared.refusals[index] = alone
        else:
            taken.record_ids[index], taken.events[index] = alone["record_id"].encode(), orjson.dumps(alone)
    start = agency.encode() + b"/"
    indices, events = prepared.indices, prepared.events
    for index, (record_id, event) in enumerate(zip(taken.record_ids, taken.events, strict=True)):
        if record_id is not None and event is not None:
            key = start + record_id
            partition = crc32(key) % partitions
            indices[partition].append(index)
            events[partition].append((key, event))
    return prepared


@dataclass
class Receipt:
    """The outcome of every record of a submission, in the submission's order."""

    prepared: Prepared
    retry: set[int]

    @classmethod
    def of(cls, prepared: Prepared, acknowledged: Sequence[int]) -> "Receipt":
        """`acknowledged`: per partition, how many events from its first on the broker has acknowledged."""
        retry = {index for indices, n in zip(prepared.indices, acknowledged, strict=True) for index in indices[n:]}
        return cls(prepared, retry)

    @property
    def accepted(self) -> int:
        return self.prepared.received - len(self.prepared.refusals) - len(self.retry)

    def codes(self) -> dict[str, int]:
        """Records refused, by code."""
        return dict(sorted(Counter(refusal.code.value for refusal in self.prepared.refusals.values()).items()))

    def body(self, all_items: bool) -> bytes:
        """The answer of contract section 2: counts, and the records not accepted (or every record)."""
        refusals = self.prepared.refusals
        listed = range(self.prepared.received) if all_items else sorted(refusals.keys() | self.retry)
        receipt = {
            "submission": self.prepared.id,
            "received": self.prepared.received,
            "accepted": self.accepted,
            "rejected": len(refusals),
            "retry": len(self.retry),
            "items": [self._item(index) for index in listed],
        }
        return orjson.dumps(receipt)

    def _item(self, index: int) -> dict[str, Any]:
        refusal = self.prepared.refusals.get(index)
        if refusal is not None:
            return {"index": index, "status": "rejected"} | refusal._asdict()
        return {"index": index, "status": "retry" if index in self.retry else "accepted"}


@dataclass
class Total:
    """The receipt over all chunks of a file. `items`: the first refused records, by their index in the file."""

    received: int = 0
    accepted: int = 0
    rejected: int = 0
    retry: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, place: dict[str, Any], code: str, pointer: str, detail: str) -> None:
        """Count one refused record."""
        self.rejected += 1
        if len(self.items) < ITEMS_MAX:
            self.items.append(place | {"status": "rejected", "code": code, "pointer": pointer, "detail": detail})


def rejection(submission: str, agency: str, feed: str, received: int, codes: dict[str, int], received_ms: int) -> Rejection:
    """The value of `rejections.v1` for a submission of which some records were refused."""
    return {
        "submission": submission,
        "agency": agency,
        "feed": feed,
        "received": received,
        "rejected": sum(codes.values()),
        "codes": codes,
        "received_at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(received_ms // 1000)) + f".{received_ms % 1000:03}Z",
    }
