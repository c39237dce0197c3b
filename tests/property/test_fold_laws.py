"""Laws of the fold: order, splitting, duplication, replay and retraction, against an oracle in plain Python."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.feeds.catalogue import RULES
from services.shared.statistics.exchange.log_time import LogTime
from services.shared.statistics.exchange.records import Records
from services.shared.statistics.folding.fold import UNNUMBERED
from services.shared.statistics.folding.index import merge_runs
from services.shared.statistics.folding.sheet import decode
from services.tally.partition import PartitionFold
from services.tally.run_store import LAYOUT, Manifest, RunStore

ALMATY = ZoneInfo("Asia/Almaty")
START = datetime(2024, 2, 29, 17, 0, tzinfo=UTC)  # an hour before Kazakhstan's clocks changed

crossings = st.fixed_dictionaries(
    {
        "record_id": st.sampled_from("abcdefg"),
        "version": st.sampled_from([UNNUMBERED, UNNUMBERED, UNNUMBERED, 1, 2, 3, 4]),
        "action": st.sampled_from(["record", "record", "record", "withdraw"]),
        "occurred_at": st.integers(0, 3 * 86_400_000).map(lambda ms: START + timedelta(milliseconds=ms)),
        "direction": st.sampled_from(["arrival", "departure"]),
        "citizenship": st.sampled_from(["UZ", "KZ"]),
        "counterpart": st.sampled_from(["UZ", "RU"]),
        "purpose": st.sampled_from(["employment", "transit"]),
        # By the log's clock, which may jump. Hours before and after the events' days, midnights among them, and more than 60 days.
        "appended": st.sampled_from([-300, -24, 0, 1, 1, 2, 7, 25, 26, 50, 73, 600, 1500, 1600]),
    }
)
logs = st.lists(crossings, min_size=1, max_size=40)


def appended(event: dict[str, Any]) -> datetime:
    return START + timedelta(hours=event.get("appended", 0))


def value(event: dict[str, Any]) -> bytes:
    event = {k: v for k, v in event.items() if k != "appended"}
    if event["action"] == "withdraw":
        event = {k: event[k] for k in ("record_id", "version", "action")}
    else:
        instant = event["occurred_at"].strftime("%Y-%m-%dT%H:%M:%S.") + f"{event['occurred_at'].microsecond // 1000:03d}Z"
        event = {**event, "occurred_at": instant}
    return orjson.dumps(event)


def records(log: list[dict[str, Any]], start: int = 0) -> Records:
    n = len(log)
    return Records(
        list(range(start, start + n)),
        [round(appended(e).timestamp() * 1000) for e in log],
        [f"knb/{e['record_id']}".encode() for e in log],
        [value(e) for e in log],
        [(("schema", b"border-crossings/1"),)] * n,
    )


def folded(log: list[dict[str, Any]], splits: set[int]) -> PartitionFold:
    fold = PartitionFold(RULES["border-crossings"])
    begin = 0
    for end in [*sorted(s for s in splits if 0 < s < len(log)), len(log)]:
        fold.fold(records(log[begin:end], begin))
        begin = end
    return fold


def content(event: dict[str, Any]) -> tuple[str, ...] | None:
    if event["action"] == "withdraw":
        return None
    day = event["occurred_at"].astimezone(ALMATY).date().isoformat()
    return day, "|".join((event["direction"], event["citizenship"], event["counterpart"], event["purpose"]))


def oracle(log: list[dict[str, Any]]) -> tuple[dict[str, dict[str, int]], int]:
    """(counts per day and cell, number of conflicts) by the words of the contract, one record at a time."""
    state: dict[str, tuple[int, tuple[str, ...] | None]] = {}
    conflicts = 0
    for event in log:
        known = state.get(event["record_id"])
        if known is None or event["version"] > known[0] or event["version"] == known[0] == UNNUMBERED:
            state[event["record_id"]] = (event["version"], content(event))
        elif event["version"] == known[0] and content(event) != known[1]:
            conflicts += 1
    counts = Counter(c for _, c in state.values() if c is not None)
    days: dict[str, dict[str, int]] = {}
    for (day, cell), n in counts.items():
        days.setdefault(day, {})[cell] = n
    return days, conflicts


def days_of(fold: PartitionFold) -> dict[str, dict[str, int]]:
    sheets = {day: decode(sheet) for day, sheet in fold.all_sheets().items()}
    return {day: sheet.counts for day, sheet in sheets.items() if sheet.counts}


@given(logs, st.sets(st.integers(1, 39)))
@settings(max_examples=300, deadline=None)
def test_any_split_into_batches_gives_what_the_contract_says(log: list[dict[str, Any]], splits: set[int]) -> None:
    fold = folded(log, splits)
    assert days_of(fold) == oracle(log)[0]


@given(logs, st.sets(st.integers(1, 39)))
@settings(max_examples=200, deadline=None)
def test_conflicts_do_not_depend_on_the_split(log: list[dict[str, Any]], splits: set[int]) -> None:
    fold = PartitionFold(RULES["border-crossings"])
    dead, begin = 0, 0
    for end in [*sorted(s for s in splits if 0 < s < len(log)), len(log)]:
        dead += len(fold.fold(records(log[begin:end], begin)).dead)
        begin = end
    assert dead == oracle(log)[1]


@given(logs, st.sets(st.integers(1, 39)), st.sets(st.integers(1, 39)))
@settings(max_examples=200, deadline=None)
def test_sheets_and_effects_depend_neither_on_batches_nor_on_the_merging_of_runs(
    log: list[dict[str, Any]], splits: set[int], merges: set[int]
) -> None:
    """The marginal cells among them: what was corrected, withdrawn, contradicted, and how late it came."""
    fold, effects, begin = PartitionFold(RULES["border-crossings"]), Counter[str](), 0
    for end in [*sorted(s for s in splits if 0 < s < len(log)), len(log)]:
        effect = fold.fold(records(log[begin:end], begin))
        effects.update(counted=effect.counted, duplicate=effect.duplicate, stale=effect.stale, dead=len(effect.dead))
        if end in merges and fold.fresh:
            fold.fresh = [merge_runs(fold.fresh)]
        begin = end
    whole = PartitionFold(RULES["border-crossings"])
    effect = whole.fold(records(log))
    assert +effects == +Counter(counted=effect.counted, duplicate=effect.duplicate, stale=effect.stale, dead=len(effect.dead))
    assert fold.all_sheets() == whole.all_sheets()


@given(logs, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_only_the_order_of_those_without_a_version_counts(log: list[dict[str, Any]], random: Any) -> None:
    """Numbered versions are shuffled in between, and sent again anywhere; those without keep their order."""
    numbered = list({(e["record_id"], e["version"]): e for e in log if e["version"] != UNNUMBERED}.values())
    unnumbered = [e for e in log if e["version"] == UNNUMBERED]
    sent = numbered + random.choices(numbered, k=len(numbered)) if numbered else []
    random.shuffle(sent)
    mixed = iter(unnumbered)
    places = set(random.sample(range(len(sent) + len(unnumbered)), len(unnumbered)))
    rest = iter(sent)
    shuffled = [next(mixed) if i in places else next(rest) for i in range(len(sent) + len(unnumbered))]
    assert days_of(folded(shuffled, {3, 11, 17})) == days_of(folded(unnumbered + numbered, set()))


@given(logs)
@settings(max_examples=100, deadline=None)
def test_all_of_it_sent_again_in_its_order_moves_nothing(log: list[dict[str, Any]]) -> None:
    once = list({(e["record_id"], e["version"], i if e["version"] == UNNUMBERED else 0): e for i, e in enumerate(log)}.values())
    assert days_of(folded(once + once, {5, len(once), len(once) + 7})) == days_of(folded(once, set()))


def without_version(record_id: str, citizenship: str, **fields: Any) -> dict[str, Any]:
    return {
        "record_id": record_id, "version": UNNUMBERED, "action": "record", "occurred_at": START, "direction": "arrival",
        "citizenship": citizenship, "counterpart": "RU", "purpose": "transit", **fields,
    }  # fmt: skip


def effects(log: list[dict[str, Any]]) -> list[str]:
    """What became of each record, folded one by one; and no differently when folded at once."""
    fold, found = PartitionFold(RULES["border-crossings"]), []
    for i, event in enumerate(log):
        effect = fold.fold(records([event], i))
        found.append("counted" if effect.counted else "duplicate" if effect.duplicate else "stale" if effect.stale else "dead")
    assert fold.all_sheets() == folded(log, set()).all_sheets()
    return found


def test_without_versions_the_last_in_the_log_counts_whatever_any_clock_says() -> None:
    came = [("UZ", 50), ("KZ", -300), ("UZ", -24)]
    log = [without_version("a", citizenship, appended=hours) for citizenship, hours in came]
    assert effects(log) == ["counted"] * 3
    assert days_of(folded(log, set())) == {"2024-02-29": {"arrival|UZ|RU|transit": 1}}


def test_without_a_version_the_same_again_is_a_duplicate_and_so_is_a_second_withdrawal() -> None:
    gone = {"record_id": "a", "version": UNNUMBERED, "action": "withdraw"}
    log = [without_version("a", "UZ"), without_version("a", "UZ"), gone, gone, without_version("a", "UZ")]
    assert effects(log) == ["counted", "duplicate", "counted", "duplicate", "counted"]
    assert days_of(folded(log[:4], set())) == {}
    assert days_of(folded(log, set())) == {"2024-02-29": {"arrival|UZ|RU|transit": 1}}


def test_what_has_no_version_is_stale_against_any_that_has_one_withdrawals_included() -> None:
    numbered = without_version("a", "UZ", version=1)
    gone = {"record_id": "a", "version": UNNUMBERED, "action": "withdraw"}
    later = [without_version("a", "KZ"), gone]
    assert effects([without_version("a", "KZ"), numbered, *later]) == ["counted", "counted", "stale", "stale"]
    assert days_of(folded([numbered, without_version("a", "KZ"), gone], set())) == {"2024-02-29": {"arrival|UZ|RU|transit": 1}}
    withdrawn = {"record_id": "a", "version": 1, "action": "withdraw"}
    assert effects([withdrawn, without_version("a", "KZ")]) == ["counted", "stale"]
    assert effects([numbered, without_version("a", "UZ")]) == ["counted", "stale"], "no duplicate: it says less"


@given(logs, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_order_and_repetition_do_not_move_the_sheets_of_versions_without_conflict(log: list[dict[str, Any]], random: Any) -> None:
    unique = list({(e["record_id"], e["version"]): e for e in log if e["version"] != UNNUMBERED}.values())
    if not unique:
        return
    shuffled = unique + random.choices(unique, k=len(unique))
    random.shuffle(shuffled)
    assert days_of(folded(shuffled, {3, 11, 17})) == days_of(folded(unique, set()))


@given(logs)
@settings(max_examples=100, deadline=None)
def test_a_withdrawal_of_everything_leaves_nothing(log: list[dict[str, Any]]) -> None:
    gone = [{"record_id": r, "version": 9, "action": "withdraw"} for r in {e["record_id"] for e in log}]
    assert days_of(folded(log + gone, {len(log)})) == {}


@given(logs, st.integers(1, 39))
@settings(max_examples=60, deadline=None)
def test_a_fold_resumed_from_disk_equals_one_that_never_stopped(log: list[dict[str, Any]], split: int) -> None:
    split = min(split, len(log) - 1)
    if split < 1:
        return
    first = folded(log[:split], set())
    with TemporaryDirectory() as folder:
        store = RunStore(Path(folder))
        store.open()
        run = first.fresh_run()
        files = [store.add(run)] if run is not None else []
        store.commit(
            Manifest(LAYOUT, 1, first.offset, *first.time, first.record_hash, first.last_offset, first.cells.texts, files, [0, 0])
        )
        store.close()
        store.open()
        loaded = store.load()
        assert loaded is not None
        manifest, runs = loaded
        second = PartitionFold(RULES["border-crossings"], manifest.cells, runs)
        second.offset, second.time = manifest.offset, LogTime(manifest.log_time, manifest.stamped)
        assert second.time == first.time
        second.fold(records(log[split:], split))
        assert second.all_sheets() == folded(log, set()).all_sheets()
        store.close()
