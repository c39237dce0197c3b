"""What `tolqyn simulate --scale` thins, and how much: figures from a sample are compared with others at full size."""

from collections.abc import Iterable

from schemas.values import KeptFigure
from services.shared.statistics.estimation.informality import newest

_FIGURE = "SIMULATION_SCALE"  # the reference figure by which a simulation says what it is
_UNITS = ("crossings", "stays")
_INDICATORS = ("LABOUR_EMIGRATION",)


def is_thinned(indicator: str, unit: str) -> bool:
    """Whether a figure is of what is thinned; all else is always at full size."""
    return unit in _UNITS or indicator in _INDICATORS


def scale_of(references: Iterable[KeptFigure]) -> float | None:
    """At which scale the events were simulated; None: they were not."""
    found = newest(references, _FIGURE)
    return None if found is None else float(found["value"])
