"""Releases in PostgreSQL: requested, frozen, hidden until their instant, then public.

`embargo` holds every frozen release whole, for ever; nobody reads it but the publisher, and an operator who asks for it. When a
release goes out, one transaction makes it a publication, and copies it to `release` and `release_figure`, which everybody reads.
"""

from datetime import datetime
from typing import Any, NamedTuple

import orjson
import psycopg
from psycopg import sql

from services.shared.runtime.postgres.database import available
from services.shared.runtime.postgres.store import (
    Key,
    Outcome,
    Publication,
    Snapshot,
    Standing,
    Store,
    as_observation,
    as_value,
)
from services.shared.runtime.process.errors import Failure
from services.shared.statistics.exchange.ledger_set import Cut
from services.shared.statistics.exchange.observation import FINAL, Observation
from services.shared.statistics.publication.release import Confidential, Named, Released

_FIGURE = ("series", "period", "value", "lower", "upper", "unit", "decimals", "status", "confidentiality")

Figures = dict[Key, Observation]
Values = dict[str, list[tuple[str, float | None]]]  # period -> (release, value)


class Release(NamedTuple):
    """A public release. `frozen_from`: the publication whose figures it holds; `publication`: the one that it became."""

    name: str
    period: str
    final: bool
    number: int
    due: datetime
    frozen_from: int
    publication: int
    cut: Cut
    log_time: int
    identity: dict[str, str]


class Embargoed(NamedTuple):
    """A frozen release that is not public yet."""

    name: str
    due: datetime
    frozen_at: datetime
    frozen_from: int
    figures: int


class Frozen(NamedTuple):
    """A frozen release. `figures` has its inner cells too."""

    named: Named
    due: datetime
    frozen_from: int
    figures: Figures
    inner: Figures


class Request(NamedTuple):
    """What an operator asked for; `due` None: at once."""

    number: int
    period: str
    final: bool
    due: datetime | None


class Waiting(NamedTuple):
    """What there is to do: requests, oldest first; frozen releases whose instant has come, in the order in which they go out."""

    requests: list[Request]
    due: list[str]


class Freezing(NamedTuple):
    """A release that is to be frozen. `request`: the number of the request that it answers, None: the calendar wants it.

    `figures` has the inner cells too. `after`: how many releases had been frozen when its inner cells were worked out.
    """

    period: str
    final: bool
    due: datetime
    request: int | None
    figures: Figures
    inner: Figures
    confidential: Confidential
    after: int


class Answer(NamedTuple):
    """What came of a request: what it says, its release and publication (None: none)."""

    outcome: str
    release: str | None
    publication: int | None


