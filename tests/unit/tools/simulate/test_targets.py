"""A targets file is met or refused: never met in part."""

import copy
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.simulate.plan import ARRIVAL, DEPARTURE, plan_crossings
from tools.simulate.reading import TargetsError
from tools.simulate.targets import CIS, EAEU, NOT_FAR_ABROAD, PURPOSES
from tools.simulate.targets_file import BUNDLED, load_targets, parse_targets

Document = dict[Any, Any]


@pytest.fixture(scope="module")
def bundled() -> Document:
    """The bundled file's content; anchors resolved into separate copies, so that a test changes one place only."""
    content = yaml.safe_load(BUNDLED.read_text(encoding="utf-8"))

    def separate(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: separate(item) for key, item in value.items()}
        return copy.copy(value)

    result: Document = separate(content)
    return result


def test_at_full_size_the_plan_has_the_published_figures_exactly() -> None:
    totals: Counter[tuple[str, int]] = Counter()
    arrivals: Counter[str] = Counter()
    destinations: Counter[str] = Counter()
    for block in plan_crossings(load_targets().crossings, Fraction(1)):
        number = sum(block.counterparts.values())
        assert number == sum(block.purposes)
        if block.citizenship == "KZ":
            continue
        totals[block.quarter.name, block.direction] += number
        if (block.quarter.name, block.direction) == ("2025-Q2", ARRIVAL):
            arrivals[block.citizenship] += number
        if (block.quarter.name, block.direction) == ("2025-Q2", DEPARTURE):
            destinations.update(block.counterparts)
    assert totals == {
        ("2025-Q1", ARRIVAL): 3_077_465,
        ("2025-Q2", ARRIVAL): 4_370_000,
        ("2025-Q1", DEPARTURE): 3_181_818,
        ("2025-Q2", DEPARTURE): 4_200_000,
    }
    assert [arrivals[code] * 100 for code in ("UZ", "RU", "KG")] == [4_370_000 * share for share in (36, 23, 22)]
    assert sum(arrivals[code] for code in CIS) * 100 == 4_370_000 * 89
    assert [destinations[code] * 100 for code in ("UZ", "KG", "RU")] == [4_200_000 * share for share in (35, 23, 22)]
    assert sum(count for code, count in destinations.items() if code not in NOT_FAR_ABROAD) * 100 == 4_200_000 * 12


def test_at_full_size_the_residual_stands_about_175000_above_the_permits() -> None:
    balance: Counter[str] = Counter()
    for block in plan_crossings(load_targets().crossings, Fraction(1)):
        if block.citizenship not in EAEU | {"KZ"}:
            number = block.purposes[PURPOSES.index("employment")]
            balance[block.citizenship] += number if block.direction == ARRIVAL else -number
    assert sum(max(0, count) for count in balance.values()) - 14_820 == 175_180


@pytest.mark.parametrize("scale", ["0.0002", "0.0037", "0.05", "0.333"])
def test_at_any_scale_totals_are_rounded_once_and_shares_are_off_by_less_than_one(scale: str) -> None:
    arrivals: Counter[str] = Counter()
    for block in plan_crossings(load_targets().crossings, Fraction(scale)):
        if (block.quarter.name, block.direction) == ("2025-Q2", ARRIVAL) and block.citizenship != "KZ":
            arrivals[block.citizenship] += sum(block.counterparts.values())
    total = round(4_370_000 * Fraction(scale))
    assert arrivals.total() == total
    assert all(abs(arrivals[code] - total * share / 100) < 1 for code, share in (("UZ", 36), ("RU", 23), ("KG", 22)))


def at(document: Document, *path: str | int) -> Document:
    for key in path:
        document = document[key]
    return document


Q2 = ("border_crossings", "arrivals", "2025-Q2")

