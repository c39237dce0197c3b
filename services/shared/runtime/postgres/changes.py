"""What publications changed, for those who keep a copy: every change of many series, and what was taken back since a moment."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg

from services.shared.runtime.postgres.database import available
from services.shared.runtime.postgres.store import Published, Store, as_published

_ROW = (
    "o.series, o.period, o.value, o.lower, o.upper, o.unit, o.decimals, o.status, o.confidentiality, o.since, p.published_at, "
    "o.until, e.published_at"
)
_JOINED = "from {schema}.observation o join {schema}.publication p on p.number = o.since"


class Change(NamedTuple):
    """At a publication an observation became `row`; or ceased to be there, if `gone`: then `row` is what it was."""

    publication: int
    published_at: datetime
    row: Published
    gone: bool


@available
async def changes(store: Store, series: str, after: datetime | None, publication: int, count: int) -> list[Change]:
    """All changes up to a publication, and after a moment if one is given, of the series that a POSIX pattern matches: in order of
    publication, series, period. Read from at most `count` observations: as many in the answer may mean that there are more."""
    query = store._sql(
        "select " + _ROW + ", r.series is not null " + _JOINED + " left join {schema}.publication e on e.number = o.until "
        "left join {schema}.observation r on (r.series, r.period, r.since) = (o.series, o.period, o.until) "
        "where o.series ~ %(series)s and o.since <= %(n)s and (%(after)s::timestamptz is null or p.published_at > %(after)s "
        "or (e.published_at > %(after)s and o.until <= %(n)s and r.series is null)) order by o.since limit %(count)s"
    )
    arguments = {"series": series, "n": publication, "after": after, "count": count}
    try:
        rows = await (await store.connection.execute(query, arguments)).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    found = []
    for *row, until, ended_at, replaced in rows:
        published = as_published(row)
        if after is None or published.published_at > after:
            found.append(Change(published.as_of, published.published_at, published, gone=False))
        if until is not None and until <= publication and not replaced and (after is None or ended_at > after):
            found.append(Change(until, ended_at.astimezone(UTC), published, gone=True))
    return sorted(found, key=lambda change: (change.publication, change.row.series, change.row.period))


@available
async def taken_back(store: Store, series: str, after: datetime, publication: int) -> list[Published]:
    """What ceased to be published after a moment and is not there at a publication, as it last was; sorted by series and period."""
    query = store._sql(
        "select distinct on (o.series, o.period) " + _ROW + " " + _JOINED + " join {schema}.publication e on e.number = o.until "
        "where o.series ~ %(series)s and e.published_at > %(after)s and o.until <= %(n)s and not exists (select from "
        "{schema}.observation c where (c.series, c.period) = (o.series, o.period) and c.since <= %(n)s "
        "and (c.until is null or c.until > %(n)s)) order by o.series, o.period, o.since desc"
    )
    arguments: dict[str, Any] = {"series": series, "after": after, "n": publication}
    try:
        rows = await (await store.connection.execute(query, arguments)).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    found = [as_published(row[:11]) for row in rows]
    return sorted(found, key=lambda row: (row.series, row.period))
