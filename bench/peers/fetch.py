"""What the product's way to the log takes from the broker when nothing is done with it: whole batches, checked and unpacked."""

import asyncio
import gc
import json
import os
import time

from bench.peers.job import Job
from bench.topic import TOPIC
from services.shared.runtime.kafka.event_log import EventLog, opened
from services.shared.runtime.process.service import GC_OLDER_ROUNDS, GC_YOUNG_OBJECTS
from services.shared.runtime.process.settings import Settings


async def main() -> None:
    job, settings = Job.from_arguments(), Settings.from_env(os.environ)
    came: list[int] = []
    log = EventLog(settings, TOPIC, job.group, "", came.extend, lambda _: None)
    await log.start(asyncio.Event())
    records = first = 0
    start = cpu = 0.0
    while records < job.records:
        for fetched in (await log.poll()).values():
            batch = opened(fetched)
            records += 0 if batch is None else len(batch.offsets)
        while came:
            log.seek(came.pop(), 0)
        if records and not start:
            first, start, cpu = records, time.monotonic(), time.process_time()
    seconds, cpu_seconds = time.monotonic() - start, time.process_time() - cpu
    print(json.dumps({"records": records - first, "seconds": seconds, "cpu_seconds": cpu_seconds}))
    await log.stop()


if __name__ == "__main__":
    gc.freeze()
    gc.set_threshold(GC_YOUNG_OBJECTS, *GC_OLDER_ROUNDS)
    asyncio.run(main())
