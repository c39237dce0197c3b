"""Publications in PostgreSQL, with every vintage kept.

A row of `observation` or `annex` is valid from publication `since` until (not including) publication `until`; the current one has
none. So what was known at any publication or instant is a query. `position` says up to which cut of the log the newest publication
is true.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import orjson
import psycopg

from schemas.values import Estimate, KeptFigure, Quality
from services.shared.runtime.postgres.database import Database, available
from services.shared.runtime.process.errors import Failure
from services.shared.statistics.exchange.ledger_set import Cut, is_behind
from services.shared.statistics.exchange.observation import Observation
from services.shared.statistics.publication.release import Dates, Told
from services.shared.statistics.publication.revisions import SeriesRevisions

KINDS = ("reference", "estimate", "quality", "release")  # of annexes
_KINDS = ", ".join(f"'{kind}'" for kind in KINDS)

_DDL = """
create schema if not exists {schema};
create table if not exists {schema}.publication (
    number bigint primary key,
    published_at timestamptz not null unique,
    changes integer not null,
    cut jsonb not null,
    log_time bigint not null
);
create table if not exists {schema}.position (
    only_one boolean primary key default true check (only_one),
    publication bigint not null references {schema}.publication,
    cut jsonb not null,
    log_time bigint not null,
    identity jsonb not null,
    fold integer not null
);
create table if not exists {schema}.observation (
    series text not null, period text not null,
    value double precision, lower double precision, upper double precision,
    unit text not null, decimals smallint not null, status text not null, confidentiality text not null,
    since bigint not null references {schema}.publication, until bigint references {schema}.publication,
    primary key (series, period, since)
);
create unique index if not exists observation_current on {schema}.observation (series, period) where until is null;
create table if not exists {schema}.annex (
    kind text not null constraint annex_kind_check check (kind in (<kinds>)), key text not null, body jsonb not null,
    since bigint not null references {schema}.publication, until bigint references {schema}.publication,
    primary key (kind, key, since)
);
create unique index if not exists annex_current on {schema}.annex (kind, key) where until is null;
create table if not exists {schema}.release_request (
    number bigint primary key generated always as identity,
    period text not null check (period ~ '^[0-9]{{4}}-Q[1-4]$'), final boolean not null, due timestamptz,
    outcome text, release text
);
create table if not exists {schema}.embargo (
    place bigint not null unique generated always as identity,
    name text primary key, period text not null, final boolean not null, number integer not null,
    scheduled boolean not null, due timestamptz not null, frozen_at timestamptz not null,
    frozen_from bigint not null references {schema}.publication,
    cut jsonb not null, log_time bigint not null, identity jsonb not null,
    figures jsonb not null, inner_cells jsonb not null, confidential jsonb not null
);
create unique index if not exists embargo_scheduled on {schema}.embargo (period, final) where scheduled;
create table if not exists {schema}.release (
    name text primary key, period text not null, final boolean not null, number integer not null, due timestamptz not null,
    frozen_from bigint not null references {schema}.publication,
    publication bigint not null unique references {schema}.publication,
    cut jsonb not null, log_time bigint not null, identity jsonb not null
);
create table if not exists {schema}.release_figure (
    name text not null references {schema}.release,
    series text not null, period text not null,
    value double precision, lower double precision, upper double precision,
    unit text not null, decimals smallint not null, status text not null, confidentiality text not null,
    is_inner boolean not null,
    primary key (series, period, name)
);
create index if not exists release_figure_of on {schema}.release_figure (name);
""".replace("<kinds>", _KINDS)
# A database of an earlier version knows fewer kinds. Only then: it would lock out readers for nothing.
_DDL_KINDS = """
alter table {schema}.annex drop constraint annex_kind_check,
    add constraint annex_kind_check check (kind in (<kinds>));