REFUSALS: dict[str, tuple[Callable[[Document], object], str]] = {
    "an unknown section": (lambda d: d.update(visitors={}), "unknown key visitors"),
    "a missing section": (lambda d: d.pop("work_permits"), "missing key work_permits"),
    "an unknown key": (lambda d: at(d, *Q2).update(totl=1), "arrivals.2025-Q2: unknown key totl"),
    "a quarter missing in one series": (lambda d: at(d, "border_crossings", "departures").pop("2025-Q2"), "missing key 2025-Q2"),
    "members above their group": (lambda d: at(d, *Q2, "shares").update(UZ=60), "CIS: contradictory"),
    "shares above 100": (lambda d: at(d, *Q2, "shares").update(CIS=81, TR=30), "contradictory"),
    "a share above 100": (lambda d: at(d, *Q2, "shares").update(CIS=101), "from 0 to 100"),
    "a rest that nobody takes": (lambda d: at(d, *Q2).pop("others"), "no country in others"),
    "takers of no rest": (lambda d: at(d, *Q2, "shares").update(CIS=81), "CIS: contradictory"),
    "a country named twice": (lambda d: at(d, *Q2, "others").update(UZ=1), "UZ both in shares and in others"),
    "totals that change otherwise": (lambda d: at(d, *Q2).update(total=4_400_000), "the totals change by 42.97 %, not by 42 %"),
    "a change with nothing before": (
        lambda d: at(d, "border_crossings", "arrivals", "2025-Q1").update(change_percent=1),
        "no quarter before",
    ),
    "citizens among foreigners": (lambda d: at(d, *Q2, "others").update(KZ=1), "KZ is neither"),
    "a total that is no whole number": (lambda d: at(d, *Q2).update(total=4.37e6), "whole number"),
    "a total that is true": (lambda d: at(d, *Q2).update(total=True), "whole number"),
    "a share that is no number": (lambda d: at(d, *Q2, "shares").update(UZ="36"), "expected a number"),
    "a share that is not finite": (lambda d: at(d, *Q2, "shares").update(UZ=float("nan")), "finite"),
    "Norway read as false": (lambda d: at(d, *Q2, "others").update([(False, 1)]), "in quotes if it is NO"),
    "an unknown purpose": (lambda d: at(d, "border_crossings", "purposes").update(work=1), "unknown key 'work'"),
    "a balance in the EAEU": (
        lambda d: at(d, "border_crossings", "employment_balance", "2025-Q2").update(RU=1),
        "RU is no citizenship that needs a permit",
    ),
    "a stock at no date": (lambda d: at(d, "work_permits", "stocks").update({"2026": 1}), "expected a date"),
    "an unknown category": (lambda d: at(d, "work_permits", "categories").update({"5": 1}), "unknown key '5'"),
    "more branches than students": (
        lambda d: at(d, "student_enrolments").update(branches_open=50, stocks=dict.fromkeys(d["work_permits"]["stocks"], 49)),
        "fewer enrolments than branches_open",
    ),
    "years that overlap": (lambda d: at(d, "labour_emigration", "totals").update({"2024-Q4": 1}), "2024 and 2024-Q4 overlap"),
    "a period of a month": (lambda d: at(d, "visitor_stays", "guests").update({"2024-05": 1}), "expected a year"),
    "stays of nobody's country": (lambda d: at(d, "visitor_stays", "medical", 2024).update(China=1), "country code"),
    "citizens as guests": (lambda d: at(d, "visitor_stays", "citizenships").update(KZ=1), "KZ is not abroad"),
    "a purpose of residence that is none": (lambda d: at(d, "residence_registrations", "purposes").update(x=1), "unknown key 'x'"),
    "persons found no time": (lambda d: at(d, "migration_violations", "frequencies", 2024).update({0: 1}), "expected how often"),
    "two periods of a year": (
        lambda d: at(d, "migration_violations", "frequencies").update({"2025-Q3": {1: 1}}),
        "one year has two periods",
    ),
    "an offence that is counted among others": (
        lambda d: at(d, "migration_violations", "others").update(work_without_permit=1),
        "unknown key work_without_permit",
    ),
    "a figure without a source": (lambda d: d["reference_figures"].append({"figure": "X"}), "missing key"),
}


@pytest.mark.parametrize("name", list(REFUSALS))
def test_a_file_is_refused_with_the_place_and_the_reason(bundled: Document, name: str) -> None:
    break_it, reason = REFUSALS[name]
    broken = copy.deepcopy(bundled)
    break_it(broken)
    with pytest.raises(TargetsError) as refused:
        parse_targets(broken)
    assert reason in str(refused.value)


def test_the_same_file_unbroken_is_accepted(bundled: Document) -> None:
    parse_targets(copy.deepcopy(bundled))


def test_quarters_must_follow_one_another(bundled: Document) -> None:
    broken = copy.deepcopy(bundled)
    for series in ("arrivals", "departures", "citizens_in", "citizens_out", "employment_balance"):
        section = broken["border_crossings"][series]
        section["2025-Q4"] = section.pop("2025-Q2")
    with pytest.raises(TargetsError, match="2025-Q4 does not follow 2025-Q1"):
        parse_targets(broken)


def test_an_employment_balance_that_the_crossings_cannot_have_is_refused(bundled: Document) -> None:
    broken = copy.deepcopy(bundled)
    broken["border_crossings"]["employment_balance"]["2025-Q2"]["CN"] = 4_000_000
    targets = parse_targets(broken)
    with pytest.raises(TargetsError, match=r"employment_balance\.CN: contradictory"):
        plan_crossings(targets.crossings, Fraction(1, 100))


@pytest.mark.parametrize(
    ("content", "reason"), [("a: [", "is not YAML"), ("- 1", "expected keys and values"), ("", "expected keys")]
)
def test_a_file_that_is_no_targets_file_is_refused_by_name(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TargetsError, match=reason) as refused:
        load_targets(path)
    assert "mine.yaml" in str(refused.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TargetsError, match=r"absent\.yaml: cannot be read"):
        load_targets(tmp_path / "absent.yaml")
