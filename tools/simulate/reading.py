"""Checked access to the values of a targets file; every refusal says where in the file and why."""

import re
from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Any

from services.shared.runtime.process.errors import UsageError

# Far above any figure of the country, far below what would overflow a 32-bit row number.
MAX_COUNT = 100_000_000


class TargetsError(UsageError):
    """The targets file is not usable: unknown or missing keys, wrong types, or figures that contradict one another."""


def mapping(value: object, where: str) -> Mapping[Any, Any]:
    """`value` as a mapping that is not empty."""
    if not isinstance(value, Mapping) or not value:
        raise TargetsError(f"{where}: expected keys and values")
    return value


def fields(value: object, where: str, required: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """`value` as a mapping that has all `required` keys and no others than those and the `optional` ones."""
    found = mapping(value, where)
    if unknown := sorted(str(key) for key in found if key not in required and key not in optional):
        raise TargetsError(f"{where}: unknown key {', '.join(unknown)}")
    if missing := sorted(key for key in required if key not in found):
        raise TargetsError(f"{where}: missing key {', '.join(missing)}")
    return found


def count(value: object, where: str, least: int = 0) -> int:
    """A whole number of records or persons."""
    if type(value) is not int or not least <= value <= MAX_COUNT:
        raise TargetsError(f"{where}: expected a whole number from {least} to {MAX_COUNT}, found {value!r}")
    return value


def number(value: object, where: str, least: int = 0, most: int = MAX_COUNT) -> Fraction:
    """A decimal number as the exact fraction that was written."""
    if type(value) not in (int, float):
        raise TargetsError(f"{where}: expected a number, found {value!r}")
    try:
        exact = Fraction(str(value))
    except ValueError:
        raise TargetsError(f"{where}: expected a finite number, found {value!r}") from None
    if not least <= exact <= most:
        raise TargetsError(f"{where}: expected a number from {least} to {most}, found {value!r}")
    return exact


def percent(value: object, where: str) -> Fraction:
    """A share as a fraction of 1."""
    return number(value, where, most=100) / 100


def country(value: object, where: str) -> str:
    """An ISO 3166-1 alpha-2 code or XX; whether the code exists is left to the edge, which has the list."""
    if not isinstance(value, str) or not re.fullmatch("[A-Z]{2}", value):
        raise TargetsError(f"{where}: expected a country code of two capital letters (in quotes if it is NO), found {value!r}")
    return value


def weights(value: object, where: str, allowed: Collection[str] | None = None) -> dict[str, Fraction]:
    """Weights by country, or by one of the `allowed` codes; at least one of them above 0."""
    result: dict[str, Fraction] = {}
    for key, weight in mapping(value, where).items():
        if allowed is None:
            country(key, where)
        elif key not in allowed:
            raise TargetsError(f"{where}: unknown key {key!r}, expected one of {', '.join(allowed)}")
        result[key] = number(weight, f"{where}.{key}")
    if not any(result.values()):
        raise TargetsError(f"{where}: all weights are 0")
    return result


def country_or(word: str, value: object, where: str) -> str:
    """A country code or the one other `word` allowed in its place."""
    return word if value == word else country(value, where)
