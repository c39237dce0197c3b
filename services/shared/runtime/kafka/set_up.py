"""A deployment's first step: `python -m services.shared.runtime.kafka.set_up` creates the topics that are missing, and claims them.

Exit code 78 if the topics are not as the contract says or belong to another stack, 1 if the broker cannot be reached.
"""

import asyncio
import logging
import sys

from aiokafka.errors import KafkaError

from services.shared.runtime.kafka.stack_identity import claim
from services.shared.runtime.kafka.topics import ensure_topics
from services.shared.runtime.process.errors import ConfigurationError, Failure
from services.shared.runtime.process.service import EXIT_CONFIGURATION, set_up_logs
from services.shared.runtime.process.settings import Settings

log = logging.getLogger("tolqyn.set-up")


async def set_up(settings: Settings) -> None:
    """Topics that are there and this stack's; done again, it changes nothing. Raises Failure."""
    await ensure_topics(settings)
    await claim(settings)


if __name__ == "__main__":
    set_up_logs()
    try:
        asyncio.run(set_up(Settings.from_env()))
    except (Failure, KafkaError) as error:
        log.error("%s", error)
        sys.exit(EXIT_CONFIGURATION if isinstance(error, ConfigurationError) else 1)
