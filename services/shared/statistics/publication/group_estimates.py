"""Estimates of informal work by group of citizenships, for releases: of those groups that set no handful of persons apart.

From an estimate with its limits one can solve for the persons that it is made of: how many were found once, twice, more often.
And groups can be subtracted from each other and from all, whose estimates are always published. So a group gives persons away if it
has, or leaves beside it, some but fewer than THRESHOLD of one kind. Page: docs/methods/disclosure.md.
"""

from collections.abc import Mapping, Set
from itertools import combinations

from services.shared.statistics.estimation.estimate import Interval
from services.shared.statistics.estimation.frequencies import METHODS, Frequencies
from services.shared.statistics.exchange.observation import SECONDARY, SMALL_CELL, TOTAL
from services.shared.statistics.publication.disclosure import THRESHOLD
from services.shared.statistics.terms.areas import GROUPS

INDICATOR = "INFORMAL_WORKERS"


def group_estimates(by_area: Mapping[str, Frequencies], hidden_before: Set[str]) -> dict[tuple[str, str], Interval | str]:
    """(group, method) -> its estimate, or the confidentiality status with which it is hidden; what data cannot carry is not there.

    `by_area`: how many persons of a year were found how often, by group and TOTAL. `hidden_before`: groups that an earlier release
    of the year hid; they stay hidden.
    """
    shown = _shown(by_area, hidden_before)
    found: dict[tuple[str, str], Interval | str] = {}
    for group in GROUPS:
        if group not in by_area and group not in hidden_before:
            continue
        table = by_area.get(group, {})
        status = SMALL_CELL if not table or _tells_of_few(table) else SECONDARY
        for method, estimator in METHODS.items():
            if group in shown:
                result = estimator(table)
                if isinstance(result, Interval):
                    found[group, method] = result
            else:
                found[group, method] = status
    return found


def _shown(by_area: Mapping[str, Frequencies], hidden: Set[str]) -> frozenset[str]:
    """As many groups as can be shown together; of as many, those with the most persons."""
    free = [group for group in GROUPS if group in by_area and group not in hidden]
    choices = [frozenset(some) for size in range(len(free) + 1) for some in combinations(free, size)]
    safe = [some for some in choices if not any(_tells_of_few(part) for part in _parts(by_area, some))]
    return max(safe, key=lambda some: (len(some), sum(sum(by_area[group].values()) for group in some), sorted(some)))


def _parts(by_area: Mapping[str, Frequencies], shown: frozenset[str]) -> list[Frequencies]:
    """What can be told apart when these groups are shown, and all: the EAEU lies in the CIS, the far abroad beside it."""
    tables = {group: by_area[group] for group in shown}
    if tables.keys() >= {"CIS", "EAEU"}:
        tables["CIS only"] = _less(tables["CIS"], tables["EAEU"])
    everyone = by_area.get(TOTAL, {})
    beside = [_less(everyone, table) for table in tables.values()]
    if "FAR_ABROAD" in shown:
        beside += [_less(_less(everyone, table), tables["FAR_ABROAD"]) for name, table in tables.items() if name != "FAR_ABROAD"]
    return [*tables.values(), *beside]


def _less(table: Frequencies, other: Frequencies) -> Frequencies:
    """Persons of the one who are not in the other. Whoever has two citizenships can make it negative."""
    return {times: table.get(times, 0) - other.get(times, 0) for times in table.keys() | other.keys()}


def _tells_of_few(table: Frequencies) -> bool:
    """Whether some but few persons were found once, twice, more often, or at all."""
    once, twice, everyone = table.get(1, 0), table.get(2, 0), sum(table.values())
    return any(0 < abs(persons) < THRESHOLD for persons in (once, twice, everyone - once - twice, everyone))
