"""Day sheets: absolute counts, the same bytes for the same counts."""

import numpy as np
import orjson

from services.shared.statistics.folding.contribution import NEVER, ZERO, Counts, count, merge, pack
from services.shared.statistics.folding.sheet import Sheet, decode, encode
from services.shared.statistics.terms import calendar

DAY = calendar.parse_day("2025-06-30")
NAMES = ["", "UZ|1", "CN|2", "AZ|3"]


def ranks(names: list[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.argsort(np.argsort(np.array(names, dtype=object)))


def spans(*rows: tuple[int, int, int]) -> Counts:
    """Counts of contributions (cell, first day, last day)."""
    cells, first, last = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return count(pack(cells, first, last), np.empty(0, np.uint64))


def test_a_day_without_counts_has_no_sheet() -> None:
    assert encode(DAY, ZERO, NAMES, ranks(NAMES)) is None
    assert encode(DAY, spans((1, DAY + 1, NEVER)), NAMES, ranks(NAMES)) is None


def test_cells_stand_in_ascending_order_whatever_their_numbers() -> None:
    sheet = encode(DAY, spans((1, DAY, NEVER), (2, DAY, NEVER), (2, DAY, NEVER), (3, DAY, NEVER)), NAMES, ranks(NAMES))
    assert sheet == b'{"day":"2025-06-30","cells":["AZ|3","CN|2","UZ|1"],"counts":[1,2,1]}'


def test_numbers_given_to_cells_in_another_order_give_the_same_bytes() -> None:
    other = ["", "CN|2", "AZ|3", "UZ|1"]
    one = encode(DAY, spans((1, DAY, NEVER), (2, DAY, DAY + 9)), NAMES, ranks(NAMES))
    two = encode(DAY, spans((3, DAY, NEVER), (1, DAY, DAY + 9)), other, ranks(other))
    assert one == two


def test_what_starts_and_what_ends_on_a_day_are_told_apart() -> None:
    counts = spans((1, DAY - 5, DAY), (1, DAY, NEVER), (2, DAY - 1, DAY))
    sheet = encode(DAY, counts, NAMES, ranks(NAMES))
    assert sheet is not None
    assert decode(sheet) == Sheet("2025-06-30", {"UZ|1": 1}, {"CN|2": 1, "UZ|1": 1}, {})
    assert orjson.loads(sheet)["ended"] == [1, 1]


def test_a_day_on_which_nothing_ends_says_nothing_of_ends() -> None:
    sheet = encode(DAY, spans((1, DAY, DAY + 3)), NAMES, ranks(NAMES))
    assert sheet is not None
    assert "ended" not in orjson.loads(sheet)


def test_counts_that_were_taken_back_leave_no_cell() -> None:
    added = pack(np.array([1, 2]), np.array([DAY, DAY]), np.array([NEVER, NEVER]))
    counts = merge(count(added, np.empty(0, np.uint64)), count(np.empty(0, np.uint64), added[:1]))
    sheet = encode(DAY, counts, NAMES, ranks(NAMES))
    assert sheet is not None
    assert decode(sheet).counts == {"CN|2": 1}


def test_cells_that_tell_of_delays_are_read_apart_from_those_that_count() -> None:
    sheet = b'{"day":"2025-06-30","cells":["UZ|1","~conflict|permits_issued","~delay|permits_issued|3"],"counts":[1,1,-2]}'
    assert decode(sheet) == Sheet("2025-06-30", {"UZ|1": 1}, {}, {"~conflict|permits_issued": 1, "~delay|permits_issued|3": -2})
