"""Estimates of informal work: which survey counts when, what the residual is made of, when an estimate is absent."""

from math import sqrt
from typing import Any

import pytest

from services.shared.statistics.estimation.estimate import Z_95
from services.shared.statistics.estimation.informality import estimates, newest
from services.shared.statistics.terms import calendar


def instant(day: str) -> int:
    """Noon UTC of a day, in milliseconds: late in the same day in Almaty."""
    return (calendar.parse_day(day) + 10957) * 86_400_000 + 43_200_000


def reference(figure: str, value: float, period: str = "2024", published_on: str = "2025-02-20", **more: Any) -> dict[str, Any]:
    record = {"figure": figure, "period": period, "value": value, "unit": "x", "source": "s", "published_on": published_on}
    return {"measure": "reference", "key": f"iom/{figure}/{period}/{published_on}", **record, **more}


def survey(value: float = 34.0, period: str = "2024", published_on: str = "2025-02-20", n: int = 1845, **more: Any) -> Any:
    return reference("INFORMAL_SHARE", value, period, published_on, sample_size=n, **more)


def stock(measure: str, citizenship: str, value: int, period: str = "2025-Q2", **more: str) -> dict[str, Any]:
    return {"measure": measure, "period": period, "citizenship": citizenship, "value": value, **more}


def found(*entries: Any, now: str = "2025-07-15") -> dict[str, Any]:
    return estimates({str(i): e for i, e in enumerate(entries)}, instant(now))


def test_a_survey_is_carried_forward_to_every_quarter_since_its_period_and_to_the_current_one() -> None:
    shares = found(survey())
    quarters = [k for k in shares if k.startswith("SURVEY|") and "-Q" in k]
    assert quarters == [f"SURVEY|{q}|INFORMAL_SHARE" for q in ("2024-Q4", "2025-Q1", "2025-Q2", "2025-Q3")]
    for key in (*quarters, "SURVEY|2024|INFORMAL_SHARE", "SURVEY|2025|INFORMAL_SHARE"):
        estimate = shares[key]
        assert estimate["value"] == 34.0
        assert (round(estimate["lower"], 1), round(estimate["upper"], 1)) == (31.9, 36.2)


def test_a_newer_survey_wins_from_its_own_period_on_and_never_before() -> None:
    shares = found(survey(), survey(30.0, "2025-Q2", "2025-07-01", n=400))
    values = {k.split("|")[1]: e["value"] for k, e in shares.items() if k.startswith("SURVEY|")}
    assert values == {
        "2024-Q4": 34.0, "2025-Q1": 34.0, "2025-Q2": 30.0, "2025-Q3": 30.0, "2024": 34.0, "2025": 30.0,
    }  # fmt: skip


def test_of_two_surveys_the_one_published_last_counts_and_then_the_greater_key() -> None:
    old, new = survey(31.0, "2024", "2025-01-01"), survey(33.0, "2023", "2025-06-01")
    same_day: Any = {**new, "value": 35.0, "key": "zzz"}
    assert newest([old, new], "INFORMAL_SHARE") is new
    assert newest([same_day, new], "INFORMAL_SHARE") is same_day
    assert newest([], "INFORMAL_SHARE") is None


def test_the_design_effect_of_the_survey_widens_its_interval() -> None:
    estimate = found(survey(design_effect=2.0))["SURVEY|2025-Q2|INFORMAL_SHARE"]
    assert (round(estimate["lower"], 1), round(estimate["upper"], 1)) == (31.0, 37.1)


@pytest.mark.parametrize("bad", [survey(n=0), survey(-1.0), survey(100.5), reference("INFORMAL_SHARE", 34.0)])
def test_a_survey_without_respondents_or_with_an_impossible_share_gives_no_estimate(bad: dict[str, Any]) -> None:
    assert found(bad) == {}


def test_the_benchmark_multiplies_the_survey_with_the_reference_stock() -> None:
    estimate = found(survey(), reference("MIGRANT_WORKERS_STOCK", 550000.0))["BENCHMARK|2025-Q2|INFORMAL_WORKERS"]
    half = Z_95 * 550000 * sqrt(0.34 * 0.66 / 1845)
    assert estimate["value"] == pytest.approx(187000)
    assert estimate["lower"] == pytest.approx(187000 - half)
    assert estimate["upper"] == pytest.approx(187000 + half)
    assert estimate["inputs"]["survey"]["value"] == 34.0
    assert estimate["inputs"]["stock"]["value"] == 550000.0
    assert {a["rating"] for a in estimate["assumptions"]} == {"amber", "red"}


def test_the_benchmark_without_a_reference_stock_is_absent_and_says_why() -> None:
    estimate = found(survey())["BENCHMARK|2025-Q2|INFORMAL_WORKERS"]
    assert estimate["absent"] is True
    assert "reference stock" in estimate["reason"]
    assert "value" not in estimate


def residual(*entries: dict[str, Any], period: str = "2025-Q2") -> tuple[dict[str, Any], dict[str, Any]]:
    all_found = found(*entries)
    return all_found[f"RESIDUAL|{period}|INFORMAL_WORKERS"], all_found[f"RESIDUAL|{period}|INFORMAL_SHARE"]


