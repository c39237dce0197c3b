"""Which published figures a share, change, contribution, balance or ratio was computed from: to follow, and to compute again."""

from __future__ import annotations

from dataclasses import replace

from schemas.values import StatedFigure
from services.dissemination.figures import Key
from services.dissemination.wording import quarters_before
from services.shared.statistics.exchange.observation import TOTAL

Figure = tuple[Key, str]  # a figure and its period

_OF = {"NET_MIGRATION": ("RESIDENCE_ARRIVALS", "RESIDENCE_DEPARTURES"), "BORDER_BALANCE": ("ARRIVALS", "DEPARTURES")}
_YEARS_OF_RATIO = 5


def components(key: Key, period: str, target: StatedFigure | None) -> tuple[Figure, ...]:
    """The figures in the order of the formula; none for what is counted or estimated. `target`: the newest for students."""
    indicator = key.indicator
    if indicator in _OF:
        first, second = _OF[indicator]
        return (replace(key, indicator=first), period), (replace(key, indicator=second), period)
    if indicator in ("FOREIGN_STUDENTS_GAP", "FOREIGN_STUDENTS_GROWTH_REQUIRED") and target is not None:
        aim = Key("FOREIGN_STUDENTS_TARGET", freq="A"), target["period"]
        return aim, (replace(key, indicator="FOREIGN_STUDENTS"), period)
    for ending, find in (
        ("_CHANGE_QOQ", _change),
        ("_CHANGE_YOY", _change),
        ("_CONTRIBUTION_QOQ", _contribution),
        ("_PURPOSE_SHARE", _share),
        ("_SHARE", _share),
        ("_RATIO_5Y", _ratio),
    ):
        if indicator.endswith(ending) and indicator != "INFORMAL_SHARE":
            return find(replace(key, indicator=indicator.removesuffix(ending)), period, ending)
    return ()


def _before(period: str, ending: str) -> str:
    """The period that a change is against."""
    if "Q" in period:
        return quarters_before(period, 1 if ending.endswith("QOQ") else 4)
    return str(int(period) - 1)


def _change(of: Key, period: str, ending: str) -> tuple[Figure, ...]:
    return (of, period), (of, _before(period, ending))


def _contribution(of: Key, period: str, ending: str) -> tuple[Figure, ...]:
    before = _before(period, ending)
    return (of, period), (of, before), (replace(of, area=TOTAL), before)


def _share(of: Key, period: str, ending: str) -> tuple[Figure, ...]:
    # Of residence the counts are called arrivals, the shares are not.
    of = replace(of, indicator="RESIDENCE_ARRIVALS") if of.indicator == "RESIDENCE" else of
    return (of, period), (replace(of, area=TOTAL, purpose=TOTAL), period)


def _ratio(of: Key, period: str, ending: str) -> tuple[Figure, ...]:
    return (of, period), (of, str(int(period) - _YEARS_OF_RATIO))
