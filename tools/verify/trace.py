"""One record: where it is in the log, what each of its versions did, what it counts as, and which figures contain it."""

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from services.shared.runtime.kafka.dead_letters import open_letters
from services.shared.runtime.kafka.replay import replay
from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.postgres.store import Snapshot, Standing, Store
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.records import Records, joined
from tools.verify.raw import RawPartition
from tools.verify.recount import SPANS, TABLES, Recount

WINDOW_DAYS = 90  # a day is in the rolling quarters that end on it and on each of the ninety days after it

# Which indicators are made of which: by the counts that contain the record, or by the code of a reference figure.
DERIVED = {
    "ARRIVALS": (
        "ARRIVALS_CHANGE_QOQ", "ARRIVALS_CHANGE_YOY", "ARRIVALS_SHARE", "ARRIVALS_CONTRIBUTION_QOQ", "ARRIVALS_PURPOSE_SHARE",
        "BORDER_BALANCE",
    ),
    "DEPARTURES": ("DEPARTURES_CHANGE_QOQ", "DEPARTURES_CHANGE_YOY", "DEPARTURES_SHARE", "BORDER_BALANCE"),
    "PERMITS_IN_FORCE": ("PERMITS_IN_FORCE_CHANGE_YOY",),
    "FOREIGN_STUDENTS": ("FOREIGN_STUDENTS_GAP", "FOREIGN_STUDENTS_GROWTH_REQUIRED"),
    "RESIDENCE_ARRIVALS": ("NET_MIGRATION", "RESIDENCE_PURPOSE_SHARE"),
    "RESIDENCE_DEPARTURES": ("NET_MIGRATION",),
    "LABOUR_EMIGRATION": ("LABOUR_EMIGRATION_CHANGE_YOY",),
    "MEDICAL_VISITORS": ("MEDICAL_VISITORS_RATIO_5Y",),
    "FREQUENCIES": ("INFORMAL_WORKERS CHAO", "INFORMAL_WORKERS ZELTERMAN", "INFORMAL_WORKERS TRUNCATED_POISSON"),
    "RESIDUAL": ("INFORMAL_WORKERS RESIDUAL", "INFORMAL_SHARE RESIDUAL"),
    "INFORMAL_SHARE": ("INFORMAL_SHARE SURVEY", "INFORMAL_WORKERS BENCHMARK"),
    "MIGRANT_WORKERS_STOCK": ("INFORMAL_WORKERS BENCHMARK",),
    "FOREIGN_STUDENTS_TARGET": ("FOREIGN_STUDENTS_TARGET", "FOREIGN_STUDENTS_GAP", "FOREIGN_STUDENTS_GROWTH_REQUIRED"),
}  # fmt: skip

Json = dict[str, Any]


class _Published(NamedTuple):
    snapshot: Snapshot
    standing: Standing


async def trace(settings: Settings, record: str) -> list[Json]:
    """What is known of the record `<agency>/<record_id>`, per feed that has it; empty if none does. See `_found` for the fields.

    Nothing of it repeats a field that stands for a person or an employer: a person is read only of violations, to compare versions.
    """
    async with Store.of(settings) as store:
        snapshot, standing = await store.snapshot(), await store.standing()
    published = None if snapshot is None or standing is None else _Published(snapshot, standing)
    letters = {(one.origin_topic, one.origin_partition, one.origin_offset): one.reason for one in await open_letters(settings)}
    key, found = record.encode(), []
    for feed in TABLES:
        topic = f"events.{feed}.v1"
        partition = crc32(key) % load_topics()[topic].partitions
        own = [part async for records in replay(settings, topic, partition) for part in _of_key(records, key)]
        if own:
            aside = {at: reason for (name, p, at), reason in letters.items() if (name, p) == (settings.topic(topic), partition)}
            settings.home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="trace-", dir=settings.home) as folder:
                found.append(_found(feed, partition, joined(own), aside, published, Path(folder)))
    return found


def _of_key(records: Records, key: bytes) -> list[Records]:
    if key not in records.keys:
        return []
    places = [place for place, one in enumerate(records.keys) if one == key]
    return [Records(*([column[place] for place in places] for column in records))]  # type: ignore[arg-type]


