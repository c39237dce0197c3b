"""What the counts must be: the words of the contract, record by record, in plain Python. Shares no code with any contestant."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from bench.events import Shape, submissions

Counts = dict[str, int]  # by `day|direction|citizenship|counterpart|purpose`; no zeros

_ALMATY = ZoneInfo("Asia/Almaty")


class Oracle:
    """The standing version of every record, and the counts that follow. The highest version counts; the same again is a repeat."""

    def __init__(self) -> None:
        self._standing: dict[bytes, tuple[int, str | None]] = {}

    def take(self, key: bytes, value: bytes) -> None:
        event = json.loads(value)
        known = self._standing.get(key)
        if known is None or event["version"] > known[0]:
            self._standing[key] = (event["version"], _cell(event) if event["action"] == "record" else None)

    def counts(self) -> Counts:
        return dict(Counter(cell for _, cell in self._standing.values() if cell is not None))


def _cell(event: dict[str, str]) -> str:
    parts = [event[field] for field in ("direction", "citizenship", "counterpart", "purpose")]
    return "|".join([_day(event["occurred_at"][:13]), *parts])


@lru_cache(maxsize=1 << 16)
def _day(hour: str) -> str:
    """The day in Almaty of an hour in UTC, `2025-04-01T18`: its offsets are whole hours."""
    return datetime.strptime(hour, "%Y-%m-%dT%H").replace(tzinfo=UTC).astimezone(_ALMATY).strftime("%Y-%m-%d")


def counts_of_prefixes(prefixes: Iterable[int], shape: Shape | None = None) -> dict[int, Counts]:
    """The right counts of the first so many events, for each of the prefixes."""
    wanted, found, oracle, taken = sorted(set(prefixes)), {}, Oracle(), 0
    for part in submissions(wanted[-1], shape):
        for key, value in zip(part.keys, part.values, strict=True):
            if wanted[0] == taken:
                found[wanted.pop(0)] = oracle.counts()
            oracle.take(key, value)
            taken += 1
    found[taken] = oracle.counts()
    return found
