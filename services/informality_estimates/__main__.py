"""Informality estimates: survey, benchmark and residual estimates of informal work, cut by cut."""

from services.informality_estimates.app import NAME, run_stage
from services.shared.runtime.process.service import ServiceContext, run


async def main(context: ServiceContext) -> None:
    await context.serve()
    await run_stage(context)


run(NAME, main)
