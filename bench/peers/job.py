"""What every rival in Python is told and has to tell. Standard library only: it runs in the rivals' environment too."""

import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

ALMATY = ZoneInfo("Asia/Almaty")
REPORT_RECORDS = 1000  # a look at the clock for so many records
REPORT_SECONDS = 1.0


class Job(NamedTuple):
    """Fold `records` records of `topic` and emit the counts to `results`; state lives in `folder`. `group` is new for each run."""

    bootstrap_servers: str
    topic: str
    results: str
    folder: str
    records: int
    group: str
    threads: int

    @classmethod
    def from_arguments(cls) -> "Job":
        job = cls(**json.loads(sys.argv[1]))
        Path(job.folder).mkdir(parents=True, exist_ok=True)
        return job

    def to_argument(self) -> str:
        return json.dumps(self._asdict())


def cell_of(event: dict[str, Any]) -> str:
    """What a crossing counts as: `day|direction|citizenship|counterpart|purpose`, the day being Almaty's."""
    day = datetime.fromisoformat(event["occurred_at"]).astimezone(ALMATY).date()
    return f"{day}|{event['direction']}|{event['citizenship']}|{event['counterpart']}|{event['purpose']}"


class Progress:
    """Tells the harness, on standard output, how many records have gone through by when."""

    def __init__(self, count: int) -> None:
        self._count, self.records, self._next, self._at = count, 0, 1, 0.0

    def add(self, records: int) -> None:
        self.records += records
        if self.records >= self._next:
            self._tell()

    def _tell(self) -> None:
        now = time.time()
        if self._at == 0 or self.records >= self._count or now - self._at > REPORT_SECONDS:
            # Not `print`: some frameworks take standard output for themselves.
            os.write(1, json.dumps({"at": now, "records": self.records}).encode() + b"\n")
            self._at = now
        self._next = min(self.records + REPORT_RECORDS, self._count)
        if self.records >= self._count:
            self._next = 1 << 62
