"""Mirror checks: what a partner country publishes of the same movements, beside the figure of here. Page: docs/methods/quality.md.

A mirror figure is a reference figure with a `counterpart`, the country whose office published it, of a quarter or a year.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.values import KeptFigure, Mirror, NoMirror
from services.shared.statistics.exchange.observation import Figure, series_key
from services.shared.statistics.publication import simulated
from services.shared.statistics.terms.universe import Crossings, Emigrants, Quantity, Residents

NOBODY = "no partner country has published a figure for this quarter"
NO_PARTNER = "it names no partner country"
NO_PERIOD = "it is not of a quarter or a year"
NO_FIGURE = "there is no figure of here for it"
NOTHING = "both figures are 0"


class Mirrored(NamedTuple):
    """Which figures of here, added up for the partner, count what a mirror figure counts."""

    indicators: tuple[str, ...]
    universe: type[Quantity]


# By the code of the reference figure. Arrivals are counted here by citizenship, not by the country people came from: it is the ways
# out of Kazakhstan that a partner's figures can be held against.
MIRRORS: dict[str, Mirrored] = {
    # Everyone who entered the partner country from Kazakhstan: foreigners and citizens of Kazakhstan.
    "MIRROR_ARRIVALS": Mirrored(("DEPARTURES", "CITIZENS_OUT"), Crossings),
    # Citizens of Kazakhstan among them.
    "MIRROR_CITIZENS": Mirrored(("CITIZENS_OUT",), Crossings),
    # Who moved from Kazakhstan to the partner country for permanent residence.
    "MIRROR_IMMIGRATION": Mirrored(("RESIDENCE_DEPARTURES",), Residents),
    # Citizens of Kazakhstan whom the partner country admitted for work.
    "MIRROR_LABOUR": Mirrored(("LABOUR_EMIGRATION",), Emigrants),
}


def checks(
    references: Iterable[KeptFigure], observations: Mapping[tuple[str, str], Figure], units: Mapping[str, str], scale: float
) -> list[Mirror | NoMirror]:
    """A check for each mirror figure, the newest of each code, partner and period; in that order.

    `units`: the unit by indicator; `scale`: of simulated events, else 1. Asymmetry: 100 * (ours - theirs) / mean of both.
    """
    newest: dict[tuple[str, str, str], KeptFigure] = {}
    for entry in sorted(references, key=lambda r: (r["published_on"], r["key"])):
        if entry["figure"] in MIRRORS:
            newest[entry["figure"], entry.get("counterpart", ""), entry["period"]] = entry
    return [_check(entry, observations, units, scale) for _, entry in sorted(newest.items())]


def _check(
    entry: KeptFigure, observations: Mapping[tuple[str, str], Figure], units: Mapping[str, str], scale: float
) -> Mirror | NoMirror:
    partner, period, theirs = entry.get("counterpart", ""), entry["period"], entry["value"]
    if not partner:
        return _not_compared(entry, NO_PARTNER)
    freq = "Q" if "-Q" in period else "A"
    if freq == "A" and not period.isdecimal():
        return _not_compared(entry, NO_PERIOD)
    mirrored = MIRRORS[entry["figure"]]
    sum_ = mirrored.universe(0)
    known = False
    for indicator in mirrored.indicators:
        o = observations.get((series_key(freq, indicator, partner), period))
        if o is not None and o.value is not None:
            known = True
            sum_ += mirrored.universe(o.value / scale if simulated.is_thinned(indicator, units[indicator]) else o.value)
    if not known:
        return _not_compared(entry, NO_FIGURE)
    ours, mean = sum_.value, (sum_.value + theirs) / 2
    if not mean:
        return _not_compared(entry, NOTHING)
    return {
        "figure": entry["figure"],
        "partner": partner,
        "period": period,
        "theirs": theirs,
        "source": entry["source"],
        "ours": ours,
        "asymmetry": 100 * (ours - theirs) / mean,
    }


def _not_compared(entry: KeptFigure, reason: str) -> NoMirror:
    return {
        "figure": entry["figure"],
        "partner": entry.get("counterpart", ""),
        "period": entry["period"],
        "theirs": entry["value"],
        "source": entry["source"],
        "absent": True,
        "reason": reason,
    }
