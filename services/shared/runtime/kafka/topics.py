"""Topics: described in schemas/topics/*.yaml, created explicitly, refused when their partition count is another."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, TopicAlreadyExistsError, for_code

from services.shared.runtime.process.errors import ConfigurationError, Unavailable
from services.shared.runtime.process.settings import Settings

FOLDER = Path(__file__).parents[4] / "schemas" / "topics"
CONNECT_RETRY_SECONDS = 0.5
METADATA_SECONDS_MAX = 30.0  # a new topic's leader is known within a second; a slow machine gets thirty


@dataclass(frozen=True)
class Topic:
    """One topic as its YAML file describes it. `partitions` is part of the contract."""

    name: str
    description: str
    owner: str
    producers: list[str]
    consumers: list[str]
    key: str
    value: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


@cache
def load_topics() -> Mapping[str, Topic]:
    """All topics by name, in name order."""
    topics = (Topic(**yaml.safe_load(path.read_text("utf-8"))) for path in sorted(FOLDER.glob("*.yaml")))
    return MappingProxyType({topic.name: topic for topic in topics})


async def _partition_counts(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Partition count by topic name; topics that do not exist are absent."""
    answer = await admin.describe_topics(names)
    return {t["topic"]: len(t["partitions"]) for t in answer if t["error_code"] == 0}


def _refuse_other_counts(settings: Settings, counts: dict[str, int]) -> None:
    for topic in load_topics().values():
        count = counts.get(settings.topic(topic.name))
        if count is not None and count != topic.partitions:
            raise ConfigurationError(
                f"topic {settings.topic(topic.name)} has {count} partitions, the contract says {topic.partitions}"
            )


async def ensure_topics(settings: Settings) -> None:
    """Create the topics that are missing; wait until all have leaders.

    Raises ConfigurationError for another partition count, Unavailable while the broker does not answer.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker(), client_id="tolqyn-topics")
    topics = load_topics()
    names = [settings.topic(name) for name in topics]
    try:
        await admin.start()
        counts = await _partition_counts(admin, names)
        _refuse_other_counts(settings, counts)
        missing = [t for t in topics.values() if settings.topic(t.name) not in counts]
        if missing:
            await _create(admin, settings, missing)
        async with asyncio.timeout(METADATA_SECONDS_MAX):
            while len(counts) < len(names):
                await asyncio.sleep(0.05)
                counts = await _partition_counts(admin, names)
        _refuse_other_counts(settings, counts)
    except TimeoutError:
        raise Unavailable(f"topics have no leader after {METADATA_SECONDS_MAX:.0f} s") from None
    except (KafkaConnectionError, OSError) as error:
        raise Unavailable(f"no broker at {settings.bootstrap_servers}: {error}") from error
    finally:
        await admin.close()


async def require(settings: Settings, names: list[str], stopping: asyncio.Event) -> dict[str, int]:
    """Partition counts of contract topics, waiting while the broker is away.

    Raises ConfigurationError if one does not exist or has another count than the contract says, Unavailable if the service stops.
    """
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker(), client_id="tolqyn-topics")
        try:
            await admin.start()
            counts = await _partition_counts(admin, [settings.topic(name) for name in names])
            break
        except (KafkaConnectionError, OSError) as error:
            if stopping.is_set():
                raise Unavailable(f"no broker at {settings.bootstrap_servers}: {error}") from error
            await asyncio.sleep(CONNECT_RETRY_SECONDS)
        finally:
            await admin.close()
    _refuse_other_counts(settings, counts)
    for name in names:
        if settings.topic(name) not in counts:
            raise ConfigurationError(f"topic {settings.topic(name)} does not exist: run the stack's set-up first")
    return {name: counts[settings.topic(name)] for name in names}


async def _create(admin: AIOKafkaAdminClient, settings: Settings, missing: list[Topic]) -> None:
    new = [NewTopic(settings.topic(t.name), t.partitions, 1, topic_configs=t.config) for t in missing]
    for topic in new:
        # The broker's own default, which is what its operators chose. The constructor refuses it, the protocol does not.
        topic.replication_factor = -1
    answer = await admin.create_topics(new)
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # two creators at once: both are right
            raise ConfigurationError(f"cannot create topic {name}: {error.__name__}")
