"""Quarterly aggregates: adds the day sheets of all feeds up to quarters and the rolling quarter, cut by cut."""

from services.quarterly_aggregates.stage import FOLD, TALLY_FOLD, AggregatesStage
from services.shared.runtime.kafka.faust_stage import StageHost
from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.process.service import ServiceContext, run

NAME = "quarterly-aggregates"


async def main(context: ServiceContext) -> None:
    await context.serve()
    tallies = {topic.name: topic.partitions for topic in load_topics().values() if topic.name.startswith("tallies.")}
    stage = AggregatesStage([(name, partition) for name, count in tallies.items() for partition in range(count)])
    await StageHost(context, NAME, list(tallies), TALLY_FOLD, "aggregates.quarterly.v1", FOLD, stage).run()


run(NAME, main)
