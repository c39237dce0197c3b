"""An ingest service, top to bottom: keys, edge, log, route, inbox. The same for every feed."""

import asyncio
import logging
import time
from collections.abc import Callable

from schemas.feeds import Feed
from services.shared.ingest.edge import Edge
from services.shared.ingest.http import RecordsEndpoint
from services.shared.ingest.inbox import Inbox
from services.shared.runtime.kafka.producer import EventProducer
from services.shared.runtime.kafka.stack_identity import check_pseudonym_key
from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.process import metrics, pseudonym_key
from services.shared.runtime.process.api_keys import ApiKeys
from services.shared.runtime.process.errors import Unavailable
from services.shared.runtime.process.service import ServiceContext, run

WAIT_SECONDS = 1.0  # between looks for a broker that is away at the start
IDLE_SECONDS_MAX = (
    3.0  # for open submissions and chunks after the stop signal; with the producer's four it stays below the service's eight
)

log = logging.getLogger("tolqyn.ingest")


def run_feed(feed: Feed) -> None:
    """Run the ingest service of a feed to its end."""

    async def main(context: ServiceContext) -> None:
        await serve_feed(context, feed)

    run(feed.name, main)


async def serve_feed(context: ServiceContext, feed: Feed, clock: Callable[[], float] = time.time) -> None:
    """Take submissions until the service stops. `clock`: Unix seconds, to be compared with the log's."""
    settings = context.settings
    key = pseudonym_key.load(settings.pseudonym_key_file)
    partitions = load_topics()[feed.topic].partitions
    producer = EventProducer(settings, f"tolqyn-{feed.name}", context.stopping, clock)
    edge = Edge(feed, key.secret, key.id)
    metrics.CLOCK_SKEW.labels(feed.name).set_function(lambda: producer.skew.seconds or 0.0)

    def ready() -> bool:
        return context.ready and not producer.skew.apart  # at once, not when `watch` comes round to it

    endpoint = RecordsEndpoint(edge, ApiKeys(settings.api_keys_file), producer, partitions, ready)
    folders = (settings.inbox, settings.outbox)
    inbox = Inbox(folders, edge, producer, partitions, ready, context.stopping)
    endpoint.add_to(context.web)
    await context.serve()

    def tell(trouble: str) -> None:
        if bool(trouble) == context.ready:
            log.info(trouble or "the broker answers")
        if trouble:
            context.set_not_ready(trouble)
        else:
            context.set_ready()

    working: list[asyncio.Future[None]] = []
    try:
        await _check_key(context, key.fingerprint)
        await producer.start()
        await producer.check_partitions(feed.topic, partitions)
        working = [asyncio.ensure_future(producer.watch(tell)), asyncio.ensure_future(inbox.watch())]
        await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)  # the stop signal ends both, a bug one
    except Unavailable:
        log.info("stopped before the broker answered")
    finally:
        context.set_not_ready("stopping")
        await asyncio.wait({asyncio.ensure_future(endpoint.idle()), *working}, timeout=IDLE_SECONDS_MAX)
        for work in working:
            work.cancel()  # a chunk that is not acknowledged by now is sent again at the next start
        await producer.stop()
    for error in await asyncio.gather(*working, return_exceptions=True):
        if error is not None and not isinstance(error, asyncio.CancelledError):
            raise error


async def _check_key(context: ServiceContext, fingerprint: str) -> None:
    """Compare the pseudonym key with what the topics know; waits for the broker. Unavailable if the service stops."""
    while True:
        try:
            await check_pseudonym_key(context.settings, fingerprint)
            return
        except Unavailable:
            if context.stopping.is_set():
                raise
            context.set_not_ready("waiting for the broker")
            await asyncio.sleep(WAIT_SECONDS)
