"""What is true at a cut: a plain Python fold of the whole log, record by record, sharing no code with the engine's fold.

From the sheets on, aggregates, estimates and observations are the engine's own pure functions, applied once to the whole set:
their formulas have their own tests; here it matters that nothing else than the function of the cut is ever handed on.
"""

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from schemas.indicators import units
from services.shared.statistics.aggregation.aggregates import Aggregates
from services.shared.statistics.estimation.informality import MEASURES, estimates
from services.shared.statistics.estimation.open_quarter import nowcasts
from services.shared.statistics.exchange.ledger_set import Cut
from services.shared.statistics.publication.indicators import observations
from services.shared.statistics.publication.quality import Reports, Sources
from tests.chaos.simulated.broker import Broker, Record

UTC_OFFSET = timedelta(hours=5)  # of all dates in the runs
UNITS = units()
Content = tuple[str, str, str | None]  # cell, first day, the day on which it ends
AREAS = {"UZ": ("_T", "CIS"), "KG": ("_T", "CIS", "EAEU"), "CN": ("_T", "FAR_ABROAD"), "KZ": ("_T",)}
Margins = dict[tuple[str, str], int]  # (day, marginal cell) -> how many


class Truth(NamedTuple):
    """Of one partition up to one offset."""

    sheets: dict[str, bytes]
    letters: set[bytes]
    log_time: int


class Oracle:
    """Of one feed's log as it stands in the broker."""

    def __init__(self, broker: Broker, feed: str) -> None:
        self._broker, self._feed = broker, feed
        self.topic = f"events.{feed}.v1"
        self._truths: dict[tuple[int, int], Truth] = {}
        self._sets: dict[tuple[str, tuple[tuple[str, int], ...]], Any] = {}

    def forget(self) -> None:
        """The log is another one now."""
        self._truths, self._sets = {}, {}

    def end(self) -> Cut:
        return {f"{self._feed}/{n}": log.end for n, log in enumerate(self._broker.topics[self.topic])}

    def at(self, partition: int, offset: int) -> Truth:
        known = self._truths.get((partition, offset))
        if known is None:
            records = self._broker.topics[self.topic][partition].records[:offset]
            known = self._truths[partition, offset] = fold(self._feed, records)
        return known

    def _partitions(self, cut: Cut) -> list[tuple[int, Truth]]:
        return [(int(name.rpartition("/")[2]), self.at(int(name.rpartition("/")[2]), offset)) for name, offset in cut.items()]

    def log_time(self, cut: Cut) -> int:
        return max(truth.log_time for _, truth in self._partitions(cut))

    def _once(self, what: str, cut: Cut, make: Any) -> Any:
        key = (what, tuple(sorted(cut.items())))
        if key not in self._sets:
            self._sets[key] = make()
        return self._sets[key]

    def aggregates(self, cut: Cut) -> dict[str, bytes]:
        def make() -> dict[str, bytes]:
            aggregates = Aggregates()
            for number, truth in self._partitions(cut):
                aggregates.apply(self._feed, number, dict(truth.sheets))
            return {key: value for key, value in aggregates.changes(self.log_time(cut)).items() if value is not None}

        return self._once("aggregates", cut, make)  # type: ignore[no-any-return]

    def estimates(self, cut: Cut) -> dict[str, bytes]:
        def make() -> dict[str, bytes]:
            entries = {k: orjson.loads(v) for k, v in self.aggregates(cut).items()}
            used = {k: v for k, v in entries.items() if v["measure"] in MEASURES}
            found = estimates(used, self.log_time(cut)) | nowcasts(entries, self.log_time(cut))
            return {key: orjson.dumps(value, option=orjson.OPT_SORT_KEYS) for key, value in found.items()}

        return self._once("estimates", cut, make)  # type: ignore[no-any-return]

    def observations(self, cut: Cut) -> dict[tuple[str, str], Any]:
        def make() -> dict[tuple[str, str], Any]:
            entries = {k: orjson.loads(v) for k, v in self.aggregates(cut).items()}
            return observations(entries, [orjson.loads(v) for v in self.estimates(cut).values()], UNITS)

        return self._once("observations", cut, make)  # type: ignore[no-any-return]

    def reports(self, cut: Cut, first: dict[tuple[str, str], float]) -> dict[str, Any]:
        """The quality reports, made from scratch. `first`: headline figures as they were first released."""

        def make() -> dict[str, Any]:
            entries = {k: orjson.loads(v) for k, v in self.aggregates(cut).items()}
            names = {indicator: unit for indicator, (unit, _) in UNITS.items()}
            return Reports().update(Sources(entries, self.observations(cut), first, names, self.log_time(cut)), ())

        return self._once(f"reports {sorted(first.items())}", cut, make)  # type: ignore[no-any-return]


