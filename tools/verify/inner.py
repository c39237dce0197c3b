"""The inner cells of a release against the log at the release's cut: what is shown is right, and what is hidden had to be.

Written from docs/methods/disclosure.md. Whether anything can be worked out from all that is shown, the tests ask; here is asked
what can be seen cell by cell.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import combinations
from typing import NamedTuple

from schemas.indicators import units
from services.shared.runtime.postgres.store import Published
from services.shared.statistics.exchange.observation import Observation
from tools.verify.compare import Attributes, Difference, Key, equal
from tools.verify.estimators import from_frequencies
from tools.verify.recount import Recount

SMALL = 5  # a count below it is small
COUNTED = ("PERMITS_IN_FORCE", "PERMITS_ISSUED", "FOREIGN_STUDENTS")
ESTIMATED = "INFORMAL_WORKERS"
METHODS = ("CHAO", "ZELTERMAN", "TRUNCATED_POISSON")
GROUPS = ("CIS", "EAEU", "FAR_ABROAD")
FEEDS = ("work-permits", "student-enrolments", "migration-violations")  # the feeds that inner cells come from

Persons = Mapping[int, int]  # how often -> how many
Row = Observation | Published


class Inner(NamedTuple):
    """What the log has: counts by key; by group and `_T`, persons by how often they were found (of a fourth quarter's year)."""

    period: str
    counts: dict[Key, int]
    frequencies: dict[str, dict[int, int]]


def is_inner(key: Key) -> bool:
    """Whether a key is of those that are published at releases only."""
    _, indicator, area, _, category, method = key[0].split(".")
    if indicator == ESTIMATED:
        return area != "_T" and method in METHODS
    return indicator in COUNTED and area != "_T" and category != "_T"


def inner_cells(recount: Recount, period: str, log_time: int) -> Inner:
    """The inner cells of a quarter's release. The recount must have counted all partitions of FEEDS up to the release's cut; of
    other feeds nothing is needed. `log_time`: append time of the newest record before the cut, of whatever feed, ms.
    """
    counts: dict[Key, int] = {}
    for freq, indicator, area, category, of_period, n in recount.inner(period, log_time):
        counts[f"{freq}.{indicator}.{area}._T.{category}._Z", of_period] = n
    frequencies: dict[str, dict[int, int]] = defaultdict(dict)
    if period.endswith("Q4"):
        for year, area, times, persons in recount.frequencies():
            if str(year) == period[:4]:
                frequencies[area][times] = persons
    return Inner(period, counts, dict(frequencies))


def inner_differences(
    inner: Inner, released: Mapping[Key, Row], hidden_before: Collection[Key] = frozenset()
) -> tuple[int, list[Difference]]:
    """(number of keys compared, those that are wrong, in order), as `compare.differences`, without a topic.

    `released`: all rows of the release, whatever else it has; `hidden_before`: keys that any earlier release hid. A difference
    never says the count of a cell that must be hidden.
    """
    rows = {key: one for key, one in released.items() if is_inner(key)}
    periods = {inner.period, inner.period[:4]} if inner.period.endswith("Q4") else {inner.period}
    before = {key for key in hidden_before if is_inner(key) and key[1] in periods}
    expected = {**_counts(inner, rows, before), **_estimates(inner, rows, before)}
    keys = sorted(rows.keys() | expected.keys())
    found = (_difference(key, rows.get(key), expected.get(key)) for key in keys)
    return len(keys), [difference for difference in found if difference is not None]


def _difference(key: Key, one: Row | None, expected: Attributes | None) -> Difference | None:
    published = None if one is None else _attributes(one)
    if published == expected or (
        published is not None and expected is not None and all(equal(name, expected, published) for name in expected)
    ):
        return None
    return Difference(*key, published, expected, None, wrong=True, astray=False)


def _attributes(o: Row) -> Attributes:
    # Whether a shown figure is provisional or final is not asked here.
    status = "P" if o.status == "A" else o.status
    return _as_attributes((o.value, o.lower, o.upper, o.unit, o.decimals, status, o.confidentiality))


def _expected(
    key: Key,
    status: str,
    confidentiality: str,
    value: float | None = None,
    limits: tuple[float | None, float | None] = (None, None),
) -> Attributes:
    unit, decimals = units()[key[0].split(".")[1]]
    return _as_attributes((value, *limits, unit, decimals, status, confidentiality))


def _as_attributes(values: tuple[float | str | None, ...]) -> Attributes:
    names = "OBS_VALUE", "LOWER", "UPPER", "UNIT_MEASURE", "DECIMALS", "OBS_STATUS", "CONF_STATUS"
    return dict(zip(names, values, strict=True))


def _counts(inner: Inner, rows: Mapping[Key, Row], hidden_before: Collection[Key]) -> dict[Key, Attributes]:
    """How every count should stand, given what else is hidden."""
    estimated = {key for key in rows if key[0].split(".")[1] == ESTIMATED}
    hidden = {key for key, one in rows.items() if one.value is None} - estimated
    lines: dict[tuple[str, ...], set[Key]] = defaultdict(set)  # of each row and column of a table: what is hidden in it
    for key in hidden:
        for line in _lines(key):
            lines[line].add(key)
    expected = {}
    for key in inner.counts.keys() | hidden | {key for key in hidden_before if key[0].split(".")[1] in COUNTED}:
        count = inner.counts.get(key, 0)
        # Alone in its row or in its column, a hidden cell could not have moved: it protects nothing.
        secondary = key in hidden and all(len(lines[line]) > 1 for line in _lines(key))
        if 0 < count < SMALL or key in hidden_before or secondary:
            expected[key] = _expected(key, "Q", "A" if count < SMALL else "D")
        elif count:
            expected[key] = _expected(key, "P", "F", count)
    return expected


def _lines(key: Key) -> tuple[tuple[str, ...], ...]:
    """The row and the column of a cell, as every table of an indicator and period has them."""
    _, indicator, area, _, category, _ = key[0].split(".")
    return (indicator, key[1], "row", area), (indicator, key[1], "column", category)


def _estimates(inner: Inner, rows: Mapping[Key, Row], hidden_before: Collection[Key]) -> dict[Key, Attributes]:
    """How every estimate of a group should stand, given which groups are shown."""
    year = inner.period[:4]
    held = {key: group for group in GROUPS for method in METHODS if (key := _key(group, method, year)) in rows}
    before = {key[0].split(".")[2] for key in hidden_before if key[0].split(".")[1] == ESTIMATED}
    shown = {group for key, group in held.items() if rows[key].value is not None}
    expected: dict[Key, Attributes] = {}
    for group in GROUPS:
        table = inner.frequencies.get(group, {})
        if not table and group not in before:
            continue
        with_it = shown | {group}
        if group in before or any(_few(part) for part in _parts(inner.frequencies, with_it)):
            status = "A" if not table or _few(table) else "D"
            expected |= {key: _expected(key, "Q", status) for method in METHODS for key in [_key(group, method, year)]}
        else:
            for e in from_frequencies({int(year): table}):
                key = _key(group, e.method, year)
                expected[key] = _expected(key, e.status, "F", e.value, (e.lower, e.upper))
    return expected


def _key(group: str, method: str, year: str) -> Key:
    return f"A.{ESTIMATED}.{group}._T._T.{method}", year


def _parts(frequencies: Mapping[str, Persons], shown: Collection[str]) -> list[Persons]:
    """Every group that is shown, everything that is left of a group or of all when other shown groups are taken away."""
    found: list[Persons] = [frequencies[group] for group in shown if group in frequencies]
    apart = [
        taken for n in range(1, len(GROUPS) + 1) for taken in combinations(sorted(shown), n) if not {"CIS", "EAEU"} <= {*taken}
    ]
    found += [_without(frequencies.get("_T", {}), [frequencies.get(group, {}) for group in taken]) for taken in apart]
    if {"CIS", "EAEU"} <= {*shown}:
        found.append(_without(frequencies.get("CIS", {}), [frequencies.get("EAEU", {})]))
    return found


def _without(whole: Persons, taken: list[Persons]) -> dict[int, int]:
    every = {*whole}.union(*taken)
    return {times: whole.get(times, 0) - sum(part.get(times, 0) for part in taken) for times in every}


def _few(table: Persons) -> bool:
    more = sum(persons for times, persons in table.items() if times > 2)
    kinds = table.get(1, 0), table.get(2, 0), more, sum(table.values())
    return any(persons != 0 and abs(persons) < SMALL for persons in kinds)
