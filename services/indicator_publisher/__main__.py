"""Indicator publisher: turns one cut of aggregates and estimates into one publication."""

from services.indicator_publisher.publisher import Publisher
from services.shared.runtime.process.service import ServiceContext, run


async def main(context: ServiceContext) -> None:
    await context.serve()
    await Publisher(context).run()


run("indicator-publisher", main)
