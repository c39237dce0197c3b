"""Faust (faust-streaming): an agent, two tables with changelogs, counts emitted by a timer."""

import sys

import faust

from bench.peers.job import Job, Progress, cell_of

job = Job.from_arguments()
progress = Progress(job.records)
app = faust.App(
    job.group,
    broker=f"kafka://{job.bootstrap_servers}",
    store="rocksdb://",
    datadir=job.folder,
    topic_partitions=12,
    topic_disable_leader=True,
    topic_replication_factor=1,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    consumer_max_fetch_size=4 << 20,
    broker_max_poll_records=5000,
    broker_commit_interval=5.0,
    broker_commit_every=100_000,
    stream_buffer_maxsize=16_384,
    stream_wait_empty=False,
    producer_linger=0.05,
    producer_max_batch_size=1 << 20,
    producer_compression_type="lz4",
)
events = app.topic(job.topic, key_type=bytes, value_serializer="json")
results = app.topic(job.results, key_serializer="raw", value_serializer="json", partitions=12)
# Tables are split as the events are; a key of counts names its partition, so that no two partitions share a count.
known = app.Table("known", partitions=12, key_type=str)
counts = app.Table("counts", partitions=12, key_type=str, value_type=int, default=int)
changed: dict[str, int] = {}


@app.agent(events)
async def fold(stream: faust.Stream) -> None:
    async for event in stream.events():
        record, value, partition = event.message.key.decode(), event.value, event.message.partition
        before = known.get(record)
        if before is None or value["version"] > before[0]:
            cell = cell_of(value) if value["action"] == "record" else ""
            known[record] = [value["version"], cell]
            if before is not None and before[1]:
                count(partition, before[1], -1)
            if cell:
                count(partition, cell, 1)
        progress.add(1)


def count(partition: int, cell: str, change: int) -> None:
    key = f"{partition}|{cell}"
    changed[key] = n = counts[key] + change
    counts[key] = n


@app.timer(1.0)
async def emit() -> None:
    pending = dict(changed)
    changed.clear()
    for key, n in pending.items():
        await results.send(key=key.encode(), value=n)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "error"]
    app.main()
