"""The method pages say what the code does: its assumptions, and worked examples that come out as printed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from schemas.indicators import units
from services.shared.statistics.estimation.estimate import Interval, product, share_variance, wilson
from services.shared.statistics.estimation.frequencies import ASSUMPTIONS, METHODS
from services.shared.statistics.estimation.informality import estimates
from services.shared.statistics.estimation.open_quarter import ASSUMPTIONS as NOWCAST_ASSUMPTIONS
from services.shared.statistics.exchange.observation import series_key
from services.shared.statistics.publication.indicators import observations
from services.shared.statistics.terms.calendar import last_day, parse_quarter

PAGES = Path(__file__).parents[2] / "docs" / "methods"
PAGE_OF = {"SURVEY": "survey-share", "BENCHMARK": "benchmark", "RESIDUAL": "residual"}
FREQUENCY_PAGES = {"CHAO": "chao", "ZELTERMAN": "zelterman", "TRUNCATED_POISSON": "truncated-poisson"}
PERIOD = "2025-Q2"
LOG_TIME = (last_day(parse_quarter(PERIOD)) + 10_957) * 86_400_000  # in the quarter's last local day; 10,957 days to 2000


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text("utf-8")


def printed(name: str) -> dict[str, str]:
    """The numbers of the page's worked example, as they are printed."""
    block = re.search(r"^```example\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)
    assert block is not None
    return dict(line.split(" = ") for line in block[1].splitlines())


def agrees(number: float, text: str) -> bool:
    """Whether a number, rounded as the printed one is, is that one."""
    return f"{number:.{len(text.partition('.')[2])}f}" == text


def assumptions_of(text: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^\| (.+?) \| (red|amber|green) \|$", text, re.MULTILINE))


def reference(figure: str, value: float, **more: Any) -> dict[str, Any]:
    return {
        "measure": "reference",
        "key": figure,
        "figure": figure,
        "period": "2024",
        "value": value,
        "published_on": "2025-02-20",
    } | more


def balance(measure: str, citizenship: str, value: int) -> dict[str, Any]:
    return {"measure": measure, "period": PERIOD, "citizenship": citizenship, "value": value}


def computed() -> Mapping[str, Any]:
    """All estimates of the pages' examples."""
    share, stock = printed("survey-share"), printed("benchmark")
    entries: list[Any] = [
        reference("INFORMAL_SHARE", float(share["share"]), sample_size=int(share["sample_size"])),
        reference("MIGRANT_WORKERS_STOCK", float(stock["stock"])),
        balance("employment_balance", "UZ", 30_000),
        balance("employment_balance", "CN", -1_000),
        balance("employment_balance", "RU", 8_000),
        balance("employment_crossings", "UZ", 150_000),
        balance("employment_crossings", "CN", 11_000),
        balance("employment_crossings", "RU", 90_000),
        balance("permits_in_force", "UZ", 9_000),
        balance("permits_in_force", "CN", 3_000),
    ]
    return estimates({str(i): entry for i, entry in enumerate(entries)}, LOG_TIME)


def test_the_example_of_counts_comes_out_as_printed() -> None:
    numbers = printed("counts")
    given = {name: int(text) for name, text in numbers.items() if "." not in text}
    aggregates: list[Any] = [
        {"measure": "arrivals", "citizenship": "UZ", "purpose": "transit", "period": "2025-Q1", "value": given["area_before"]},
        {"measure": "arrivals", "citizenship": "UZ", "purpose": "transit", "period": PERIOD, "value": given["area"]},
        {"measure": "departures", "destination": "UZ", "period": PERIOD, "value": given["departures"]},
    ]
    for period, total, area in (("2025-Q1", "arrivals_before", "area_before"), (PERIOD, "arrivals", "area")):
        rest = given[total] - given[area]
        aggregates.append({"measure": "arrivals", "citizenship": "CN", "purpose": "transit", "period": period, "value": rest})
    found = observations({str(i): entry for i, entry in enumerate(aggregates)}, (), units())
    for name, series in (
        ("change", series_key("Q", "ARRIVALS_CHANGE_QOQ")),
        ("share", series_key("Q", "ARRIVALS_SHARE", "UZ")),
        ("contribution", series_key("Q", "ARRIVALS_CONTRIBUTION_QOQ", "UZ")),
        ("balance", series_key("Q", "BORDER_BALANCE")),
    ):
        value = found[series, PERIOD].value
        assert value is not None
        assert agrees(value, numbers[name]), name


def test_the_survey_example_comes_out_as_printed() -> None:
    numbers = printed("survey-share")
    share, n = float(numbers["share"]) / 100, int(numbers["sample_size"])
    interval, wider = wilson(share, n), wilson(share, n, 2)
    assert agrees(100 * interval.lower, numbers["lower"])
    assert agrees(100 * interval.upper, numbers["upper"])
    assert agrees(100 * wider.lower, numbers["lower_with_design_effect_2"])
    assert agrees(100 * wider.upper, numbers["upper_with_design_effect_2"])
    estimate = computed()[f"SURVEY|{PERIOD}|INFORMAL_SHARE"]
    assert [estimate["lower"], estimate["upper"]] == [100 * interval.lower, 100 * interval.upper]


def test_the_benchmark_example_comes_out_as_printed() -> None:
    numbers = printed("benchmark")
    stock, share, n = float(numbers["stock"]), float(numbers["share"]) / 100, int(numbers["sample_size"])
    interval = product(stock, 0.0, share, share_variance(share, n))
    estimate = computed()[f"BENCHMARK|{PERIOD}|INFORMAL_WORKERS"]
    for name in ("value", "lower", "upper"):
        assert agrees(getattr(interval, name), numbers[name])
        assert estimate[name] == getattr(interval, name)


def test_the_residual_example_comes_out_as_printed() -> None:
    numbers = printed("residual")
    workers, share = (computed()[f"RESIDUAL|{PERIOD}|{indicator}"] for indicator in ("INFORMAL_WORKERS", "INFORMAL_SHARE"))
    for name, estimate in (("workers", workers), ("share", share)):
        assert agrees(estimate["value"], numbers[name])
        assert agrees(estimate["lower"], numbers[f"{name}_lower"])
        assert agrees(estimate["upper"], numbers[f"{name}_upper"])
    inputs = workers["inputs"]
    assert agrees(inputs["employment_balance"], numbers["balance"])
    assert agrees(inputs["permits_in_force"], numbers["permits"])
    assert agrees(inputs["crossings_counted"], numbers["crossings"])


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_examples_of_frequencies_come_out_as_printed(method: str) -> None:
    numbers = printed(FREQUENCY_PAGES[method])
    interval = METHODS[method]({int(name[1:]): int(text) for name, text in numbers.items() if name.startswith("f")})
    assert isinstance(interval, Interval)
    for name in ("value", "lower", "upper"):
        assert agrees(getattr(interval, name), numbers[name])


@pytest.mark.parametrize("method", sorted(METHODS))
def test_each_page_of_frequencies_has_exactly_the_assumptions_of_the_code(method: str) -> None:
    assert assumptions_of(page(FREQUENCY_PAGES[method])) == set(ASSUMPTIONS[method])


@pytest.mark.parametrize("method", sorted(PAGE_OF))
def test_each_page_has_exactly_the_assumptions_that_the_code_writes(method: str) -> None:
    of_code = {(a["text"], a["rating"]) for e in computed().values() if e["method"] == method for a in e["assumptions"]}
    assert of_code
    assert assumptions_of(page(PAGE_OF[method])) == of_code


def test_the_page_of_nowcasts_has_exactly_the_assumptions_of_the_code() -> None:
    assert assumptions_of(page("nowcast")) == set(NOWCAST_ASSUMPTIONS)


def test_every_method_has_its_page() -> None:
    assert {e["method"] for e in computed().values()} == set(PAGE_OF)


def test_a_survey_is_carried_forward_from_the_end_of_its_period() -> None:
    periods = {e["period"] for e in computed().values() if e["method"] == "SURVEY"}
    assert periods == {"2024-Q4", "2025-Q1", "2025-Q2", "2024", "2025"}
