"""Quix Streams: one stateful function over the state of a partition (RocksDB), updates to a topic as they happen."""

from typing import Any

from quixstreams import Application, State, message_context
from quixstreams.models.serializers import Deserializer

from bench.peers.job import Job, Progress, cell_of

job = Job.from_arguments()
progress = Progress(job.records)


class OneKey(Deserializer):
    """State is kept by message key. With one key for all of a partition, records and counts are in the same state, and the counts
    need no second topic in between, which would cost more than all the rest."""

    def __call__(self, value: Any, ctx: Any) -> bytes:
        return b"p"


def fold(event: dict[str, Any], state: State) -> list[list[Any]]:
    """The counts that an event changes."""
    updates = []
    record, version = event["record_id"], event["version"]
    before = state.get(record)
    if before is None or version > before[0]:
        cell = cell_of(event) if event["action"] == "record" else ""
        state.set(record, [version, cell])
        partition = message_context().partition
        for touched, change in ((before[1] if before else "", -1), (cell, 1)):
            if touched:
                key = f"{partition}|{touched}"
                count = state.get(key, 0) + change
                state.set(key, count)
                updates.append([key, count])
    progress.add(1)
    return updates


def main() -> None:
    app = Application(
        broker_address=job.bootstrap_servers,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        state_dir=job.folder,
        # Local RocksDB survives a kill; the changelog is for a lost disk, and costs time.
        use_changelog_topics=False,
        commit_interval=5.0,
        auto_create_topics=False,
        loglevel="WARNING",
        consumer_extra_config={"fetch.message.max.bytes": 4 << 20, "queued.min.messages": 100_000},
        producer_extra_config={"compression.type": "lz4", "linger.ms": 50, "batch.size": 1 << 20},
    )
    events = app.topic(job.topic, value_deserializer="json", key_deserializer=OneKey())
    results = app.topic(job.results, value_serializer="json", key_serializer="string")
    app.dataframe(events).apply(fold, stateful=True, expand=True).to_topic(results, key=lambda update: update[0])
    app.run()


if __name__ == "__main__":
    main()
