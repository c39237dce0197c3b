"""A quality report of records as agencies sent them and the log received them, counted by hand, through the whole chain."""

from typing import Any

import orjson

from schemas.indicators import units
from services.shared.statistics.publication.quality import Reports, Sources
from tests.unit.chain import Chain

CROSSING = {
    "occurred_at": "2025-05-10T12:00:00+05:00", "direction": "arrival", "citizenship": "UZ", "counterpart": "UZ", "mode": "road",
    "checkpoint": "KZ-SARYAGASH",
}  # fmt: skip
UNITS = {indicator: unit for indicator, (unit, _) in units().items()}


def at(day: int, time: str = "12:00:00.000") -> str:
    return f"2025-05-{day:02}T{time}+05:00"


def crossings(*ids: int, **other: Any) -> list[bytes]:
    return [orjson.dumps({"record_id": f"r{n}", "version": 1, **CROSSING, **other}) for n in ids]


def line_of(chain: Chain, until: str) -> dict[str, Any]:
    snapshot = chain.snapshot(until)
    sources = Sources(chain.entries, snapshot.observations, {}, UNITS, chain.log_time)
    [found] = [f for f in Reports().update(sources, ())["2025-Q2"]["feeds"] if f["feed"] == "border-crossings"]
    return dict(found)


def test_delays_corrections_withdrawals_and_conflicts_of_a_day_s_records_are_those_that_happened() -> None:
    chain = Chain()
    chain.send("border-crossings", crossings(*range(10)), at(10, "23:59:59.999"))  # ten on their day
    chain.send("border-crossings", crossings(*range(10, 15)), at(11, "00:00:00.000"))  # five a day later, by a millisecond
    chain.send("border-crossings", crossings(*range(15, 20)), at(17))  # five a week later
    chain.send("border-crossings", crossings(0, 10, 15), at(18))  # sent again: nothing new
    chain.send("border-crossings", crossings(1, version=2, citizenship="RU"), at(20))  # corrected: the day's count stays
    chain.send("border-crossings", crossings(2, version=2, occurred_at=at(9)), at(20))  # corrected to another day
    gone = orjson.dumps({"record_id": "r3", "version": 2, "action": "withdraw"})
    chain.send("border-crossings", [gone], at(20))
    chain.send("border-crossings", crossings(4, counterpart="RU"), at(21), conflicts=1)
    found = line_of(chain, at(21))
    # Of the 10th: 10 at once, 15 after a day, 20 after seven, two fewer after ten; of the 9th: one after eleven.
    assert (found["records"], found["corrected"], found["withdrawn"], found["conflicts"]) == (19, 2, 1, 1)
    assert found["late"] == 100 * (19 - 15) / 19
    assert (found["median_days"], found["p95_days"]) == (0, 7)
    assert found["doubts"] == ["late", "corrected", "withdrawn", "conflicts"]
