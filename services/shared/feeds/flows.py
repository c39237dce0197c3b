"""The flows of a feed: what is counted by the day on which it happened or began, under the names of the aggregates' measures.

A record belongs to one flow, by its cell. Reference figures are no flow; violations are counted by person, and tell of no flow.
"""

from collections.abc import Callable

from services.shared.statistics.terms.areas import HOME

FLOWS: dict[str, tuple[str, ...]] = {
    "border-crossings": ("arrivals", "departures", "citizens_in", "citizens_out"),
    "work-permits": ("permits_issued",),
    "student-enrolments": ("enrolments",),
    "residence-registrations": ("residence_arrivals", "residence_departures"),
    "labour-emigration": ("labour_emigration",),
    "visitor-stays": ("guests", "medical"),
}


def _crossing(cell: str) -> str:
    """Of foreigners, or of citizens: in or out."""
    direction, citizenship, _ = cell.split("|", 2)
    if citizenship == HOME:
        return "citizens_in" if direction == "arrival" else "citizens_out"
    return "arrivals" if direction == "arrival" else "departures"


def _residence(cell: str) -> str:
    return "residence_arrivals" if cell.startswith("arrival|") else "residence_departures"


def _stay(cell: str) -> str:
    return "guests" if cell.endswith("|guest") else "medical"


_BY_CELL: dict[str, Callable[[str], str]] = {
    "border-crossings": _crossing,
    "residence-registrations": _residence,
    "visitor-stays": _stay,
}


def flow_of(feed: str, cell: str) -> str:
    """The flow, one of FLOWS[feed], that records in this cell belong to."""
    several = _BY_CELL.get(feed)
    return several(cell) if several is not None else FLOWS[feed][0]
