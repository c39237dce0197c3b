"""Fixtures of the tests that need a real broker and a real database."""

from collections.abc import AsyncIterator

import pytest

from services.shared.runtime.kafka.topics import ensure_topics
from services.shared.runtime.process.settings import Settings
from tests.integration.stages import Stages


@pytest.fixture
async def stages(settings: Settings) -> AsyncIterator[Stages]:
    await ensure_topics(settings)
    one = Stages(settings)
    await one.start()
    yield one
    await one.stop()
