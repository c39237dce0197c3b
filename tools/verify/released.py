"""What the public releases say of the figures that are published now, written from the contract's section 5.

A figure is final while its value is that of its period's newest final release. Inner cells are published at releases only: they
stand as the newest release of their quarter left them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from services.shared.runtime.postgres.release_store import Release, ReleaseStore
from services.shared.statistics.exchange.observation import Observation
from tools.verify.compare import Attributes, Key, attributes, equal, of_figure
from tools.verify.recount import Figures

COUNTED, FINAL = "P", "A"  # OBS_STATUS of what is counted: as it is now, as a final release has it


class Told(NamedTuple):
    """By key: what the newest final release of each quarter has, and the inner cells of its newest release."""

    finals: Mapping[Key, Observation]
    inner: Mapping[Key, Observation]


async def told(store: ReleaseStore) -> Told:
    """Read the releases that count now."""
    newest: dict[str, Release] = {}
    newest_final: dict[str, Release] = {}
    for release in await store.releases():  # in the order in which they went out
        newest[release.period] = release
        if release.final:
            newest_final[release.period] = release
    finals: dict[Key, Observation] = {}
    inner: dict[Key, Observation] = {}
    for release in newest_final.values():
        figures, cells = await store.release_figures(release.name)
        finals |= {key: o for key, o in figures.items() if key not in cells}
    for release in newest.values():
        figures, cells = await store.release_figures(release.name)
        inner |= {key: figures[key] for key in cells}
    return Told(finals, inner)


def expected(recomputed: Figures, by: Told) -> dict[Key, Attributes]:
    """What must be published: every recomputed figure with the status that it has by the releases, and the inner cells."""
    found = {key: of_figure(figure) for key, figure in recomputed.items()}
    for key, final in by.finals.items():
        one = found.get(key)
        if one is not None and one["OBS_STATUS"] == COUNTED and equal("OBS_VALUE", one, attributes(final)):
            one["OBS_STATUS"] = FINAL
    return found | {key: attributes(o) for key, o in by.inner.items()}


def in_release(recomputed: Figures, release: Release) -> dict[Key, Attributes]:
    """What a release must have of the figures that are published continuously: its quarter's, and with the fourth its year's.

    All that is counted is final in a final release.
    """
    periods = {release.period, release.period[:4]} if release.period.endswith("-Q4") else {release.period}
    found = {key: of_figure(figure) for key, figure in recomputed.items() if key[1] in periods}
    for one in found.values():
        if release.final and one["OBS_STATUS"] == COUNTED:
            one["OBS_STATUS"] = FINAL
    return found
