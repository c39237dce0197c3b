"""The published observation: its key in SDMX order, its value, and what the value is worth."""

from typing import NamedTuple, Protocol

TOTAL = "_T"  # SDMX: the total over a dimension
NOT_APPLICABLE = "_Z"

# SDMX CL_OBS_STATUS, the part that is used here
PROVISIONAL, FINAL, ESTIMATE, TARGET, SUPPRESSED = "P", "A", "E", "F", "Q"
# SDMX CL_CONF_STATUS
FREE, SMALL_CELL, SECONDARY = "F", "A", "D"

DIMENSIONS = ("FREQ", "INDICATOR", "COUNTERPART_AREA", "PURPOSE", "CATEGORY", "METHOD")


class Figure(Protocol):
    """What every figure computed here has, published or about to be."""

    @property
    def series(self) -> str: ...
    @property
    def period(self) -> str: ...
    @property
    def value(self) -> float | int | None: ...
    @property
    def lower(self) -> float | None: ...
    @property
    def upper(self) -> float | None: ...


class Observation(NamedTuple):
    """One figure of one period. `value` is None only when it is suppressed."""

    series: str
    period: str
    value: float | int | None
    lower: float | None
    upper: float | None
    unit: str
    decimals: int
    status: str
    confidentiality: str = FREE

    @property
    def key(self) -> tuple[str, str]:
        return self.series, self.period


def series_key(
    freq: str,
    indicator: str,
    area: str = TOTAL,
    purpose: str = TOTAL,
    category: str = TOTAL,
    method: str = NOT_APPLICABLE,
) -> str:
    """The series key: six dimensions in SDMX order, joined by dots."""
    return f"{freq}.{indicator}.{area}.{purpose}.{category}.{method}"
