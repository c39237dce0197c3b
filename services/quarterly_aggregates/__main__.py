"""Quarterly aggregates: adds the day sheets of all feeds up to quarters and the rolling quarter, cut by cut."""

from services.quarterly_aggregates.stage import FOLD, TALLY_FOLD, AggregatesStage
from services.shared.runtime.faust_stage import StageHost
from services.shared.runtime.service import ServiceContext, run
from services.shared.runtime.topics import load_topics

NAME = "quarterly-aggregates"


async def main(context: ServiceContext) -> None:
    await context.serve()
    tallies = {topic.name: topic.partitions for topic in load_topics().values() if topic.name.startswith("tallies.")}
    stage = AggregatesStage([(name, partition) for name, count in tallies.items() for partition in range(count)])
    await StageHost(context, NAME, list(tallies), TALLY_FOLD, "aggregates.quarterly.v1", FOLD, stage).run()


run(NAME, main)
