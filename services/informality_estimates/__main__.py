"""Informality estimates: survey, benchmark and residual estimates of informal work, cut by cut."""

from services.informality_estimates.stage import AGGREGATES_FOLD, FOLD, EstimatesStage
from services.shared.runtime.kafka.faust_stage import StageHost
from services.shared.runtime.process.service import ServiceContext, run

NAME = "informality-estimates"


async def main(context: ServiceContext) -> None:
    await context.serve()
    stage = EstimatesStage()
    await StageHost(context, NAME, ["aggregates.quarterly.v1"], AGGREGATES_FOLD, "estimates.informality.v1", FOLD, stage).run()


run(NAME, main)
