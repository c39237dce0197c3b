"""Quarterly aggregates: adds the day sheets of all feeds up to quarters and the rolling quarter, cut by cut."""

from services.quarterly_aggregates.app import NAME, run_stage
from services.shared.runtime.process.service import ServiceContext, run


async def main(context: ServiceContext) -> None:
    await context.serve()
    await run_stage(context)


run(NAME, main)