class ReleaseStore(Store):
    """The published figures with their releases."""

    async def _rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """The rows of a query; none where a database of an earlier version has no such table yet."""
        try:
            return await (await self.connection.execute(self._sql(query), arguments)).fetchall()
        except psycopg.errors.UndefinedTable:
            return []

    # --- for everybody ---------------------------------------------------------------------------------------------------------

    @available
    async def releases(self) -> list[Release]:
        """All public releases, in the order in which they went out."""
        rows = await self._rows(
            "select name, period, final, number, due, frozen_from, publication, cut, log_time, identity "
            "from {schema}.release order by publication"
        )
        return [Release(*row) for row in rows]

    @available
    async def release_figures(self, name: str) -> tuple[Figures, set[Key]]:
        """(all figures of a public release, the keys of its inner cells)."""
        rows = await self._rows(f"select {', '.join(_FIGURE)}, is_inner from {{schema}}.release_figure where name = %s", name)
        figures = {(row[0], row[1]): as_observation(row) for row in rows}
        return figures, {(row[0], row[1]) for row in rows if row[-1]}

    @available
    async def released_values(self, series: list[str]) -> dict[str, Values]:
        """Of each series, per period, (release, value) of every public release that concerns the period, as they went out.

        None: the release hides the figure. Series that no release has are not there.
        """
        rows = await self._rows(
            "select x.series, x.period, r.name, x.value, x.decimals from {schema}.release_figure x "
            "join {schema}.release r using (name) where x.series = any(%s) order by x.series, x.period, r.publication",
            series,
        )
        found: dict[str, Values] = {}
        for of, period, name, value, decimals in rows:
            found.setdefault(of, {}).setdefault(period, []).append((name, as_value(value, decimals)))
        return found

    # --- for operators ---------------------------------------------------------------------------------------------------------

    @available
    async def embargoed(self) -> list[Embargoed]:
        """Frozen releases that are not public yet, the next one first."""
        rows = await self._rows(
            "select name, due, frozen_at, frozen_from, jsonb_array_length(figures) + jsonb_array_length(inner_cells) "
            "from {schema}.embargo where name not in (select name from {schema}.release) order by due, name"
        )
        return [Embargoed(*row) for row in rows]

    @available
    async def hidden_before(self, name: str) -> set[Key]:
        """Keys of inner cells that any release hid which was frozen before this one."""
        rows = await self._rows(
            "select e.inner_cells from {schema}.embargo e join {schema}.embargo this on e.place < this.place where this.name = %s",
            name,
        )
        return {o.key for row in rows for o in map(as_observation, row[0]) if o.value is None}

    @available
    async def request(self, period: str, final: bool, due: datetime | None) -> int:
        """Ask the publisher for a release; the number of the request."""
        query = "insert into {schema}.release_request (period, final, due) values (%s, %s, %s) returning number"
        try:
            row = await (await self.connection.execute(self._sql(query), [period, final, due])).fetchone()
        except psycopg.errors.UndefinedTable:
            raise Failure("nothing was published yet") from None
        assert row is not None
        return int(row[0])

    @available
    async def answer(self, request: int) -> Answer | None:
        """What came of a request; None while nobody has taken it up."""
        (row,) = await self._rows(
            "select q.outcome, q.release, r.publication from {schema}.release_request q "
            "left join {schema}.release r on r.name = q.release where q.number = %s",
            request,
        )
        return None if row[0] is None else Answer(*row)

    @available
    async def take_back(self, request: int) -> bool:
        """Nobody waits for a request any more. False if it was met already."""
        query = "delete from {schema}.release_request where number = %s and outcome is null"
        return (await self.connection.execute(self._sql(query), [request])).rowcount > 0

    # --- for the publisher -----------------------------------------------------------------------------------------------------

    @available
    async def released(self) -> Released:
        """What the public releases say of the figures that are published now."""
        columns = ", ".join("x." + name for name in _FIGURE)
        newest = (
            f"select {columns} from {{schema}}.release_figure x join {{schema}}.release r using (name) where r.publication in "
            "(select max(publication) from {schema}.release where final or %s group by period) and x.is_inner = %s"
        )
        inner = map(as_observation, await self._rows(newest, True, True))
        finals = map(as_observation, await self._rows(newest, False, False))
        return Released({o.key: o for o in inner}, {o.key: o.value for o in finals if o.status == FINAL})

    @available
    async def waiting(self, now: datetime) -> Waiting:
        """What there is to do at an instant."""
        requests = await self._rows(
            "select number, period, final, due from {schema}.release_request where outcome is null order by number"
        )
        due = await self._rows(
            "select name from {schema}.embargo e where due <= %s "
            "and not exists (select from {schema}.release r where r.name = e.name) order by due, period, place",
            now,
        )
        return Waiting([Request(*row) for row in requests], [row[0] for row in due])

    @available
    async def scheduled(self) -> tuple[datetime | None, set[tuple[str, bool]]]:
        """(instant of the first publication, (period, final) of all that was frozen because the calendar wanted it)."""
        first = await self._rows("select min(published_at) from {schema}.publication")
        rows = await self._rows("select period, final from {schema}.embargo where scheduled")
        return first[0][0], {(period, final) for period, final in rows}

    @available
    async def confidential(self) -> list[Confidential]:
        """What every frozen release must keep hidden, oldest first."""
        return [row[0] for row in await self._rows("select confidential from {schema}.embargo order by place")]

    @available
    async def freeze(self, new: Freezing, at: Standing, now: datetime) -> Named | None:
        """Freeze a release at where the publisher stands; None if another publisher has answered the request or the calendar.

        Raises Failure if figures were published, or another release frozen, in the meantime.
        """
        async with self.connection.transaction():
            await self._lock()
            if new.request is not None:
                query = "select from {schema}.release_request where number = %s and outcome is null"
                if not await self._rows(query, new.request):
                    return None
            elif (new.period, new.final) in (await self.scheduled())[1]:
                return None
            frozen = await self._rows("select period, final from {schema}.embargo")
            before = await self.standing()
            if before is None or (before.publication, before.cut, len(frozen)) != (at.publication, at.cut, new.after):
                raise Failure("another publisher was here: read its figures first")
            named = Named(new.period, new.final, 1 + frozen.count((new.period, new.final)))
            await self.connection.execute(
                self._sql(
                    "insert into {schema}.embargo (name, period, final, number, scheduled, due, frozen_at, frozen_from, cut, "
                    "log_time, identity, figures, inner_cells, confidential) "
                    "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
                ),
                [
                    str(named), *named, new.request is None, new.due, now, at.publication, _json(at.cut), at.log_time,
                    _json(at.identity), _json([list(o) for o in new.figures.values() if o.key not in new.inner]),
                    _json([list(new.figures[key]) for key in new.inner]), _json(new.confidential),
                ],
            )  # fmt: skip
            if new.request is not None:
                await self._answer(new.request, "frozen", str(named))
        return named

    @available
    async def refuse(self, request: int, reason: str) -> None:
        """No release can be made for a request. One that another publisher has answered keeps its answer."""
        await self._answer(request, reason, None)

    async def _answer(self, request: int, outcome: str, release: str | None) -> None:
        query = "update {schema}.release_request set (outcome, release) = (%s, %s) where number = %s and outcome is null"
        await self.connection.execute(self._sql(query), [outcome, release, request])

    @available
    async def frozen(self, name: str) -> Frozen:
        """A frozen release, public or not."""
        ((period, final, number, due, publication, figures, cells),) = await self._rows(
            "select period, final, number, due, frozen_from, figures, inner_cells from {schema}.embargo where name = %s", name
        )
        inner = {o.key: o for o in map(as_observation, cells)}
        found = {o.key: o for o in map(as_observation, figures)} | inner
        return Frozen(Named(period, final, number), due, publication, found, inner)

    @available
    async def release(self, frozen: Frozen, new: Publication, known: Snapshot, now: datetime) -> Outcome:
        """Make a frozen release public: a publication that says `new`, and its own figures, in one transaction.

        `now` is not before its instant. Raises Failure as `publish` does.
        """
        assert frozen.due <= now, "a release goes out at its instant, and `export --as-of` an earlier one must not have it"
        name = str(frozen.named)
        async with self.connection.transaction():
            outcome = await self.publish(new, known, now)
            assert outcome.standing.publication == known.publication + 1, "a release is a publication of its own"
            await self.connection.execute(
                self._sql(
                    "insert into {schema}.release (name, period, final, number, due, frozen_from, publication, cut, log_time, "
                    "identity) select name, period, final, number, due, frozen_from, %s, cut, log_time, identity "
                    "from {schema}.embargo where name = %s"
                ),
                [outcome.standing.publication, name],
            )
            columns = sql.SQL(", ").join(map(sql.Identifier, ("name", *_FIGURE, "is_inner")))
            copy_in = sql.SQL("copy {}.release_figure ({}) from stdin").format(self._schema, columns)
            async with self.connection.cursor() as cursor, cursor.copy(copy_in) as copy:
                for key, o in frozen.figures.items():
                    await copy.write_row((name, *o, key in frozen.inner))
        return outcome


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
