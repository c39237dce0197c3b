"""The Faust app: whole sets of the tallies come through a channel, an agent adds them up.

What Faust is there for: it starts and stops agent and task in order, the channel holds the reader back while the agent works, and a
timer or a monitor would have its place here. What it is not there for: the topics. The ledgers are read and written by
`services.shared.runtime.kafka.stage`, from the beginning at every start; Faust's own topics, tables and offsets are not used.
"""

from collections.abc import AsyncIterator

import faust

from services.quarterly_aggregates.stage import FOLD, TALLY_FOLD, AggregatesStage
from services.shared.runtime.kafka.ledger import Adoption
from services.shared.runtime.kafka.stage import CUTS_WAITING_MAX, StageLedgers, app_options
from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.process.service import ServiceContext

NAME = "quarterly-aggregates"
OUTPUT = "aggregates.quarterly.v1"


def stage_app(context: ServiceContext, ledgers: StageLedgers, stage: AggregatesStage) -> faust.App:
    """An app that takes every cut of `ledgers` through `stage`."""
    app = faust.App(context.settings.prefix + NAME, **app_options(context.settings, NAME))
    cuts = app.channel(value_type=list, maxsize=CUTS_WAITING_MAX)

    @app.task
    async def follow_tallies() -> None:
        await ledgers.follow(cuts.put)

    @app.agent(cuts)
    async def add_up(stream: AsyncIterator[list[Adoption]]) -> None:
        async for adoptions in stream:
            await ledgers.hand_on(stage, adoptions)

    return app


async def run_stage(context: ServiceContext) -> None:
    """Until the service stops."""
    tallies = {topic.name: topic.partitions for topic in load_topics().values() if topic.name.startswith("tallies.")}
    stage = AggregatesStage([(name, partition) for name, count in tallies.items() for partition in range(count)])
    ledgers = StageLedgers(context, NAME, list(tallies), TALLY_FOLD, OUTPUT, FOLD)
    await ledgers.run(stage_app(context, ledgers, stage))
