"""A log of years, record by record as late as agencies are: the nowcast that comes out of it, by every path."""

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from services.shared.runtime.postgres.store import Published
from services.shared.statistics.estimation.nowcast import Nowcast, Triangle, nowcast
from services.shared.statistics.exchange.records import Records
from services.shared.statistics.folding.sheet import DELAY_DAYS
from services.shared.statistics.publication.plausibility import of_figures
from services.shared.statistics.terms import calendar
from tests.unit.tools.verify.log_of import Engine, Log, engine, recounted
from tools.verify.compare import differences, of_figure

FIRST, LAST = date(2021, 11, 15), date(2025, 5, 20)  # of the days on which something was appended
LOADED = FIRST - timedelta(days=90)  # what happened from here on was appended on the first day
QUARTERS = ("2025-Q1", "2025-Q2")
FLOWS: dict[str, dict[str, dict[str, Any]]] = {
    "labour-emigration": {"LABOUR_EMIGRATION": {}},
    "residence-registrations": {
        "RESIDENCE_ARRIVALS": {"direction": "arrival"},
        "RESIDENCE_DEPARTURES": {"direction": "departure"},
    },
}
DAY_FIELDS = {"labour-emigration": "departed_on", "residence-registrations": "occurred_on"}
Change = tuple[str, str, date, date, int]  # feed, flow, the day it is about, the day on which it was appended, +1 or -1


def noon(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 7, tzinfo=UTC).timestamp() * 1000)


def history(seed: int) -> tuple[Log, list[Change]]:
    """The log, and what it says by the words of the contract: one record after the other, with the change that each makes."""
    rng = random.Random(seed)
    sent: list[tuple[date, int, str, str, date, int, str]] = []
    for number in range((LAST - LOADED).days + 1):
        day = LOADED + timedelta(days=number)
        for feed, flows in FLOWS.items():
            for flow in flows:
                for each in range(rng.choice((2, 3, 3, 4)) + (day.month in (5, 6))):
                    name, numbered = f"{flow}-{number}-{each}", min(each, 1)
                    came = max(FIRST, day + timedelta(days=min(DELAY_DAYS + 9, int(rng.expovariate(0.25)))))
                    sent.append((came, numbered, feed, flow, day, len(sent), name))
                    if rng.random() < 0.05:
                        moved = day + timedelta(days=rng.choice((-1, 0, 2)))
                        later = came + timedelta(days=int(rng.expovariate(0.1)))
                        sent.append((later, 2 * numbered, feed, flow if rng.random() < 0.6 else "", moved, len(sent), name))
                    if rng.random() < 0.03:  # the first version again: for nothing, but for those without versions
                        sent.append((came + timedelta(days=rng.randrange(20)), numbered, feed, flow, day, len(sent), name))
    log, changes, standing, newest = Log(), list[Change](), dict[str, tuple[str, date]](), dict[str, int]()
    for came, version, feed, flow, day, _, name in sorted(sent, key=lambda one: (one[0], one[5])):
        if came > LAST:
            continue
        if flow:
            log.add(feed, name, version, at=noon(came), **{DAY_FIELDS[feed]: day.isoformat(), **FLOWS[feed][flow]})
        else:
            log.withdraw(feed, name, version, at=noon(came))
        if version <= newest.get(name, -1) and version:
            continue
        newest[name], before = version, standing.pop(name, None)
        if before is not None:
            changes.append((feed, *before, came, -1))
        if flow:
            standing[name] = flow, day
            changes.append((feed, flow, day, came, 1))
    return log, changes


def triangle(changes: list[Change], flow: str) -> Triangle:
    """By hand, from the first day on which anything was appended."""
    counts = np.zeros(((LAST - FIRST).days + 1, DELAY_DAYS + 1), np.int64)
    for _, name, day, came, step in changes:
        if name == flow and FIRST <= day <= LAST:
            counts[(day - FIRST).days, min(DELAY_DAYS, max(0, (came - day).days))] += step
    return Triangle(calendar.day_number(FIRST), counts)


class Told(NamedTuple):
    """A log, the changes that it says by hand, and what the engine makes of it."""

    log: Log
    changes: list[Change]
    engine: Engine


@pytest.fixture(scope="module")
def told() -> Told:
    log, changes = history(20250520)
    return Told(log, changes, engine(log.records()))


def test_the_published_nowcasts_are_those_of_the_triangle_that_the_log_makes(told: Told) -> None:
    found = told.engine
    for flow in (flow for flows in FLOWS.values() for flow in flows):
        for period in QUARTERS:
            wanted = nowcast(triangle(told.changes, flow), calendar.parse_quarter(period))
            assert isinstance(wanted, Nowcast), wanted
            published = found.observations[f"Q.{flow}._T._T._T.NOWCAST", period]
            assert (published.value, published.lower, published.upper, published.status) == (*wanted.interval_95, "E")
            estimate = found.estimates[f"NOWCAST|{period}|{flow}"]
            assert estimate["inputs"]["known"] == wanted.known
            assert (estimate["inputs"]["lower_80"], estimate["inputs"]["upper_80"]) == wanted.interval_80[1:]
            assert estimate["inputs"]["completeness"] == pytest.approx(100 * min(1, wanted.completeness))
            assert estimate["inputs"]["history_from"] == FIRST.isoformat()
            counted = found.observations[f"Q.{flow}._T._T._T._Z", period].value
            assert counted == wanted.known, "and what is counted is what the nowcast calls known"


def test_a_second_path_from_the_log_comes_to_the_same_nowcasts(told: Told, tmp_path: Path) -> None:
    found = told.engine
    at = datetime.fromtimestamp(found.log_time / 1000, UTC)
    published = {key: Published(*o, 1, at) for key, o in found.observations.items()}
    recomputed = {key: of_figure(f) for key, f in recounted(told.log, tmp_path / "verify").items()}
    _, different = differences(published, recomputed, {}, None)
    assert [str(one) for one in different if one.wrong] == []
    nowcasts = [key for key in published if key[0].endswith(".NOWCAST")]
    assert len(nowcasts) == 2 * sum(map(len, FLOWS.values()))
    assert of_figures(published) == []  # an estimate of a quarter is no part of the year's count


def test_how_the_log_is_cut_into_batches_moves_no_nowcast(told: Told) -> None:
    whole = told.log.records()
    place = ("residence-registrations", 0)
    parts = [0, 1000, 1001, 2500, len(whole[place].offsets)]
    columns: tuple[Any, ...] = whole[place]
    cut = [Records(*(column[begin:end] for column in columns)) for begin, end in pairwise(parts)]
    assert engine({place: whole[place]}).estimates == engine({place: whole[place]}, batches={place: cut}).estimates
