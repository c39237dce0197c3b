"""Repeats, corrections, withdrawals and late records: as many as asked for, in any order, and moving nothing."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from services.shared.runtime.process.errors import Failure, UsageError
from tools.simulate.generate import simulate
from tools.simulate.targets import Targets
from tools.simulate.targets_file import load_targets

Oracle = Callable[[Iterable[str]], dict[str, dict[str, Any]]]

SCALE = Fraction(1, 1000)
IRREGULAR = Fraction(5, 100)
DISORDERLY = ("border-crossings", "work-permits", "student-enrolments", "residence-registrations", "migration-violations")


@pytest.fixture(scope="module")
def targets() -> Targets:
    return load_targets()


def run(out: Path, targets: Targets, seed: int = 7, irregular: Fraction = IRREGULAR) -> dict[str, dict[str, int]]:
    return simulate(out, targets, SCALE, seed, irregular, io.StringIO())


def read(out: Path, feed: str) -> list[str]:
    return (out / f"{feed}.ndjson").read_text(encoding="utf-8").splitlines()


def flows(records: Iterable[dict[str, Any]]) -> Counter[tuple[str, str, bool]]:
    """Crossings by quarter, direction and whether of citizens."""
    return Counter(("Q1" if r["occurred_at"] < "2025-04" else "Q2", r["direction"], r["citizenship"] == "KZ") for r in records)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, targets: Targets) -> None:
    for name in ("one", "two"):
        run(tmp_path / name, targets)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_another_seed_gives_other_bytes_and_the_same_totals(tmp_path: Path, targets: Targets, oracle: Oracle) -> None:
    run(tmp_path / "one", targets, seed=7)
    run(tmp_path / "two", targets, seed=8)
    for feed in DISORDERLY:
        assert read(tmp_path / "one", feed) != read(tmp_path / "two", feed)
    one, two = (flows(oracle(read(tmp_path / name, "border-crossings")).values()) for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("irregular", [Fraction(0), Fraction(1, 3), Fraction(1)])
def test_no_share_of_irregular_records_moves_the_result(
    tmp_path: Path, targets: Targets, oracle: Oracle, irregular: Fraction
) -> None:
    counts = run(tmp_path, targets, irregular=irregular)
    records = list(oracle(read(tmp_path, "border-crossings")).values())
    assert flows(records) == {
        ("Q1", "arrival", False): 3077,
        ("Q1", "departure", False): 3182,
        ("Q1", "arrival", True): 62,
        ("Q1", "departure", True): 64,
        ("Q2", "arrival", False): 4370,
        ("Q2", "departure", False): 4200,
        ("Q2", "arrival", True): 85,
        ("Q2", "departure", True): 88,
    }
    permits = oracle(read(tmp_path, "work-permits")).values()
    day = "2025-06-30"
    assert sum(p["valid_from"] <= day <= p["valid_to"] and p.get("revoked_on", "9999") > day for p in permits) == 14820
    students = oracle(read(tmp_path, "student-enrolments")).values()
    open_ones = [s for s in students if s["enrolled_on"] <= day < s.get("ended_on", "9999")]
    assert sum(s["citizenship"] != "KZ" for s in open_ones) == 31500
    assert len({s["institution"] for s in open_ones if "branch_of" in s}) == 33
    if not irregular:
        assert all(counts[feed]["lines"] == counts[feed]["counted"] for feed in DISORDERLY)


@pytest.mark.parametrize("feed", DISORDERLY)
def test_the_share_of_irregular_records_is_as_asked(tmp_path: Path, targets: Targets, oracle: Oracle, feed: str) -> None:
    counts = run(tmp_path, targets)[feed]
    lines = read(tmp_path, feed)
    repeats = len(lines) - len(set(lines))
    by_record: dict[str, dict[int, dict[str, Any]]] = {}
    for line in set(lines):
        record = json.loads(line)
        by_record.setdefault(record["record_id"], {})[record["version"]] = record
    withdrawn = sum(versions[max(versions)].get("action") == "withdraw" for versions in by_record.values())
    corrected = sum(len(versions) > 1 for versions in by_record.values()) - withdrawn
    n = len(oracle(lines))
    assert (repeats, corrected, withdrawn) == (counts["duplicates"], counts["corrections"], counts["withdrawals"])
    assert repeats + corrected + withdrawn + counts["late"] == round(n * IRREGULAR)
    assert min(repeats, corrected, withdrawn, counts["late"]) > 0
    assert counts["counted"] == n
    assert counts["lines"] == len(lines)


def test_late_crossings_come_days_after_others_of_their_day(tmp_path: Path, targets: Targets) -> None:
    counts = run(tmp_path, targets)["border-crossings"]
    lines = read(tmp_path, "border-crossings")
    versions = Counter(json.loads(line)["record_id"] for line in lines)
    newest, late = "", 0
    for line in lines:
        record = json.loads(line)
        if versions[record["record_id"]] > 1 or "occurred_at" not in record:
            continue
        # Two weeks of the calendar, near enough: what is 14 days behind the newest was not sent in time.
        late += _day_of_year(record["occurred_at"]) + 14 <= _day_of_year(newest) if newest else 0
        newest = max(newest, record["occurred_at"])
    # Some are late by less, and what is late after the last day has no newer day to be late against.
    assert counts["late"] / 2 < late <= counts["late"]


def _day_of_year(moment: str) -> int:
    month, day = int(moment[5:7]), int(moment[8:10])
    return (0, 31, 59, 90, 120, 151)[month - 1] + day


@pytest.mark.parametrize("feed", DISORDERLY)
def test_some_corrections_and_withdrawals_overtake_what_they_replace(tmp_path: Path, targets: Targets, feed: str) -> None:
    run(tmp_path, targets)
    seen: dict[str, dict[str, Any]] = {}
    overtaken: Counter[str] = Counter()
    usual = 0
    for line in read(tmp_path, feed):
        record = json.loads(line)
        before = seen.get(record["record_id"], record)
        if before["version"] > record["version"]:
            overtaken[before.get("action", "record")] += 1
        usual += before["version"] < record["version"]
        seen[record["record_id"]] = record
    assert overtaken["withdraw"] > 0
    assert overtaken["record"] > 0
    assert usual > overtaken.total()


def test_a_wrong_version_says_another_citizenship_direction_or_day(tmp_path: Path, targets: Targets) -> None:
    run(tmp_path, targets)
    versions: dict[str, list[dict[str, Any]]] = {}
    for line in set(read(tmp_path, "border-crossings")):
        record = json.loads(line)
        if record.get("action") != "withdraw":
            versions.setdefault(record["record_id"], []).append(record)
    differences: Counter[str] = Counter()
    for found in versions.values():
        if len(found) == 2:
            low, high = sorted(found, key=lambda record: record["version"])
            differing = [key for key in low if key != "version" and low[key] != high.get(key, "unspecified")]
            assert differing, "a correction must correct something"
            differences.update(differing)
    assert set(differences) == {"citizenship", "direction", "occurred_at"} | (set(differences) & {"purpose"})


@pytest.mark.parametrize("scale", [Fraction(0), Fraction(-1, 100), Fraction(2)])
def test_a_scale_that_is_not_above_0_and_at_most_1_is_refused(tmp_path: Path, targets: Targets, scale: Fraction) -> None:
    with pytest.raises(UsageError, match="--scale"):
        simulate(tmp_path, targets, scale, 7, IRREGULAR, io.StringIO())
    assert list(tmp_path.iterdir()) == []


def test_a_scale_that_leaves_no_crossing_is_refused(tmp_path: Path, targets: Targets) -> None:
    with pytest.raises(UsageError, match="nothing is left"):
        simulate(tmp_path, targets, Fraction(1, 10**6), 7, IRREGULAR, io.StringIO())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seed", "irregular"), [(-1, IRREGULAR), (7, Fraction(-1, 100)), (7, Fraction(3, 2))])
def test_a_seed_or_share_out_of_bounds_is_refused(tmp_path: Path, targets: Targets, seed: int, irregular: Fraction) -> None:
    with pytest.raises(UsageError, match=r"--(seed|irregular)"):
        simulate(tmp_path, targets, SCALE, seed, irregular, io.StringIO())


def test_a_folder_that_cannot_be_made_is_a_failure_in_one_line(tmp_path: Path, targets: Targets) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="cannot write"):
        run(tmp_path / "file", targets)
