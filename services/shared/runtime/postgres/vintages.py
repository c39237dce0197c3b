"""Every vintage of one figure: what each publication that changed it said, the newest first."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg

from services.shared.runtime.postgres.database import available
from services.shared.runtime.postgres.store import Store


class Vintage(NamedTuple):
    """What publication number `publication` said of a figure; it stood until the next vintage. `status` is empty where the figure
    was taken back; `value` is None then, and where it was suppressed. `releases`: the names of public releases that hold it as it
    was then, oldest first."""

    publication: int
    published_at: datetime
    value: float | None
    lower: float | None
    upper: float | None
    decimals: int
    status: str
    releases: tuple[str, ...] = ()


@available
async def vintages(store: Store, series: str, period: str, publication: int, count: int) -> list[Vintage]:
    """At most `count` vintages of a figure that were known at a publication, the newest first. Empty for one never published."""
    # What a release froze stood in the publication that it was frozen from; inner cells appear only when it goes out.
    query = store._sql(
        "select o.since, p.published_at, o.value, o.lower, o.upper, o.decimals, o.status, o.until, e.published_at, array("
        "select r.name from {schema}.release_figure x join {schema}.release r using (name) cross join lateral "
        "(select case when x.is_inner then r.publication else r.frozen_from end) as stood (at) "
        "where (x.series, x.period) = (o.series, o.period) and r.publication <= %s "
        "and stood.at >= o.since and (o.until is null or stood.at < o.until) order by r.publication) "
        "from {schema}.observation o join {schema}.publication p on p.number = o.since "
        "left join {schema}.publication e on e.number = o.until "
        "where o.series = %s and o.period = %s and o.since <= %s order by o.since desc limit %s"
    )
    try:
        rows = await (await store.connection.execute(query, [publication, series, period, publication, count])).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    return _in_order(rows, publication)[:count]


def _in_order(rows: list[tuple[Any, ...]], publication: int) -> list[Vintage]:
    """`rows` as read, newest first; a figure that ended without another beginning at once was taken back."""
    found: list[Vintage] = []
    follows: int | None = None
    for since, at, value, lower, upper, decimals, status, until, ended_at, releases in rows:
        if until is not None and until <= publication and until != follows:
            found.append(Vintage(until, ended_at.astimezone(UTC), None, None, None, decimals, ""))
        found.append(Vintage(since, at.astimezone(UTC), value, lower, upper, decimals, status, tuple(releases)))
        follows = since
    return found
