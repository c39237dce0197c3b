"""What each version of a record did."""

from datetime import date
from typing import Any

from services.verify.trace import effects

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


def test_what_cannot_be_counted_is_a_dead_letter_with_its_reason() -> None:
    (bad, good) = effects([row(0, None, problem="malformed_json"), row(1, 1)])
    assert (bad["effect"], bad["reason"], good["effect"]) == ("dead letter", "malformed_json", "counts")
    assert good["appended_at"] == "2025-07-01T03:20:00.001Z"
