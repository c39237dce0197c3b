"""Reads the border-crossing section of a targets file and refuses figures that contradict one another."""

import datetime as dt
import re
from fractions import Fraction
from typing import Any

from tools.simulate.reading import (
    TargetsError,
    count,
    country,
    country_or,
    fields,
    mapping,
    number,
    percent,
    weights,
)
from tools.simulate.targets import (
    CIS,
    EAEU,
    GROUPS,
    NOT_FAR_ABROAD,
    PURPOSES,
    SERIES,
    CrossingTargets,
    Flow,
    Quarter,
)

Blocks = list[tuple[Fraction, dict[str, Fraction]]]

# Times are written with +05:00, Kazakhstan's offset from 2024-03-01 on; the first whole quarter of it is 2024-Q2.
FIRST_QUARTER = (2024, 2)
# A change is compared at the one decimal that it is published with.
CHANGE_TOLERANCE = Fraction(5, 100)


def read_crossings(value: object, where: str) -> CrossingTargets:
    """The checked section. Raises TargetsError."""
    other_keys = ("own_counterpart_percent", "employment_percent", "employment_balance", "purposes")
    section = fields(value, where, (*SERIES, *other_keys))
    names = [str(name) for name in mapping(section["arrivals"], f"{where}.arrivals")]
    quarters = _quarters(names, f"{where}.arrivals")
    flows: dict[tuple[str, str], Flow] = {}
    for series in SERIES:
        place = f"{where}.{series}"
        by_period = fields(section[series], place, names)
        before: Flow | None = None
        for quarter in quarters:
            before = _flow(by_period[quarter.name], f"{place}.{quarter.name}", before)
            flows[series, quarter.name] = before
    default, employment = _employment(section["employment_percent"], f"{where}.employment_percent")
    return CrossingTargets(
        quarters=quarters,
        flows=flows,
        own_counterpart=percent(section["own_counterpart_percent"], f"{where}.own_counterpart_percent"),
        employment_default=default,
        employment=employment,
        balance=_balance(section["employment_balance"], f"{where}.employment_balance", names),
        purposes=weights(section["purposes"], f"{where}.purposes", [code for code in PURPOSES if code != "employment"]),
    )


def _quarters(names: list[str], where: str) -> tuple[Quarter, ...]:
    found: list[Quarter] = []
    for name in names:
        match = re.fullmatch(r"(20\d\d)-Q([1-4])", name)
        if not match:
            raise TargetsError(f"{where}: expected quarters such as 2025-Q2, found {name}")
        year, quarter_of_year = int(match[1]), int(match[2])
        if (year, quarter_of_year) < FIRST_QUARTER:
            raise TargetsError(f"{where}: {name} is before 2024-Q2, the first quarter wholly at +05:00")
        first = dt.date(year, 3 * quarter_of_year - 2, 1)
        after = dt.date(year + quarter_of_year // 4, 3 * quarter_of_year % 12 + 1, 1)
        if found and found[-1].last_day + dt.timedelta(days=1) != first:
            raise TargetsError(f"{where}: {name} does not follow {found[-1].name}: list each quarter once, in order")
        found.append(Quarter(name, first, (after - first).days))
    return tuple(found)


def _flow(value: object, where: str, before: Flow | None) -> Flow:
    entry = fields(value, where, ("total",), ("change_percent", "shares", "others"))
    total = count(entry["total"], f"{where}.total", least=1)
    if "change_percent" in entry:
        stated = number(entry["change_percent"], f"{where}.change_percent", least=-100)
        if before is None:
            raise TargetsError(f"{where}.change_percent: there is no quarter before it in the file")
        actual = 100 * (Fraction(total, before.total) - 1)
        if abs(actual - stated) > CHANGE_TOLERANCE:
            raise TargetsError(f"{where}: contradictory: the totals change by {float(actual):.2f} %, not by {float(stated):g} %")
    shares: dict[str, Fraction] = {}
    if "shares" in entry:
        for area, share in mapping(entry["shares"], f"{where}.shares").items():
            code = area if area in GROUPS else country(area, f"{where}.shares")
            shares[code] = percent(share, f"{where}.shares.{code}")
    others = weights(entry["others"], f"{where}.others") if "others" in entry else {}
    if "KZ" in shares or "KZ" in others:
        raise TargetsError(f"{where}: KZ is neither a foreign citizenship nor across its own border")
    if both := sorted(set(shares) & set(others)):
        raise TargetsError(f"{where}: contradictory: {', '.join(both)} both in shares and in others")
    return Flow(total, tuple(_blocks(shares, others, where)))


def _blocks(shares: dict[str, Fraction], others: dict[str, Fraction], where: str) -> Blocks:
    """Named countries; then what each named group has left for its other members; then what all of them leave."""
    named = {code: share for code, share in shares.items() if code not in GROUPS}
    blocks: Blocks = [(share, {code: Fraction(1)}) for code, share in named.items()]
    areas = [group for group in GROUPS if group in shares]
    for area in (*areas, None):
        stated = shares[area] if area else 1 - sum((shares[group] for group in areas), Fraction(0))
        of_named = sum((share for code, share in named.items() if _area(code, areas) == area), Fraction(0))
        rest = {code: weight for code, weight in others.items() if _area(code, areas) == area}
        blocks += _rest(stated - of_named, rest, f"{where}: {area or 'all other countries'}")
    return blocks


def _area(code: str, areas: list[str]) -> str | None:
    """Which of the stated `areas` a country belongs to; None: to none of them."""
    group = "CIS" if code in CIS else None if code in NOT_FAR_ABROAD else "FAR_ABROAD"
    return group if group in areas else None


def _rest(share: Fraction, members: dict[str, Fraction], where: str) -> Blocks:
    left = f"{float(100 * share):g} % left"
    if share < 0:
        raise TargetsError(f"{where}: contradictory: the shares of its countries exceed its own, {left}")
    if share > 0 and not any(members.values()):
        raise TargetsError(f"{where}: contradictory: {left} and no country in others to take it")
    if share == 0 and members:
        raise TargetsError(f"{where}: contradictory: {left} for {', '.join(sorted(members))} in others")
    return [(share, members)] if share else []


def _employment(value: object, where: str) -> tuple[Fraction, dict[str, Fraction]]:
    shares = {country_or("default", key, where): percent(share, f"{where}.{key}") for key, share in mapping(value, where).items()}
    if "default" not in shares:
        raise TargetsError(f"{where}: missing key default")
    return shares.pop("default"), {**shares, "XX": Fraction(0)}


def _balance(value: object, where: str, names: list[str]) -> dict[str, dict[str, int]]:
    by_period: dict[str, Any] = dict(fields(value, where, names))
    result: dict[str, dict[str, int]] = {}
    for name, entry in by_period.items():
        result[name] = {}
        for code, balance in mapping(entry, f"{where}.{name}").items():
            if country(code, f"{where}.{name}") in EAEU | {"KZ", "XX"}:
                raise TargetsError(f"{where}.{name}: {code} is no citizenship that needs a permit")
            result[name][code] = count(balance, f"{where}.{name}.{code}")
    return result