def fold(feed: str, records: list[Record]) -> Truth:
    """The highest version counts; of equal versions the first; other contents of an equal version are dead letters.

    Of those without a version, which are below all others, the last counts.
    """
    best: dict[bytes, tuple[int, Content | None]] = {}
    letters = set()
    beside: Margins = defaultdict(int)
    for record in records:
        read = _read(feed, record)
        place = f"{record.topic}/{record.partition}/{record.offset}".encode()
        if read is None or record.key is None:
            letters.add(place)
            continue
        known = best.get(record.key)
        if known is None or read[0] > known[0] or read[0] == known[0] == 0:
            best[record.key] = read
            _note_delays(beside, feed, record, known[1] if known else None, read[1])
        elif read[0] == known[0] and read[1] != known[1]:
            letters.add(place)
            beside[_day_and_flow(feed, read[1] or known[1], "~conflict")] += 1
    sheets = _year_sheets(best) if feed == "migration-violations" else _sheets(best, beside)
    return Truth(sheets, letters, _log_time(records))


def _log_time(records: list[Record]) -> int:
    """The newest append time that the edge's stamp is within five minutes of; before the first stamp, the newest of all."""
    newest, any_stamp = 0, False
    for record in records:
        stamps = [value for name, value in record.headers if name == "stamped"]
        any_stamp = any_stamp or bool(stamps)
        confirmed = not any_stamp
        if stamps and stamps[0].isdigit():
            confirmed = abs(int(stamps[0]) - record.timestamp) <= 300_000
        if confirmed:
            newest = max(newest, record.timestamp)
    return newest


def _read(feed: str, record: Record) -> tuple[int, Content | None] | None:
    """(version, content) of a record; None if it cannot be read."""
    try:
        body = json.loads(record.value or b"")
    except ValueError:
        return None
    if body["action"] == "withdraw":
        return body["version"], None
    content = _content(feed, body)
    return None if content is None else (body["version"], content)


def _content(feed: str, body: dict[str, str]) -> Content | None:
    if feed == "migration-violations":
        if body["person"] == "nobody":
            return None
        return "|".join(body[field] for field in ("citizenship", "kind", "person")), body["occurred_on"], None
    if feed == "border-crossings":
        if body["direction"] not in ("arrival", "departure"):
            return None
        day = (datetime.fromisoformat(body["occurred_at"].rstrip("Z")) + UTC_OFFSET).date()
        return "|".join(body[field] for field in ("direction", "citizenship", "counterpart", "purpose")), day.isoformat(), None
    ends = date.fromisoformat(body["valid_to"]) + timedelta(days=1)
    if "revoked_on" in body:
        ends = min(ends, date.fromisoformat(body["revoked_on"]))
    first = date.fromisoformat(body["valid_from"])
    return f"{body['citizenship']}|{body['category']}", first.isoformat(), max(first, ends).isoformat()


def _day_and_flow(feed: str, content: Content | None, kind: str) -> tuple[str, str]:
    """Where it counts beside the cells; offences do so nowhere, their sheets leave it out."""
    assert content is not None
    cell, first, _ = content
    if feed == "work-permits":
        return first, f"{kind}|permits_issued"
    direction, citizenship = cell.split("|")[:2]
    home, out = citizenship == "KZ", direction == "departure"
    flow = ("citizens_out" if out else "citizens_in") if home else ("departures" if out else "arrivals")
    return first, f"{kind}|{flow}"


def _note_delays(beside: Margins, feed: str, record: Record, old: Content | None, new: Content | None) -> None:
    """A record has come that counts: by how many days later than what it speaks of, and what it does to the one before."""
    arrived = (datetime.fromtimestamp(record.timestamp / 1000, UTC) + UTC_OFFSET).date()
    for content, step in ((old, -1), (new, 1)):
        if content is not None:
            day, cell = _day_and_flow(feed, content, "~delay")
            late = max(0, min(60, (arrived - date.fromisoformat(day)).days))
            beside[day, f"{cell}|{late}"] += step
    if old is not None and old != new:
        beside[_day_and_flow(feed, old, "~withdrawn" if new is None else "~corrected")] += 1


def _sheets(best: dict[bytes, tuple[int, Content | None]], beside: Margins) -> dict[str, bytes]:
    starts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    ends: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for _, content in best.values():
        if content is not None:
            cell, first, last = content
            starts[first][cell] += 1
            if last is not None:
                ends[last][cell] += 1
    for (day, cell), n in beside.items():
        if n:
            starts[day][cell] = n
    sheets = {}
    for day in starts.keys() | ends.keys():
        cells = sorted(starts[day].keys() | ends[day].keys())
        sheet = {"day": day, "cells": cells, "counts": [starts[day].get(cell, 0) for cell in cells]}
        if ends[day]:
            sheet["ended"] = [ends[day].get(cell, 0) for cell in cells]
        sheets[day] = json.dumps(sheet, separators=(",", ":")).encode()
    return sheets


def _year_sheets(best: dict[bytes, tuple[int, Content | None]]) -> dict[str, bytes]:
    """Of a year: so many persons of an area were found at work so many times."""
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    for _, content in best.values():
        if content is not None:
            citizenship, kind, person = content[0].split("|")
            if kind != "overstay":
                for area in AREAS[citizenship]:
                    found[content[1][:4], area, person] += 1
    years: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (year, area, _), times in found.items():
        years[year][f"{area}|{times}"] += 1
    sheets = {}
    for year, persons in years.items():
        sheet = {"day": f"{year}-01-01", "cells": sorted(persons), "counts": [persons[cell] for cell in sorted(persons)]}
        sheets[f"{year}-01-01"] = json.dumps(sheet, separators=(",", ":")).encode()
    return sheets
