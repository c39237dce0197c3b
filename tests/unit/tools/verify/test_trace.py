"""What each version of a record did."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from services.shared.runtime.postgres.store import Published, Snapshot, Standing
from services.shared.statistics.exchange.records import Records
from tests.unit.tools.verify.log_of import Log, engine
from tools.verify.trace import _found, _Published, effects

CELL, OTHER = {"citizenship": "UZ"}, {"citizenship": "CN"}


def row(place: int, version: int | None, action: str = "record", cell: Any = None, problem: str | None = None) -> tuple[Any, ...]:
    return place, 1_751_340_000_000 + place, version, action, cell or CELL, date(2025, 5, 1), None, problem


def said(*rows: tuple[Any, ...]) -> list[str]:
    return [version["effect"] for version in effects(list(rows))]


def test_the_newest_version_counts_and_says_what_became_of_the_others() -> None:
    assert said(row(0, 2), row(1, 1), row(2, 2), row(3, 2, cell=OTHER), row(4, 3)) == [
        "superseded", "stale", "duplicate", "conflict", "counts",
    ]  # fmt: skip


def test_a_withdrawal_withdraws_and_is_superseded_in_its_turn() -> None:
    assert said(row(0, 2, "withdraw"), row(1, 1), row(2, 2, "withdraw", OTHER)) == ["withdraws", "stale", "duplicate"]
    assert said(row(0, 2, "withdraw"), row(1, 3)) == ["superseded", "counts"]


def test_without_versions_each_that_says_otherwise_supersedes_the_one_before_until_a_number_comes() -> None:
    assert said(row(0, 0), row(1, 0), row(2, 0, cell=OTHER), row(3, 0)) == ["superseded", "duplicate", "superseded", "counts"]
    assert said(row(0, 0), row(1, 0, "withdraw"), row(2, 0, "withdraw")) == ["superseded", "withdraws", "duplicate"]
    assert said(row(0, 0), row(1, 1), row(2, 0, cell=OTHER), row(3, 0, "withdraw")) == ["superseded", "counts", "stale", "stale"]


def test_what_cannot_be_counted_is_a_dead_letter_with_its_reason() -> None:
    (bad, good) = effects([row(0, None, problem="malformed_json"), row(1, 1)])
    assert (bad["effect"], bad["reason"], good["effect"]) == ("dead letter", "malformed_json", "counts")
    assert good["appended_at"] == "2025-07-01T03:20:00.001Z"


def test_a_traced_offence_says_what_it_counts_as_and_not_whose_it_is(tmp_path: Path) -> None:
    log = Log().add("migration-violations", "1", person="a" * 32).add("migration-violations", "1", person="b" * 32)
    log.add("migration-violations", "2", person="a" * 32)
    [records] = log.records().values()
    own = Records(*([column[place] for place in (0, 1)] for column in records))  # type: ignore[arg-type]
    engine_says = engine(log.records())
    now = datetime(2025, 7, 1, tzinfo=UTC)
    observations = {key: Published(*one, as_of=1, published_at=now) for key, one in engine_says.observations.items()}
    # Nobody was found once, so Chao and Zelterman say nothing.
    assert {key[0] for key in observations} == {"A.INFORMAL_WORKERS._T._T._T.TRUNCATED_POISSON"}
    snapshot = Snapshot(1, now, engine_says.cut, observations, [], {})
    standing = Standing(1, now, engine_says.cut, engine_says.log_time, engine_says.identity, 1)
    found = _found("migration-violations", 0, own, {}, _Published(snapshot, standing), tmp_path)
    assert [version["effect"] for version in found["versions"]] == ["counts", "conflict"]
    assert found["counts_as"] == {"cell": {"citizenship": "UZ", "kind": "work_without_permit"}, "on": "2025-03-14"}
    assert (found["figures"], found["derived"]) == ({}, ["INFORMAL_WORKERS TRUNCATED_POISSON"])
    assert "a" * 32 not in str(found)
    assert "b" * 32 not in str(found)