def test_the_residual_is_the_employment_balance_less_permits_in_force_with_the_interval_of_counts() -> None:
    workers, share = residual(
        stock("employment_balance", "UZ", 900),
        stock("employment_balance", "TJ", 100),
        stock("employment_crossings", "UZ", 1500),
        stock("employment_crossings", "TJ", 200),
        stock("permits_in_force", "UZ", 250, category="1"),
        stock("permits_in_force", "CN", 150, category="3"),
    )
    half = Z_95 * sqrt(1700)
    assert workers["value"] == 600
    assert workers["lower"] == pytest.approx(600 - half)
    assert workers["upper"] == pytest.approx(600 + half)
    assert share["value"] == pytest.approx(60)
    assert share["lower"] == pytest.approx(100 * (1 - 400 / (1000 - half)))
    assert share["upper"] == pytest.approx(100 * (1 - 400 / (1000 + half)))
    assert workers["inputs"] == {"employment_balance": 1000, "permits_in_force": 400, "crossings_counted": 1700}
    assert any("EAEU" in a["text"] for a in workers["assumptions"])


def test_citizens_of_the_eaeu_count_in_no_part_of_the_residual() -> None:
    needed = [stock("employment_balance", "UZ", 500), stock("employment_crossings", "UZ", 600)]
    eaeu = [
        stock(measure, country, 10_000, **more)
        for country in ("AM", "BY", "KG", "RU")
        for measure, more in (("employment_balance", {}), ("employment_crossings", {}), ("permits_in_force", {"category": "1"}))
    ]
    assert residual(*needed, *eaeu) == residual(*needed)


def test_a_citizenship_with_more_departures_than_arrivals_takes_nothing_from_the_others() -> None:
    workers, _ = residual(
        stock("employment_balance", "UZ", 500),
        stock("employment_balance", "TR", -400),
        stock("employment_crossings", "UZ", 600),
        stock("employment_crossings", "TR", 400),
    )
    assert workers["value"] == 500
    assert workers["inputs"]["crossings_counted"] == 1000


@pytest.mark.parametrize("permits", [500, 501])
def test_a_residual_that_is_not_above_0_is_absent_with_its_reason(permits: int) -> None:
    workers, share = residual(
        stock("employment_balance", "UZ", 500),
        stock("employment_crossings", "UZ", 700),
        stock("permits_in_force", "CN", permits, category="1"),
    )
    for estimate in (workers, share):
        assert estimate["absent"] is True
        assert "500" in estimate["reason"]
        assert str(permits) in estimate["reason"]
        assert not {"value", "lower", "upper"} & estimate.keys()


def test_the_residual_of_a_year_stands_at_its_last_quarter_or_at_the_current_one() -> None:
    entries = [stock("employment_balance", "UZ", n, q) for q, n in (("2024-Q4", 100), ("2025-Q2", 300), ("2025-Q3", 400))]
    entries += [stock("employment_crossings", "UZ", 400, q) for q in ("2024-Q4", "2025-Q1", "2025-Q2", "2025-Q3")]
    assert residual(*entries, period="2024")[0]["value"] == 100
    assert residual(*entries, period="2025")[0]["value"] == 400
    assert residual(*entries, period="2025-Q1")[0]["absent"]


def test_a_wide_interval_never_reaches_below_0() -> None:
    workers, share = residual(stock("employment_balance", "UZ", 10), stock("employment_crossings", "UZ", 10_000))
    assert workers["lower"] == 0
    assert share["lower"] == 0


def test_without_crossings_and_references_there_is_nothing_to_estimate() -> None:
    assert found(stock("permits_in_force", "CN", 10, category="1")) == {}


def persons(area: str, **frequencies: int) -> dict[str, Any]:
    """An aggregate of violations; `t2=5`: five persons were found twice."""
    by_times = {times[1:]: n for times, n in frequencies.items()}
    return {"measure": "violations", "period": "2024", "area": area, "value": sum(by_times.values()), "frequencies": by_times}


def test_repeated_offences_are_estimated_by_each_method_of_all_and_of_groups_at_releases_only() -> None:
    # Irregular immigrants in Dutch cities, 1995: van der Heijden and others, 2003.
    estimated = found(persons("_T", t1=1645, t2=183, t3=37, t4=13, t5=1, t6=1), persons("CIS", t1=10, t2=5))
    assert set(estimated) == {
        f"{method}|2024|INFORMAL_WORKERS{area}" for method in ("CHAO", "ZELTERMAN", "TRUNCATED_POISSON") for area in ("", "|CIS")
    }
    values = [round(estimated[f"{method}|2024|INFORMAL_WORKERS"]["value"]) for method in ("TRUNCATED_POISSON", "ZELTERMAN")]
    assert values == [7080, 9425]
    chao = estimated["CHAO|2024|INFORMAL_WORKERS"]
    assert (round(chao["value"], 1), chao["inputs"]["persons_found"], "area" in chao) == (9273.5, 1880, False)
    assert chao["lower"] < chao["value"] < chao["upper"]
    of_group = estimated["CHAO|2024|INFORMAL_WORKERS|CIS"]
    assert (of_group["area"], of_group["absent"]) == ("CIS", True)
    assert "at releases only" in of_group["reason"]
    assert not {"value", "lower", "upper", "inputs"} & set(of_group)


def test_frequencies_that_cannot_carry_an_estimate_give_its_reason() -> None:
    estimated = found(persons("_T", t1=3, t3=1))
    assert "value" in estimated["CHAO|2024|INFORMAL_WORKERS"]
    zelterman = estimated["ZELTERMAN|2024|INFORMAL_WORKERS"]
    assert zelterman["absent"] is True
    assert "exactly twice" in zelterman["reason"]
