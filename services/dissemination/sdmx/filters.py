"""Component filters: `c[TIME_PERIOD]=ge:2025-Q1+le:2025-Q2`, `c[FREQ]=Q,A`. Commas are OR, pluses are AND, within the commas.

An observation without a value for the component (a suppressed one has no OBS_VALUE) fits no comparison at all.
"""

import operator
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from schemas.sdmx.structures import DIMENSIONS, TIME
from services.dissemination.sdmx.periods import span
from services.dissemination.sdmx.problem import bad
from services.shared.runtime.postgres.store import Published

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip
TEXTS: dict[str, Callable[[str, str], bool]] = {
    "co": lambda value, part: part in value,
    "nc": lambda value, part: part not in value,
    "sw": str.startswith,
    "ew": str.endswith,
}
OPERATORS = (*COMPARISONS, *TEXTS)
TEXT_OPERATORS = ("eq", "ne", *TEXTS)

VALUES: dict[str, Callable[[Published], Any]] = {
    "OBS_VALUE": lambda row: row.value,
    "LOWER": lambda row: row.lower,
    "UPPER": lambda row: row.upper,
    "UNIT_MEASURE": lambda row: row.unit,
    "DECIMALS": lambda row: row.decimals,
    "OBS_STATUS": lambda row: row.status,
    "CONF_STATUS": lambda row: row.confidentiality,
    "AS_OF": lambda row: row.as_of,
    "PUBLISHED_AT": lambda row: row.published_at,
}
NUMBERS = ("OBS_VALUE", "LOWER", "UPPER", "DECIMALS", "AS_OF")
POSITIONS = {dimension.id: position for position, dimension in enumerate(DIMENSIONS)}
COMPONENTS = (*POSITIONS, TIME, *VALUES)

Test = Callable[[Any], bool]


class Filter(NamedTuple):
    """Values of one component: any of `alternatives`, each with all its tests."""

    component: str
    alternatives: tuple[tuple[Test, ...], ...]

    def fits(self, value: Any) -> bool:
        return value is not None and any(all(test(value) for test in tests) for tests in self.alternatives)


def parse_instant(parameter: str, text: str) -> datetime:
    """A moment such as `2026-01-31T12:00:00Z`; without an offset it is UTC. Raises Problem."""
    try:
        if not text[:4].isdigit() or text[4:5] != "-":
            raise ValueError
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise bad(parameter, "a moment such as 2026-01-31T12:00:00Z") from None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def parse_filter(component: str, text: str) -> Filter:
    """The filter that a `c` parameter gives. Raises Problem."""
    name = f"c[{component}]"
    if component not in COMPONENTS:
        raise bad(name, f"no such component; there are {', '.join(COMPONENTS)}")
    return Filter(component, tuple(tuple(_term(name, component, term) for term in part.split("+")) for part in text.split(",")))


def _term(name: str, component: str, term: str) -> Test:
    before, colon, after = term.partition(":")
    operation, text = "eq", term
    # A two-letter word before a colon is an operator: no code or period has one, a moment begins with a year.
    if colon and len(before) == 2 and before.isalpha():
        if before not in OPERATORS:
            raise bad(name, f"an operator is one of {', '.join(OPERATORS)}")
        operation, text = before, after
    if not text:
        raise bad(name, "a value, or several with commas between them")
    if component == TIME:
        return _period_test(name, operation, text)
    if component in NUMBERS or component == "PUBLISHED_AT":
        return _ordered_test(name, component, operation, text)
    if operation not in TEXT_OPERATORS:
        raise bad(name, f"codes and texts have no order; operators for them are {', '.join(TEXT_OPERATORS)}")
    compare = COMPARISONS.get(operation) or TEXTS[operation]
    return lambda value: compare(value, text)


def _ordered_test(name: str, component: str, operation: str, text: str) -> Test:
    if operation in TEXTS:
        raise bad(name, f"operators for numbers and moments are {', '.join(COMPARISONS)}")
    compare = COMPARISONS[operation]
    if component == "PUBLISHED_AT":
        instant = parse_instant(name, text)
        return lambda value: compare(value, instant)
    try:
        number = float(text)
    except ValueError:
        raise bad(name, "a number") from None
    return lambda value: compare(value, number)


def _period_test(name: str, operation: str, text: str) -> Test:
    """`ge` and `le` compare first with first and last with last days, so that ge:2025-Q1+le:2025-Q2 takes what lies within."""
    if operation in TEXTS:
        has = TEXTS[operation]
        return lambda period: has(period, text)
    try:
        first, last = span(text)
    except ValueError:
        raise bad(name, "a period such as 2025, 2025-Q2, 2025-06 or 2025-06-30") from None
    within: dict[str, Callable[[date, date], bool]] = {
        "ge": lambda begin, _: begin >= first,
        "gt": lambda begin, _: begin > last,
        "le": lambda _, end: end <= last,
        "lt": lambda _, end: end < first,
        "eq": lambda begin, end: (begin, end) == (first, last),
        "ne": lambda begin, end: (begin, end) != (first, last),
    }
    test = within[operation]
    return lambda period: test(*span(period))
