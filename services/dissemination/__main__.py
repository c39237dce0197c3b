"""Serve the bulletin and SDMX REST from what the publisher left in PostgreSQL."""

import asyncio
from contextlib import suppress

from services.dissemination.app import Pages, add_routes
from services.dissemination.figure import VINTAGES_READ_MAX
from services.dissemination.sdmx import web as sdmx
from services.dissemination.sdmx.archive import StoreArchive
from services.shared.runtime.postgres.store import Snapshot, Store
from services.shared.runtime.postgres.vintages import Vintage, vintages
from services.shared.runtime.process.errors import Unavailable
from services.shared.runtime.process.service import ServiceContext, run

LOOK_SECONDS = 2.0  # how soon readiness follows the database when nobody asks for a page


async def main(context: ServiceContext) -> None:
    known: Snapshot | None = None
    context.settings.database()  # a missing setting ends the process here, with one clear line

    async def newest() -> Snapshot | None:
        nonlocal known
        async with Store.of(context.settings) as store:
            standing = await store.standing()
            if standing is None or known is None or known.published_at != standing.published_at:
                known = await store.snapshot()
            else:
                known = known._replace(cut=standing.cut)
        return known

    async def history(series: str, period: str, publication: int) -> list[Vintage]:
        async with Store.of(context.settings) as store:
            return await vintages(store, series, period, publication, VINTAGES_READ_MAX)

    def on_state(reason: str) -> None:
        if reason:
            context.set_not_ready(reason)
        else:
            context.set_ready()

    pages = Pages(newest, history, on_state)
    add_routes(context.web, pages)
    sdmx.add_routes(context.web, sdmx.Service(pages.snapshot, StoreArchive(context.settings)))
    await context.serve()
    while not context.stopping.is_set():
        with suppress(Unavailable):  # `on_state` has said so; the next look may find the database again
            await pages.snapshot()
        with suppress(TimeoutError):
            await asyncio.wait_for(context.stopping.wait(), LOOK_SECONDS)


if __name__ == "__main__":
    run("dissemination", main)
