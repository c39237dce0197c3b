"""Pathway: the standing version of each record, counted, by its own Rust engine; persistence on."""

import pathway as pw

from bench.peers.job import Job, Progress

job = Job.from_arguments()
progress = Progress(job.records)


class Crossing(pw.Schema, append_only=True):  # type: ignore[call-arg]
    record_id: str
    version: int
    action: str
    # What a withdrawal lacks must have a default, or the record is refused.
    occurred_at: str = pw.column_definition(default_value="1970-01-01T00:00:00.000Z")
    direction: str = pw.column_definition(default_value="")
    citizenship: str = pw.column_definition(default_value="")
    counterpart: str = pw.column_definition(default_value="")
    purpose: str = pw.column_definition(default_value="")


def main() -> None:
    settings = {"bootstrap.servers": job.bootstrap_servers, "group.id": job.group, "auto.offset.reset": "earliest"}
    events = pw.io.kafka.read(settings, topic=job.topic, schema=Crossing, format="json", autocommit_duration_ms=1000, name="events")
    moment = events.occurred_at.dt.strptime("%Y-%m-%dT%H:%M:%S%.3fZ")
    day = moment.dt.to_utc(from_timezone="UTC").dt.to_naive_in_timezone("Asia/Almaty").dt.strftime("%Y-%m-%d")
    bar = "|"
    text = day + bar + events.direction + bar + events.citizenship + bar + events.counterpart + bar + events.purpose
    read = events.select(events.record_id, content=pw.make_tuple(events.version, pw.if_else(events.action == "record", text, "")))
    standing = read.groupby(read.record_id).reduce(content=pw.reducers.max(read.content))
    counted = standing.select(cell=standing.content[1]).filter(pw.this.cell != "")
    counts = counted.groupby(counted.cell).reduce(counted.cell, n=pw.reducers.count())
    pw.io.kafka.write(
        counts, {"bootstrap.servers": job.bootstrap_servers, "linger.ms": "50"}, topic_name=job.results, format="json"
    )

    total = events.reduce(n=pw.reducers.count())

    def told(key: object, row: dict[str, int], time: int, is_addition: bool) -> None:
        if is_addition:
            progress.add(row["n"] - progress.records)

    pw.io.subscribe(total, on_change=told)
    pw.run(
        monitoring_level=pw.MonitoringLevel.NONE,
        persistence_config=pw.persistence.Config(pw.persistence.Backend.filesystem(job.folder), snapshot_interval_ms=5000),
    )


if __name__ == "__main__":
    main()
