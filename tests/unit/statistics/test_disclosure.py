"""Disclosure control: the page's example, what goes with a hidden cell, what stays hidden, what cannot be helped."""

import re
from pathlib import Path

import pytest

from services.shared.statistics.exchange.observation import SECONDARY, SMALL_CELL
from services.shared.statistics.publication.disclosure import (
    COUNT_MAX,
    Range,
    Released,
    Table,
    attack,
    protect,
    protection,
    two_way,
)

PAGE = (Path(__file__).parents[3] / "docs" / "methods" / "disclosure.md").read_text("utf-8")
COUNTS = {
    ("CN", "1"): 40, ("CN", "2"): 12, ("CN", "3"): 8,
    ("UZ", "1"): 25, ("UZ", "2"): 3, ("UZ", "3"): 30,
    ("TR", "1"): 9, ("TR", "2"): 14, ("TR", "3"): 6,
}  # fmt: skip
TABLE = two_way(COUNTS, {})


def close(found: Range, lower: float, upper: float) -> bool:
    return (found.lower, found.upper) == pytest.approx((lower, upper))


def test_the_example_of_the_page_comes_out_as_printed() -> None:
    rows = re.findall(r"^\| (CN|TR|UZ) \|(.+)\|$", PAGE, re.MULTILINE)
    printed = {f"{row}|{i}": cell.strip(" `") for row, cells in rows for i, cell in enumerate(cells.split("|")[:3], 1)}
    hidden = protect(TABLE)
    assert {key: hidden.get(key, str(value)) for key, value in TABLE.cells.items()} == printed
    numbers = {name: int(number) for name, number in re.findall(r"^(\w+) = (\d+)$", PAGE, re.MULTILINE)}
    alone, ranges = attack([Released(TABLE, {"UZ|2": SMALL_CELL})]), attack([Released(TABLE, hidden)])
    assert close(alone["UZ|2"], numbers["alone_lower"], numbers["alone_upper"])
    assert close(ranges["UZ|2"], numbers["lower"], numbers["upper"])
    assert close(ranges["UZ|3"], numbers["neighbour_lower"], numbers["neighbour_upper"])


def test_a_table_without_small_cells_is_shown_whole() -> None:
    assert protect(two_way({**COUNTS, ("UZ", "2"): 5}, {})) == {}


def test_a_group_that_would_give_a_small_cell_away_is_hidden_with_it() -> None:
    table = two_way(COUNTS, {"GROUP": ["UZ", "TR"]})
    hidden = protect(table)
    assert close(attack([Released(table, hidden)])["UZ|2"], 0, 4)
    # Two members of which one is shown: the group must not be.
    shown = {member for member in ("UZ|2", "TR|2") if member not in hidden}
    assert len(shown) == 0 or "GROUP|2" in hidden


def test_a_year_hides_what_its_quarters_hide() -> None:
    quarters = {f"Q{q} {key}": value + 10 * (q - 1) for q in (1, 2) for key, value in TABLE.cells.items()}
    totals = tuple(tuple(f"Q{q} {key}" for key in total) for q in (1, 2) for total in TABLE.totals)
    table = Table(quarters, {f"A {key}": (f"Q1 {key}", f"Q2 {key}") for key in TABLE.cells}, totals)
    hidden = protect(table)
    assert close(attack([Released(table, hidden)])["Q1 UZ|2"], 0, 4)
    assert {"A UZ|2", "Q2 UZ|2"} & set(hidden)


def test_what_an_earlier_release_hid_stays_hidden_when_it_is_no_longer_small() -> None:
    before = Released(TABLE, protect(TABLE))
    hidden = protect(two_way({**COUNTS, ("UZ", "2"): 6}, {}), [before])
    assert hidden == dict.fromkeys(before.hidden, SECONDARY)


def test_what_an_earlier_release_showed_protects_nothing_now() -> None:
    shown_before = Released(two_way({**COUNTS, ("UZ", "2"): 6}, {}), {})
    assert protect(TABLE, [shown_before]) == {"UZ|2": SMALL_CELL}
    assert close(protection(TABLE, [shown_before])["UZ|2"], 3, 3)


def test_a_correction_elsewhere_lets_the_next_release_hide_behind_what_changed() -> None:
    before = Released(two_way({**COUNTS, ("UZ", "2"): 6}, {}), {})
    changed = {("UZ", "3"): 33, ("CN", "2"): 15, ("CN", "3"): 11, ("TR", "2"): 16}
    table = two_way({**COUNTS, **changed}, {})
    hidden = protect(table, [before])
    assert set(hidden) <= {"UZ|2", "UZ|3", "CN|2", "CN|3", "TR|2"}
    assert close(attack([before, Released(table, hidden)])["UZ|2"], 0, 4)


def test_a_cell_alone_in_its_row_is_hidden_although_its_total_gives_it_away() -> None:
    table = two_way({("CN", "1"): 9, ("CN", "2"): 0, ("AU", "1"): 2}, {})
    assert protect(table) == {"AU|1": SMALL_CELL}
    assert close(protection(table)["AU|1"], 2, 2)


def test_zeros_that_hide_a_neighbour_have_the_status_of_a_small_cell() -> None:
    hidden = protect(two_way({("A", "x"): 2, ("B", "x"): 0, ("A", "y"): 0, ("B", "y"): 1}, {}))
    assert hidden == dict.fromkeys(["A|x", "A|y", "B|x", "B|y"], SMALL_CELL)


def test_without_totals_a_large_hidden_cell_has_no_upper_limit() -> None:
    found = attack([Released(Table({"a": 7, "b": 3}), {"a": SECONDARY, "b": SMALL_CELL})])
    assert found["a"].lower == 5
    assert found["a"].upper >= COUNT_MAX
    assert close(found["b"], 0, 4)
