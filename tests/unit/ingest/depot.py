"""An inbox and an outbox in a temporary folder, and a log in memory that can be told to fail."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from schemas.feeds import FEEDS
from services.shared.ingest.edge import Edge
from services.shared.ingest.inbox import Inbox

FEED = "reference-figures"
PARTITIONS = 2


def figure(name: str, **fields: Any) -> dict[str, Any]:
    """A good record of the feed, without a version."""
    return {
        "record_id": name,
        "figure": "INFORMAL_SHARE",
        "period": "2024",
        "value": 34,
        "unit": "percent",
        "source": "survey",
        "published_on": "2025-03-14",
    } | fields


def ndjson(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


class Log:
    """Stands for the producer. `before` and `after` are called around every storing, which takes at most `limit` of a partition."""

    def __init__(self) -> None:
        self.stored: list[tuple[int, bytes, dict[str, Any]]] = []  # partition, key, event
        self.notes: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.limit = 1_000_000
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    async def send(self, topic: str, events: Sequence[Sequence[tuple[bytes, bytes]]], schema: bytes) -> list[int]:
        if topic == "rejections.v1":
            self.notes += [json.loads(value) for some in events for _, value in some]
            return [1]
        assert (topic, schema) == (f"events.{FEED}.v1", b"reference-figures/1")
        self.before()
        taken = [list(some)[: self.limit] for some in events]
        self.stored += [(p, key, json.loads(value)) for p, some in enumerate(taken) for key, value in some]
        self.sizes.append(sum(map(len, events)))
        self.after()
        return [len(some) for some in taken]

    def ids(self) -> list[str]:
        return [event["record_id"] for _, _, event in self.stored]


class Depot:
    """An agency's side and the service's side of one inbox. `inbox()` starts the service anew on what lies there."""

    def __init__(self, home: Path, log: Log | None = None) -> None:
        self.home, self.log = home, log or Log()
        self.ready, self.stopping = True, asyncio.Event()

    def inbox(self) -> Inbox:
        edge = Edge(FEEDS[FEED], b"k" * 32, "0123abcd")
        folders = (self.home / "inbox", self.home / "outbox")
        return Inbox(folders, edge, self.log, PARTITIONS, lambda: self.ready, self.stopping)  # type: ignore[arg-type]

    def folder(self, agency: str = "iom", feed: str = FEED) -> Path:
        folder = self.home / "inbox" / agency / feed
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop(
        self, name: str, body: bytes, records: int, suffix: str = ".ndjson", agency: str = "iom", said: dict[str, Any] | None = None
    ) -> None:
        """Put a file into the inbox, then its manifest, in which `said` stands instead."""
        folder = self.folder(agency)
        (folder / (name + suffix)).write_bytes(body)
        manifest = {"file": name + suffix, "sha256": hashlib.sha256(body).hexdigest(), "records": records} | (said or {})
        (folder / f"{name}.manifest.json").write_text(json.dumps(manifest))

    def answer(self, name: str, agency: str = "iom", feed: str = FEED, kind: str = "receipt") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "outbox" / agency / feed / f"{name}.{kind}.json").read_bytes())
        return found

    def answered(self) -> list[str]:
        """What stands in the outbox, but for the service's own notes."""
        return sorted(path.name for path in self.home.glob("outbox/*/*/*") if not path.name.startswith("."))

    def hidden(self) -> list[str]:
        """The service's own notes in the outbox."""
        return sorted(path.name for path in self.home.glob("outbox/*/*/.*") if path.name != ".lock")

    def rejects(self, name: str, agency: str = "iom") -> list[dict[str, Any]]:
        lines = (self.home / "outbox" / agency / FEED / f"{name}.rejects.ndjson").read_bytes().splitlines()
        return [json.loads(line) for line in lines]
