"""The Faust app: whole sets of aggregates come through a channel, an agent makes the estimates of them.

What Faust is there for: it starts and stops agent and task in order, the channel holds the reader back while the agent works, and a
timer or a monitor would have its place here. What it is not there for: the topics. The ledgers are read and written by
`services.shared.runtime.kafka.stage`, from the beginning at every start; Faust's own topics, tables and offsets are not used.
"""

from collections.abc import AsyncIterator

import faust

from services.informality_estimates.stage import AGGREGATES_FOLD, FOLD, EstimatesStage
from services.shared.runtime.kafka.ledger import Adoption
from services.shared.runtime.kafka.stage import CUTS_WAITING_MAX, StageLedgers, app_options
from services.shared.runtime.process.service import ServiceContext

NAME = "informality-estimates"
INPUT, OUTPUT = "aggregates.quarterly.v1", "estimates.informality.v1"


def stage_app(context: ServiceContext, ledgers: StageLedgers, stage: EstimatesStage) -> faust.App:
    """An app that takes every cut of `ledgers` through `stage`."""
    app = faust.App(context.settings.prefix + NAME, **app_options(context.settings, NAME))
    cuts = app.channel(value_type=list, maxsize=CUTS_WAITING_MAX)

    @app.task
    async def follow_aggregates() -> None:
        await ledgers.follow(cuts.put)

    @app.agent(cuts)
    async def estimate(stream: AsyncIterator[list[Adoption]]) -> None:
        async for adoptions in stream:
            await ledgers.hand_on(stage, adoptions)

    return app


async def run_stage(context: ServiceContext) -> None:
    """Until the service stops."""
    ledgers = StageLedgers(context, NAME, [INPUT], AGGREGATES_FOLD, OUTPUT, FOLD)
    await ledgers.run(stage_app(context, ledgers, EstimatesStage()))
