"""Snapshots to build bulletins from: the figures of the golden sample, and ways to move them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.indicators import catalogue
from services.shared.runtime.postgres.store import Published, Snapshot
from services.shared.statistics.exchange.observation import series_key

PERIOD = "2025-Q2"
PUBLISHED_AT = datetime(2025, 7, 1, 4, 12, 45, tzinfo=UTC)

TOTALS: dict[str, float] = {
    "ARRIVALS": 43700,
    "ARRIVALS_CHANGE_QOQ": 42.0,
    "DEPARTURES": 42000,
    "DEPARTURES_CHANGE_QOQ": 32.0,
    "BORDER_BALANCE": 1700,
    "CITIZENS_IN": 31000,
    "CITIZENS_OUT": 31305,
    "PERMITS_IN_FORCE": 14820,
    "PERMITS_IN_FORCE_CHANGE_YOY": 13.9,
    "PERMITS_ISSUED": 3120,
    "FOREIGN_STUDENTS": 31500,
    "FOREIGN_STUDENTS_GAP": 118500,
    "FOREIGN_STUDENTS_GROWTH_REQUIRED": 41.43,
    "FOREIGN_BRANCHES": 33,
}
SHARES: dict[str, dict[str, float]] = {
    "ARRIVALS_SHARE": {"CIS": 89, "UZ": 36, "RU": 23, "KG": 22, "FAR_ABROAD": 10.1, "XX": 0.1},
    "DEPARTURES_SHARE": {"CIS": 86.6, "UZ": 35, "KG": 23, "RU": 22, "FAR_ABROAD": 12},
    "PERMITS_IN_FORCE": {"CN": 4300, "UZ": 2900, "IN": 1700, "TR": 1500, "GB": 500, "EAEU": 3},
}


ANNUAL: dict[str, dict[tuple[str, str], float]] = {
    "NET_MIGRATION": {("_T", "2024"): 16500},
    "LABOUR_EMIGRATION": {
        ("_T", "2023"): 1900, ("_T", "2024"): 1400,
        ("RU", "2024"): 640, ("KR", "2024"): 270, ("TR", "2024"): 150, ("AE", "2024"): 110, ("GB", "2024"): 80, ("DE", "2024"): 60,
    },
    "LABOUR_EMIGRATION_CHANGE_YOY": {("_T", "2024"): -26.3},
    "FOREIGN_GUESTS": {("_T", "2021"): 3300, ("_T", "2024"): 12000},
    "MEDICAL_VISITORS_RATIO_5Y": {
        ("_T", "2024"): 5.0, ("CN", "2024"): 24, ("IN", "2024"): 40, ("TR", "2024"): 3, ("UZ", "2024"): 4.7,
    },
}  # fmt: skip


class Draft:
    """A snapshot under construction."""

    def __init__(self) -> None:
        self.observations: dict[tuple[str, str], Published] = {}
        self.references: list[Any] = []
        self.estimates: dict[str, Any] = {}

    def put(
        self,
        indicator: str,
        value: float | None,
        period: str = PERIOD,
        *,
        freq: str = "Q",
        area: str = "_T",
        purpose: str = "_T",
        category: str = "_T",
        method: str = "_Z",
        status: str = "P",
        limits: tuple[float, float] | None = None,
    ) -> None:
        known = catalogue()[indicator]
        series = series_key(freq, indicator, area, purpose, category, method)
        lower, upper = limits or (None, None)
        self.observations[series, period] = Published(
            series, period, value, lower, upper, known.unit, known.decimals, status, "F", 41, PUBLISHED_AT
        )

    def drop(self, indicator: str) -> None:
        for key in [k for k in self.observations if k[0].split(".")[1] == indicator]:
            del self.observations[key]

    def refer(self, figure: str, value: float, period: str, unit: str, source: str, **more: Any) -> None:
        record = {"figure": figure, "value": value, "period": period, "unit": unit, "source": source, "published_on": "2025-01-15"}
        self.references.append(record | {"key": f"office/{len(self.references)}"} | more)

    def snapshot(self) -> Snapshot:
        cut = {"border-crossings/0": 40000, "border-crossings/1": 35000, "work-permits/0": 20111}
        return Snapshot(41, PUBLISHED_AT, cut, dict(self.observations), list(self.references), dict(self.estimates))


@pytest.fixture
def golden() -> Draft:
    """The bundled sample's figures of 2025-Q2, crossings at 1:100."""
    draft = Draft()
    for indicator, value in TOTALS.items():
        draft.put(indicator, value)
    for indicator, values in SHARES.items():
        for area, value in values.items():
            draft.put(indicator, value, area=area)
    for indicator, value in (("ARRIVALS", 30775), ("DEPARTURES", 31818)):
        draft.put(indicator, value, "2025-Q1")
        draft.put(indicator, value, "2025-06-29", freq="D")
        draft.put(indicator, value + 900, "2025-06-30", freq="D")
    draft.put("PERMITS_IN_FORCE", 13011, "2024-Q2")
    for purpose, value in (("private", 58.1), ("employment", 17.2), ("unspecified", 24.7)):
        draft.put("ARRIVALS_PURPOSE_SHARE", value, purpose=purpose)
    for indicator, by_year in ANNUAL.items():
        for (area, period), number in by_year.items():
            draft.put(indicator, number, period, area=area, freq="A")
    draft.put("LABOUR_EMIGRATION", 360)
    draft.put("NET_MIGRATION", 4600)
    for purpose, value in (("unspecified", 84.6), ("employment", 11.6), ("education", 3.7), ("private", 0.1)):
        draft.put("RESIDENCE_PURPOSE_SHARE", value, purpose=purpose)
    draft.put("INFORMAL_WORKERS", 43000, "2024", freq="A", method="CHAO", status="E", limits=(41000, 46000))
    draft.put("FOREIGN_STUDENTS_TARGET", 150000, "2029", freq="A", status="F")
    draft.put("INFORMAL_SHARE", 34, method="SURVEY", status="E", limits=(31.87, 36.19))
    draft.put("INFORMAL_WORKERS", 187000, method="BENCHMARK", status="E", limits=(175288, 199045))
    draft.refer("INFORMAL_SHARE", 34, "2024", "percent", "IOM survey of 2024", sample_size=1845)
    draft.refer("MIGRANT_WORKERS_STOCK", 550000, "2024", "persons", "IOM survey of 2024")
    draft.refer("FOREIGN_STUDENTS_TARGET", 150000, "2029", "persons", "Ministry of Science and Higher Education")
    draft.refer("SIMULATION_SCALE", 0.01, "2025", "ratio", "tolqyn simulate")
    draft.estimates[f"SURVEY|{PERIOD}|INFORMAL_SHARE"] = {
        "assumptions": [{"text": "The share found by the newest survey holds until a newer one", "rating": "amber"}]
    }
    draft.estimates[f"RESIDUAL|{PERIOD}|INFORMAL_WORKERS"] = {
        "absent": True,
        "reason": "the balance of employment-purpose crossings (1234) is not above the permits in force (14817): "
        "nothing is left to estimate",
    }
    return draft


@pytest.fixture
def empty() -> Callable[[], Draft]:
    """Makes snapshots with nothing in them."""
    return Draft