""".replace("<kinds>", _KINDS)

TICK = timedelta(milliseconds=1)  # between two publications at the least: a time is printed in milliseconds, and leads back to one

Key = tuple[str, str]
V = TypeVar("V")
ReleaseNote = Told | Dates | SeriesRevisions
Body = KeptFigure | Estimate | Quality | ReleaseNote  # whose it is, its kind says
Annex = dict[Key, Body]  # (kind, key) -> body


class Published(NamedTuple):
    """An observation as it stands at some publication. `as_of`: the publication at which it last changed."""

    series: str
    period: str
    value: float | int | None
    lower: float | None
    upper: float | None
    unit: str
    decimals: int
    status: str
    confidentiality: str
    as_of: int
    published_at: datetime


class Snapshot(NamedTuple):
    """Everything that one publication says."""

    publication: int
    published_at: datetime
    cut: Cut
    observations: dict[Key, Published]
    references: list[KeptFigure]
    estimates: dict[str, Estimate]
    qualities: Mapping[str, Quality] = MappingProxyType({})
    releases: Mapping[str, ReleaseNote] = MappingProxyType({})


class Standing(NamedTuple):
    """Where the newest publication stands."""

    publication: int
    published_at: datetime
    cut: Cut
    log_time: int
    identity: dict[str, str]
    fold: int


class Publication(NamedTuple):
    """What a publisher hands in: all observations and annexes of one cut."""

    observations: dict[Key, Observation]
    annex: Annex
    standing: Standing  # publication and published_at are those of the set that it was compared with


class Outcome(NamedTuple):
    """What came of publishing: where it stands, all that is published now, and what of it changed (None: gone)."""

    standing: Standing
    snapshot: Snapshot
    changes: dict[Key, Published | None]


class Store(Database):
    """A connection to the published figures. `async with`; raises Unavailable while the database is away."""

    @available
    async def create(self) -> None:
        """Create the tables if they are not there."""
        async with self.connection.transaction():
            await self._lock()
            await self.connection.execute(self._sql(_DDL))
            table = self._sql("{schema}.annex").as_string(self.connection)
            query = "select pg_get_constraintdef(oid) from pg_constraint where conname = %s and conrelid = %s::regclass"
            row = await (await self.connection.execute(query, ["annex_kind_check", table])).fetchone()
            if row is None or any(f"'{kind}'" not in row[0] for kind in KINDS):
                await self.connection.execute(self._sql(_DDL_KINDS))

    @available
    async def standing(self) -> Standing | None:
        """Where the newest publication stands; None before the first."""
        query = self._sql(
            "select p.number, p.published_at, x.cut, x.log_time, x.identity, x.fold "
            "from {schema}.position x join {schema}.publication p on p.number = x.publication"
        )
        try:
            row = await (await self.connection.execute(query)).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        return None if row is None else Standing(*row)

    @available
    async def publication_at(self, as_of: int | datetime | None) -> tuple[int, datetime, Cut] | None:
        """(number, time, cut) of the publication that was the newest at a number or instant (None: now)."""
        where: str = "true"
        arguments: list[Any] = []
        if isinstance(as_of, datetime):
            where, arguments = "published_at <= %s", [as_of]
        elif as_of is not None:
            where, arguments = "number <= %s", [as_of]
        query = self._sql(
            "select number, published_at, cut from {schema}.publication where " + where + " order by number desc limit 1"
        )
        try:
            row = await (await self.connection.execute(query, arguments)).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        return None if row is None else (row[0], row[1].astimezone(UTC), row[2])

    @available
    async def snapshot(self, as_of: int | datetime | None = None) -> Snapshot | None:
        """All that was published at a publication number or instant (default: now); None if nothing was yet."""
        async with self.connection.transaction():
            await self.connection.execute("set transaction isolation level repeatable read, read only")
            found = await self.publication_at(as_of)
            if found is None:
                return None
            number, published_at, cut = found
            if as_of is None:
                standing = await self.standing()
                cut = standing.cut if standing is not None else cut
            rows = await self.connection.execute(
                self._sql(
                    "select o.series, o.period, o.value, o.lower, o.upper, o.unit, o.decimals, o.status, o.confidentiality, "
                    "o.since, p.published_at from {schema}.observation o join {schema}.publication p on p.number = o.since "
                    "where o.since <= %(n)s and (o.until is null or o.until > %(n)s)"
                ),
                {"n": number},
            )
            observations = {(row[0], row[1]): as_published(row) async for row in rows}
            annex = await self._annex(number)
        return _snapshot(number, published_at, cut, observations, annex)

    async def _annex(self, number: int) -> Annex:
        rows = await self.connection.execute(
            self._sql(
                "select kind, key, body from {schema}.annex where since <= %(n)s and (until is null or until > %(n)s) order by 1, 2"
            ),
            {"n": number},
        )
        return {(row[0], row[1]): row[2] async for row in rows}

    @available
    async def publish(self, new: Publication, known: Snapshot | None, now: datetime) -> Outcome:
        """Publish one cut in one transaction: number it if any figure changed, close old rows, add new ones, move the position.

        `known` is the newest publication as the caller knows it; the outcome's snapshot is what `snapshot()` would read now. Raises
        Failure if somebody else published in the meantime, or if the cut is behind what is published.
        """
        async with self.connection.transaction():
            await self._lock()
            before = await self.standing()
            if (before.publication if before else 0) != (known.publication if known else 0):
                raise Failure("another publisher was here: read its figures first")
            if before is not None and is_behind(new.standing.cut, before.cut):
                raise Failure("a cut behind the published one cannot be published")
            now = _moment_after(before.published_at if before else None, now)
            old, old_annex = (known.observations, annex_of(known)) if known else ({}, {})
            gone, fresh = _difference({k: bare(o) for k, o in old.items()}, new.observations)
            gone_annex, fresh_annex = _difference(old_annex, new.annex)
            standing = new.standing._replace(
                publication=before.publication if before else 0, published_at=before.published_at if before else now
            )
            changes: dict[Key, Published | None] = {}
            if before is None or gone or fresh or gone_annex or fresh_annex:
                standing = standing._replace(publication=standing.publication + 1, published_at=now)
                changes = dict.fromkeys(gone) | {k: as_published((*o, standing.publication, now)) for k, o in fresh.items()}
                await self._number(standing, len(changes))
                await self._replace("observation", "series, period", gone, [_row(o) for o in fresh.values()], standing.publication)
                rows = [(kind, key, orjson.dumps(body).decode()) for (kind, key), body in fresh_annex.items()]
                await self._replace("annex", "kind, key", gone_annex, rows, standing.publication)
            await self._move(standing)
        observations = {key: o for key, o in {**old, **changes}.items() if o is not None}
        snapshot = _snapshot(standing.publication, standing.published_at, standing.cut, observations, new.annex)
        return Outcome(standing, snapshot, changes)

    async def _number(self, standing: Standing, changes: int) -> None:
        await self.connection.execute(
            self._sql("insert into {schema}.publication values (%s, %s, %s, %s, %s)"),
            [standing.publication, standing.published_at, changes, orjson.dumps(standing.cut).decode(), standing.log_time],
        )

    async def _move(self, standing: Standing) -> None:
        await self.connection.execute(
            self._sql(
                "insert into {schema}.position (publication, cut, log_time, identity, fold) values (%s, %s, %s, %s, %s) "
                "on conflict (only_one) do update set (publication, cut, log_time, identity, fold) = "
                "(excluded.publication, excluded.cut, excluded.log_time, excluded.identity, excluded.fold)"
            ),
            [
                standing.publication,
                orjson.dumps(standing.cut).decode(),
                standing.log_time,
                orjson.dumps(standing.identity).decode(),
                standing.fold,
            ],
        )

    async def _replace(self, table: str, key: str, gone: list[Key], rows: list[tuple[Any, ...]], number: int) -> None:
        if gone:
            await self.connection.execute(
                self._sql(
                    "update {schema}." + table + " set until = %s from unnest(%s::text[], %s::text[]) as gone(a, b) "
                    "where (" + key + ") = (gone.a, gone.b) and until is null"
                ),
                [number, [a for a, _ in gone], [b for _, b in gone]],
            )
        if rows:
            columns = "series, period, value, lower, upper, unit, decimals, status, confidentiality"
            names = columns if table == "observation" else "kind, key, body"
            async with (
                self.connection.cursor() as cursor,
                cursor.copy(self._sql("copy {schema}." + table + " (" + names + ", since) from stdin")) as copy,
            ):
                for row in rows:
                    await copy.write_row((*row, number))


def _moment_after(before: datetime | None, now: datetime) -> datetime:
    """PUBLISHED_AT of what is published `now`: whole milliseconds, not before `now`, and after `before` however clocks were set."""
    moment = _whole(now + TICK - timedelta(microseconds=1))
    return moment if before is None else max(moment, _whole(before) + TICK)


def _whole(moment: datetime) -> datetime:
    """Cut off to the millisecond, as it is printed."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _snapshot(number: int, published_at: datetime, cut: Cut, observations: dict[Key, Published], annex: Annex) -> Snapshot:
    bodies: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for kind, key in sorted(annex):
        bodies[kind][key] = annex[kind, key]
    references: list[KeptFigure] = [*bodies["reference"].values()]
    return Snapshot(number, published_at, cut, observations, references, bodies["estimate"], bodies["quality"], bodies["release"])


