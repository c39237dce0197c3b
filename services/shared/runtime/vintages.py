"""Every vintage of one figure: what each publication that changed it said, the newest first."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg

from services.shared.runtime.store import Store, _available


class Vintage(NamedTuple):
    """What publication number `publication` said of a figure; it stood until the next vintage. `status` is empty where the figure
    was taken back; `value` is None then, and where it was suppressed."""

    publication: int
    published_at: datetime
    value: float | None
    lower: float | None
    upper: float | None
    decimals: int
    status: str


@_available
async def vintages(store: Store, series: str, period: str, publication: int, count: int) -> list[Vintage]:
    """At most `count` vintages of a figure that were known at a publication, the newest first. Empty for one never published."""
    query = store._sql(
        "select o.since, p.published_at, o.value, o.lower, o.upper, o.decimals, o.status, o.until, e.published_at "
        "from {schema}.observation o join {schema}.publication p on p.number = o.since "
        "left join {schema}.publication e on e.number = o.until "
        "where o.series = %s and o.period = %s and o.since <= %s order by o.since desc limit %s"
    )
    try:
        rows = await (await store.connection.execute(query, [series, period, publication, count])).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    return _in_order(rows, publication)[:count]


def _in_order(rows: list[tuple[Any, ...]], publication: int) -> list[Vintage]:
    """`rows` as read, newest first; a figure that ended without another beginning at once was taken back."""
    found: list[Vintage] = []
    follows: int | None = None
    for since, at, value, lower, upper, decimals, status, until, ended_at in rows:
        if until is not None and until <= publication and until != follows:
            found.append(Vintage(until, ended_at.astimezone(UTC), None, None, None, decimals, ""))
        found.append(Vintage(since, at.astimezone(UTC), value, lower, upper, decimals, status))
        follows = since
    return found
