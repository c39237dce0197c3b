"""Quality reports as the publisher makes them: beside every publication, of the years in which anything changed."""

from collections.abc import Iterable, Mapping
from typing import cast

from schemas.values import Entry
from services.shared.runtime.postgres.store import Annex
from services.shared.statistics.exchange.observation import Figure
from services.shared.statistics.publication.quality import HEADLINE_SERIES, Reports, Sources
from services.shared.statistics.publication.revisions import SeriesRevisions

Key = tuple[str, str]
Units = Mapping[str, tuple[str, int]]


class Qualities:
    """The reports of the newest cut that was computed, which is perhaps not published yet."""

    def __init__(self, units: Units) -> None:
        self._units = {indicator: unit for indicator, (unit, _) in units.items()}
        self._reports = Reports()
        self._changed: set[str] = set()
        self._sources: Sources | None = None

    def note_changes(self, changed: Iterable[str]) -> None:
        """Keys of aggregates and estimates that changed."""
        self._changed.update(changed)

    def annex(self, entries: Mapping[str, Entry], found: Mapping[Key, Figure], releases: Annex, log_time: int) -> Annex:
        """Every report. `found`: the figures of the same cut; `releases`: the annexes that tell of releases."""
        self._sources = Sources(entries, found, first_released(releases), self._units, log_time)
        return self._update()

    def with_release(self, annex: Annex) -> Annex:
        """The annexes of a release that goes out: its figures are from now on those that others are revisions of."""
        if self._sources is None:
            return annex
        self._sources = self._sources._replace(first=first_released(annex))
        return {**{key: body for key, body in annex.items() if key[0] != "quality"}, **self._update()}

    def _update(self) -> Annex:
        assert self._sources is not None
        changed, self._changed = self._changed, set()
        return {("quality", period): report for period, report in self._reports.update(self._sources, changed).items()}


def first_released(annex: Annex) -> dict[Key, float]:
    """Headline figures as they were when they were first released, by (series, period)."""
    found: dict[Key, float] = {}
    for series in HEADLINE_SERIES:
        revisions = cast(SeriesRevisions | None, annex.get(("release", f"revisions|{series}")))
        for row in revisions["rows"] if revisions is not None else ():
            value = next((vintage["value"] for vintage in row["vintages"] if vintage["value"] is not None), None)
            if value is not None:
                found[series, row["period"]] = value
    return found
