"""The topics that carry what was published, each a ledger. PostgreSQL is ahead of them, never behind."""

import asyncio
from typing import cast

import orjson

from schemas.values import ConfStatus, Indicator, ObsStatus, Quality
from services.shared.runtime.kafka.ledger import LedgerOwner, Position
from services.shared.runtime.postgres.store import Outcome, Published, Snapshot, Standing
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import Changes

INDICATORS, QUALITY = "indicators.v1", "quality.v1"


class Outlets:
    """Both topics. Until `own` was called, `write` does nothing."""

    def __init__(self, settings: Settings, fold: int) -> None:
        self._figures, self._reports = LedgerOwner(settings, INDICATORS, fold), LedgerOwner(settings, QUALITY, fold)
        self._known: Snapshot | None = None
        self._owned = False

    async def start(self, stopping: asyncio.Event) -> None:
        for ledger in (self._figures, self._reports):
            await ledger.start(stopping)

    async def stop(self) -> None:
        for ledger in (self._figures, self._reports):
            await ledger.stop()

    async def keep_repaired(self, stopping: asyncio.Event) -> None:
        """Write over what is foreign, until the service stops."""
        await asyncio.gather(*(ledger.keep_repaired(stopping) for ledger in (self._figures, self._reports)))

    async def own(self, known: Snapshot, standing: Standing) -> None:
        """Make the topics equal to the database; not while one is ahead of it (the database is new, or came from a backup)."""
        position = _position(standing)
        entries = {f"{o.series}:{o.period}": value_of(o) for o in known.observations.values()}
        reports = {period: report_of(body) for period, body in known.qualities.items()}
        ahead = [await self._figures.own(0, entries, position), await self._reports.own(0, reports, position)]
        self._known, self._owned = known, ahead == [None, None]

    async def write(self, outcome: Outcome) -> None:
        """Bring the topics to a new publication."""
        new, known = outcome.snapshot, self._known
        if not self._owned or known is None:
            await self.own(new, outcome.standing)
            return
        position = _position(outcome.standing)
        figures: Changes = {f"{s}:{p}": None if o is None else value_of(o) for (s, p), o in outcome.changes.items()}
        await self._figures.write(0, figures, position)
        reports: Changes = dict.fromkeys(known.qualities.keys() - new.qualities.keys())
        for period, body in new.qualities.items():
            if known.qualities.get(period) != body:
                reports[period] = report_of(body)
        await self._reports.write(0, reports, position)
        self._known = new


def _position(standing: Standing) -> Position:
    return Position(standing.cut, standing.log_time, standing.identity, standing.publication)


def report_of(body: Quality) -> bytes:
    """A quality report as `quality.v1` carries it: the same bytes whether it was computed or read from the database."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def value_of(o: Published) -> bytes:
    """One observation as `indicators.v1` carries it."""
    value: Indicator = {
        "OBS_VALUE": o.value,
        "LOWER": o.lower,
        "UPPER": o.upper,
        "UNIT_MEASURE": o.unit,
        "DECIMALS": o.decimals,
        "OBS_STATUS": cast(ObsStatus, o.status),
        "CONF_STATUS": cast(ConfStatus, o.confidentiality),
        "AS_OF": o.as_of,
        "PUBLISHED_AT": o.published_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return orjson.dumps(value)
