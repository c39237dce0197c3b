"""The targets file: read whole, checked whole, refused with one clear line.

Its form is described in this folder's README. It is refused when a key is unknown or missing, when a value has the
wrong type, and when its figures contradict one another: a generator that met only some of them would be wrong in
silence.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.simulate.reading import TargetsError, count, fields, mapping, number, percent, weights
from tools.simulate.targets import CATEGORIES, FIELDS_OF_STUDY, LEVELS, PermitTargets, StudentTargets, Targets
from tools.simulate.targets_flows import read_crossings
from tools.simulate.targets_persons import (
    PERSON_SECTIONS,
    read_emigration,
    read_residence,
    read_stays,
    read_violations,
)

BUNDLED = Path(__file__).parent / "targets" / "2025-H1.yaml"

# Two dates nearer than this leave no room for a permit between them.
MIN_DAYS_BETWEEN_STOCKS = 3
# Branch codes have two digits, and one of them is kept for a branch that exists only in a wrong version.
MAX_BRANCHES = 98

FIGURE_TEXTS = ("record_id", "figure", "period", "unit", "source", "published_on")
FIGURE_OPTIONAL = ("sample_size", "design_effect", "counterpart", "note")


def load_targets(path: Path = BUNDLED) -> Targets:
    """Read and check a targets file. Raises TargetsError when it cannot be read or is refused."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TargetsError(f"{path}: cannot be read: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise TargetsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    try:
        return parse_targets(document)
    except TargetsError as error:
        raise TargetsError(f"{path}: {error}") from None


def parse_targets(document: object) -> Targets:
    """The checked form of a targets file's content, as YAML gives it. Raises TargetsError."""
    names = ("border_crossings", "work_permits", "student_enrolments", *PERSON_SECTIONS, "reference_figures")
    sections = fields(document, "targets", names)
    return Targets(
        crossings=read_crossings(sections["border_crossings"], "border_crossings"),
        permits=_permits(sections["work_permits"], "work_permits"),
        students=_students(sections["student_enrolments"], "student_enrolments"),
        residence=read_residence(sections["residence_registrations"], "residence_registrations"),
        emigration=read_emigration(sections["labour_emigration"], "labour_emigration"),
        stays=read_stays(sections["visitor_stays"], "visitor_stays"),
        violations=read_violations(sections["migration_violations"], "migration_violations"),
        figures=_figures(sections["reference_figures"], "reference_figures"),
    )


def _permits(value: object, where: str) -> PermitTargets:
    counts = ("between_dates", "one_day", "never_in_force")
    section = fields(value, where, ("stocks", "citizenships", "categories", "turnover_percent", *counts))
    return PermitTargets(
        stocks=_stocks(section["stocks"], f"{where}.stocks"),
        citizenships=_foreign(section["citizenships"], f"{where}.citizenships"),
        categories=weights(section["categories"], f"{where}.categories", CATEGORIES),
        turnover=percent(section["turnover_percent"], f"{where}.turnover_percent"),
        between_dates=count(section["between_dates"], f"{where}.between_dates"),
        one_day=count(section["one_day"], f"{where}.one_day"),
        never_in_force=count(section["never_in_force"], f"{where}.never_in_force"),
    )


def _students(value: object, where: str) -> StudentTargets:
    counts = ("ended_before", "citizens_in_branches", "branches_open", "branches_closed")
    section = fields(value, where, ("stocks", "citizenships", "levels", "fields", *counts))
    ended_before, in_branches, branches_open, branches_closed = (count(section[key], f"{where}.{key}") for key in counts)
    stocks = _stocks(section["stocks"], f"{where}.stocks")
    if branches_open + branches_closed > MAX_BRANCHES:
        raise TargetsError(f"{where}: more than {MAX_BRANCHES} branches")
    if branches_open > list(stocks.values())[-1]:
        raise TargetsError(f"{where}: contradictory: fewer enrolments than branches_open at the last date")
    if branches_closed > ended_before:
        raise TargetsError(f"{where}: contradictory: branches_closed need as many enrolments in ended_before")
    if in_branches and not branches_open:
        raise TargetsError(f"{where}: contradictory: citizens_in_branches without branches_open")
    return StudentTargets(
        stocks=stocks,
        citizenships=_foreign(section["citizenships"], f"{where}.citizenships"),
        levels=weights(section["levels"], f"{where}.levels", LEVELS),
        fields=weights(section["fields"], f"{where}.fields", FIELDS_OF_STUDY),
        ended_before=ended_before,
        citizens_in_branches=in_branches,
        branches_open=branches_open,
        branches_closed=branches_closed,
    )


def _foreign(value: object, where: str) -> dict[str, Any]:
    result = weights(value, where)
    if "KZ" in result:
        raise TargetsError(f"{where}: KZ is no foreign citizenship")
    return result


def _stocks(value: object, where: str) -> dict[dt.date, int]:
    """Dates in rising order with the stock at the end of each; two at least, for a year-on-year change needs two."""
    stocks: dict[dt.date, int] = {}
    for day, stock in mapping(value, where).items():
        if type(day) is not dt.date:
            raise TargetsError(f"{where}: expected a date such as 2025-06-30, found {day!r}")
        before = max(stocks, default=None)
        if before is not None and (day - before).days < MIN_DAYS_BETWEEN_STOCKS:
            raise TargetsError(f"{where}: {day} is not at least {MIN_DAYS_BETWEEN_STOCKS} days after {before}")
        stocks[day] = count(stock, f"{where}.{day}", least=1)
    if len(stocks) < 2:
        raise TargetsError(f"{where}: expected two dates at least")
    return stocks


def _figures(value: object, where: str) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list):
        raise TargetsError(f"{where}: expected a list of figures")
    for i, figure in enumerate(value):
        place = f"{where}[{i}]"
        fields(figure, place, (*FIGURE_TEXTS, "value"), FIGURE_OPTIONAL)
        for key in FIGURE_TEXTS:
            if not isinstance(figure[key], str):
                raise TargetsError(f"{place}.{key}: expected text (in quotes), found {figure[key]!r}")
        number(figure["value"], f"{place}.value", least=-(10**9), most=10**12)
    ids = [figure["record_id"] for figure in value]
    if len(set(ids)) < len(ids):
        raise TargetsError(f"{where}: a record_id appears twice")
    return tuple(value)