def _found(feed: str, partition: int, own: Records, aside: dict[int, str], published: _Published | None, folder: Path) -> Json:
    """`versions`: in log order; `counts_as`: what stands at the published cut, or None
    (`until`: the first day on which it no longer counts); `figures`: the published series that
    contain it, with their periods; `derived`: the published indicators that are made of those."""
    cut = published.standing.cut.get(f"{feed}/{partition}", 0) if published else 0
    raw = RawPartition(feed, folder / "raw")
    raw.add(own)
    recount = Recount(folder)
    try:
        recount.read(feed, raw.files)
        rows = recount.database.execute(
            "SELECT place, appended, version, action, cell, first, last, problem FROM judged ORDER BY place"
        ).fetchall()
        versions = effects(rows)
        for version in versions:
            version["published"] = version["offset"] < cut
            version["set_aside"] = aside.get(version["offset"])
        answer: Json = {
            "feed": feed, "topic": f"events.{feed}.v1", "partition": partition, "versions": versions,
            "publication": published.standing.publication if published else None,
            "counts_as": None, "figures": {}, "derived": [],
        }  # fmt: skip
        standing = _standing([row for row in rows if row[0] < cut])
        if standing is not None and published is not None:
            cell, first, last = standing
            days = {"from": str(first), "until": None if last is None else str(last)} if feed in SPANS else {"on": str(first)}
            answer["counts_as"] = {"cell": {k: v for k, v in cell.items() if v is not None and k != "person"}, **days}
            figures, derived = _figures(recount, feed, standing, published)
            answer["figures"], answer["derived"] = figures, derived
        return answer
    finally:
        recount.close()


def effects(rows: list[tuple[Any, ...]]) -> list[Json]:
    """What each version did, from judged rows in log order: `counts`, `withdraws`, or what became of it."""
    versions: list[Json] = []
    best: tuple[Json, tuple[Any, ...]] | None = None
    for place, appended, version, action, cell, first, last, problem in rows:
        when = datetime.fromtimestamp(appended / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        one: Json = {"offset": place, "appended_at": when, "version": version, "action": action, "effect": "", "reason": problem}
        versions.append(one)
        content = (action,) if action == "withdraw" else (action, cell, first, last)
        if problem is not None:
            one["effect"] = "dead letter"
        elif best is None or version > best[0]["version"] or (version == best[0]["version"] == 0 and content != best[1]):
            if best is not None:
                best[0]["effect"] = "superseded"
            one["effect"] = "withdraws" if action == "withdraw" else "counts"
            best = one, content
        elif version < best[0]["version"]:
            one["effect"] = "stale"
        elif content == best[1]:
            one["effect"] = "duplicate"
        else:
            one["effect"], one["reason"] = "conflict", "version_conflict"
    return versions


def _standing(rows: list[tuple[Any, ...]]) -> tuple[Json, date, date | None] | None:
    """(cell, first day, last day) of the version that counts; None if none does."""
    for row, effect in zip(rows, effects(rows), strict=True):
        if effect["effect"] == "counts":
            return row[4], row[5], row[6]
    return None


def _figures(
    recount: Recount, feed: str, standing: tuple[Json, date, date | None], published: _Published
) -> tuple[dict[str, list[str]], list[str]]:
    """Counted alone, the record gives exactly the counts that contain it; of these, the published ones."""
    cell, first, _ = standing
    marks = ", ".join("?" for _ in cell)
    days = "?, ?" if feed in SPANS else "?"
    recount.database.execute(
        f"INSERT INTO {TABLES[feed]} VALUES ({marks}, {days}, 1)", [*cell.values(), *standing[1 : 3 if feed in SPANS else 2]]
    )
    around = timedelta(days=WINDOW_DAYS)
    recount.database.execute(
        "CREATE TABLE span AS SELECT $1 AS feed, CAST($2 AS DATE) AS first, CAST($3 AS DATE) AS last",
        [feed, first - around, first + around],
    )
    recount.counts(recount.local_day(published.standing.log_time))
    rows = recount.database.execute(
        "SELECT freq, indicator, area, purpose, category, period FROM counted WHERE n <> 0 ORDER BY ALL"
    ).fetchall()
    figures: dict[str, list[str]] = {}
    for freq, indicator, area, purpose, category, period in rows:
        series = f"{freq}.{indicator}.{area}.{purpose}.{category}._Z"
        if (series, period) in published.snapshot.observations:
            figures.setdefault(series, []).append(period)
    sources = {series.split(".")[1] for series in figures} | {cell.get("figure", "")}
    informal = "SELECT 1 FROM residual UNION ALL SELECT 1 FROM in_force WHERE citizenship NOT IN ('KZ', 'AM', 'BY', 'KG', 'RU')"
    if recount.database.execute(informal).fetchone():
        sources.add("RESIDUAL")
    if recount.database.execute("SELECT 1 FROM frequency").fetchone():
        sources.add("FREQUENCIES")
    there = {(s[1], s[5]) for s in (series.split(".") for series, _ in published.snapshot.observations)}
    names = dict.fromkeys(name for source in sorted(sources) for name in DERIVED.get(source, ()))
    return figures, [name for name in names if tuple((name + " _Z").split()[:2]) in there]
