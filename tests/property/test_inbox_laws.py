"""Laws of ingest by file: wherever it dies, in whatever pieces it goes on, receipt, rejects and log are those of one go.

What one go must come to is known from how the file was made, not from the code.
"""

import asyncio
import gzip
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.shared.ingest import files, inbox, outbox, take
from services.shared.runtime.process.whole_file import sync_folder, write_whole
from tests.unit.ingest.depot import Depot, Log, figure, ndjson

NOW_MS = 1_750_000_000_000
CHUNK = 3
law = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)

# What a line of the file is: a good record with a version, one without, a withdrawal, or one to be refused with this code.
_LINES: dict[str, Callable[[int], dict[str, Any]]] = {
    "numbered": lambda i: figure(f"r-{i}", version=i + 1),
    "unnumbered": lambda i: figure(f"u-{i % 2}", value=i),
    "withdrawal": lambda i: {"record_id": f"r-{i}", "version": i + 1, "action": "withdraw"},
    "missing_field": lambda i: {"record_id": f"r-{i}"},
    "invalid_type": lambda i: figure(f"r-{i}", value="much"),
    "unknown_field": lambda i: figure(f"r-{i}", nickname="x"),
}
_BAD = ("missing_field", "invalid_type", "unknown_field")


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Life:
    """Counts what the service does to the log and to the disk, and ends it before or in the middle of some of that."""

    def __init__(self, deaths: list[int]) -> None:
        self._left = 0
        self._deaths = iter(deaths)
        self.killed = False
        self.born()

    def born(self) -> None:
        self.killed, self._left = False, next(self._deaths, 1_000_000)

    def step(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.killed = True
            raise Killed


@contextmanager
def mortal(life: Life) -> Iterator[None]:
    """Before and after each write to the outbox, and within it, the service may die."""
    write, reject, sync = write_whole, outbox.Outbox.reject, sync_folder

    def written(path: Path, body: bytes) -> None:
        life.step()
        write(path, body)
        life.step()

    def rejected(self: outbox.Outbox, name: str, start: int, lines: bytes) -> None:
        life.step()
        reject(self, name, start, lines[: len(lines) // 2])
        life.step()
        reject(self, name, start, lines)
        life.step()

    def synced(folder: Path) -> None:
        life.step()
        sync(folder)

    with (
        patch.object(outbox, "write_whole", written),
        patch.object(outbox.Outbox, "reject", rejected),
        patch.object(outbox, "sync_folder", synced),
        patch.object(os, "fsync", lambda _: None),  # the machine stays up: only processes die here
        patch.object(files, "RECORDS_MAX", CHUNK),
        patch.object(take, "_now_ms", partial(next, count(NOW_MS, 60_000))),  # every look at the clock is a minute later
        patch.object(inbox, "SETTLE_SECONDS", 0.0),
    ):
        yield


def live(depot: Depot, life: Life) -> None:
    """Start the service on what lies there, again and again, until it has lived through."""
    while True:
        life.born()
        try:
            asyncio.run(depot.inbox().look())
        except Killed:
            assert life.killed
        else:
            return


def expected(kinds: list[str]) -> tuple[list[tuple[str, str, Any]], list[dict[str, Any]]]:
    """Per good record its id, action and value in the file's order; and what is rejected."""
    good, bad = [], []
    for i, kind in enumerate(kinds):
        if kind in _BAD:
            pointer = {"missing_field": "/figure", "invalid_type": "/value", "unknown_field": "/nickname"}[kind]
            bad.append({"index": i, "code": kind, "pointer": pointer})
        else:
            record = _LINES[kind](i)
            good.append((record["record_id"], record.get("action", "record"), record.get("value")))
    return good, bad


def packed(body: bytes, suffix: str) -> bytes:
    """A file's bytes, packed as its name says."""
    if suffix.endswith(".gz"):
        return gzip.compress(body)
    return zstandard.compress(body) if suffix.endswith(".zst") else body


def once(log: Log) -> list[tuple[int, bytes, str]]:
    """What is in the log, each event where it came first: what came again was followed by all that came after it."""
    events = [(partition, key, json.dumps(event)) for partition, key, event in log.stored]
    return list(dict.fromkeys(events))


def standing(log: Log) -> dict[str, int]:
    """By record without a version: what its last event in the log says."""
    return {event["record_id"]: event["value"] for _, _, event in log.stored if event["version"] == 0}


@given(
    kinds=st.lists(st.sampled_from(sorted(_LINES)), max_size=14),
    deaths=st.lists(st.integers(0, 25), max_size=6),
    limit=st.sampled_from([1, 2, 1_000_000]),
    suffix=st.sampled_from([".ndjson", ".ndjson.gz", ".ndjson.zst"]),
)
@law
def test_wherever_it_dies_receipt_rejects_and_log_are_those_of_one_go(
    kinds: list[str], deaths: list[int], limit: int, suffix: str
) -> None:
    body = ndjson(*(_LINES[kind](i) for i, kind in enumerate(kinds)))
    good, bad = expected(kinds)
    with tempfile.TemporaryDirectory() as home:
        life, depot = Life(deaths), Depot(Path(home))
        depot.log.before = depot.log.after = life.step
        depot.log.limit = limit
        depot.drop("f", packed(body, suffix), len(kinds), suffix)
        with mortal(life), patch.object(take, "WAIT_SECONDS_MIN", 0.0):
            live(depot, life)
        receipt = depot.answer("f")
        assert [receipt[n] for n in ("received", "accepted", "rejected", "retry")] == [len(kinds), len(good), len(bad), 0]
        assert [{n: item[n] for n in ("index", "code", "pointer")} for item in receipt["items"]] == bad
        assert depot.rejects("f") == bad
        assert depot.answered() == ["f.receipt.json", "f.rejects.ndjson"]
    events = once(depot.log)
    assert standing(depot.log) == {name: value for name, _, value in good if name.startswith("u-")}
    for partition in (0, 1):
        arrived = [json.loads(event) for p, _, event in events if p == partition]
        ids = {event["record_id"] for event in arrived}
        assert [(e["record_id"], e["action"], e.get("value")) for e in arrived] == [g for g in good if g[0] in ids]
    assert len(events) == len(good)