def as_value(value: float | None, decimals: int) -> float | int | None:
    """The value of a row, or of what will be one: a whole number of things is an integer, all else that is there is a float."""
    if value is None:
        return None
    return int(value) if decimals == 0 and float(value).is_integer() else float(value)


def as_observation(row: Sequence[Any]) -> Observation:
    """Of the first nine columns of a row, or of what will be one."""
    series, period, value, lower, upper, unit, decimals, status, confidentiality = row[:9]
    low, high = (None if limit is None else float(limit) for limit in (lower, upper))
    return Observation(series, period, as_value(value, decimals), low, high, unit, decimals, status, confidentiality)


def as_published(row: Sequence[Any]) -> Published:
    """Of a row with its publication and the time of that."""
    return Published(*as_observation(row), row[9], row[10].astimezone(UTC))


def bare(published: Published) -> Observation:
    """Without when it was published."""
    return Observation(*published[:9])


def _row(observation: Observation) -> tuple[Any, ...]:
    return tuple(observation)


def annex_of(snapshot: Snapshot) -> Annex:
    """All annexes of a snapshot."""
    annex: Annex = {("reference", reference["key"]): reference for reference in snapshot.references}
    annex |= {("estimate", key): estimate for key, estimate in snapshot.estimates.items()}
    annex |= {("quality", key): report for key, report in snapshot.qualities.items()}
    annex |= {("release", key): note for key, note in snapshot.releases.items()}
    return annex


def _difference(old: dict[Key, V], new: dict[Key, V]) -> tuple[list[Key], dict[Key, V]]:
    """(keys whose old row ends, rows that begin)."""
    gone = [key for key, value in old.items() if new.get(key) != value]
    fresh = {key: value for key, value in new.items() if old.get(key) != value}
    return gone, fresh
