"""What counts as a difference, and how it is said."""

from datetime import UTC, datetime
from typing import Any

from services.shared.runtime.postgres.store import Published
from tools.verify.compare import Difference, differences, of_figure
from tools.verify.recount import Figure

KEY = ("Q.ARRIVALS._T._T._T._Z", "2025-Q2")
COUNT = Figure(15.0, None, None, "crossings", 0, "P")
SHARE = Figure(100 / 3, 31.0, 36.0, "percent", 1, "E")
AT = datetime(2025, 7, 1, 10, tzinfo=UTC)


def published(figure: Figure, **other: Any) -> Published:
    value, lower, upper, unit, decimals, status = figure
    return Published(*KEY, value, lower, upper, unit, decimals, status, "F", 7, AT)._replace(**other)


def on_topic(figure: Figure, **other: Any) -> dict[str, Any]:
    value, lower, upper, unit, decimals, status = figure
    return {
        "OBS_VALUE": value, "LOWER": lower, "UPPER": upper, "UNIT_MEASURE": unit, "DECIMALS": decimals, "OBS_STATUS": status,
        "CONF_STATUS": "F", "AS_OF": 7, "PUBLISHED_AT": "2025-07-01T10:00:00.000Z", **other,
    }  # fmt: skip


def found(figure: Figure, database: Published, topic: dict[str, Any]) -> list[Difference]:
    return differences({KEY: database}, {KEY: of_figure(figure)}, {KEY: topic}, None)[1]


def test_equal_figures_are_no_difference() -> None:
    assert found(COUNT, published(COUNT, value=15), on_topic(COUNT, OBS_VALUE=15)) == []
    nearly = SHARE.value * (1 + 1e-12)
    assert found(SHARE, published(SHARE, value=nearly), on_topic(SHARE, OBS_VALUE=nearly)) == []


def test_a_count_must_be_equal_exactly() -> None:
    value = 15.000000001
    (difference,) = found(COUNT, published(COUNT, value=value), on_topic(COUNT, OBS_VALUE=value))
    assert str(difference) == "Q.ARRIVALS._T._T._T._Z:2025-Q2  published OBS_VALUE=15.000000001  recomputed OBS_VALUE=15"


def test_limits_units_decimals_and_status_are_compared_too() -> None:
    for other in (
        {"lower": 30.0},
        {"upper": None},
        {"unit": "persons"},
        {"decimals": 2},
        {"status": "P"},
        {"confidentiality": "A"},
    ):
        (difference,) = found(SHARE, published(SHARE, **other), on_topic(SHARE))
        assert difference.wrong, other


def test_a_topic_that_says_otherwise_is_a_difference_of_its_own() -> None:
    (difference,) = found(COUNT, published(COUNT), on_topic(COUNT, OBS_VALUE=16))
    assert (difference.wrong, difference.astray) == (False, True)
    assert str(difference).endswith("published OBS_VALUE=15.0  on indicators.v1 OBS_VALUE=16")
    (difference,) = found(COUNT, published(COUNT), on_topic(COUNT, AS_OF=6))
    assert str(difference).endswith("published AS_OF=7  on indicators.v1 AS_OF=6")


def test_keys_that_are_missing_or_too_many_differ() -> None:
    compared, (missing,) = differences({}, {KEY: of_figure(COUNT)}, {}, None)
    assert (compared, str(missing)) == (1, "Q.ARRIVALS._T._T._T._Z:2025-Q2  published nothing  recomputed OBS_VALUE=15")
    _, (extra,) = differences({KEY: published(COUNT)}, {}, {KEY: on_topic(COUNT)}, None)
    assert str(extra).endswith("published OBS_VALUE=15.0  recomputed nothing")
    _, (stray,) = differences({}, {}, {KEY: on_topic(COUNT)}, None)
    assert str(stray).endswith("published nothing  on indicators.v1 OBS_VALUE=15.0")


def test_only_the_period_that_was_asked_for_is_compared() -> None:
    assert differences({}, {KEY: of_figure(COUNT)}, {}, "2025-Q1") == (0, [])
