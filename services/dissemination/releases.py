"""Whether a quarter's figures were released, and when the next release of them is due: one or two sentences."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from services.dissemination.wording import Wording

if TYPE_CHECKING:
    from services.shared.runtime.postgres.store import Snapshot

CALENDAR = "calendar"  # key of the annex that has the calendar's instants


def release_note(snapshot: Snapshot, period: str, words: Wording) -> str:
    """What was released of a quarter, and what comes next by the calendar, as it was known at the snapshot's publication."""
    of_period = [told for told in snapshot.releases.values() if "period" in told and told["period"] == period]
    state, said = "none", words("release.none")
    for kind in ("provisional", "final"):
        found = [told for told in of_period if told["final"] == (kind == "final")]
        if found:
            newest = max(found, key=lambda told: told["publication"])
            state, said = kind, words(f"release.{kind}", name=newest["name"])
    coming = {"none": ("provisional", "final"), "provisional": ("final",), "final": ()}[state]
    foreseen = snapshot.releases.get(CALENDAR)
    dates = foreseen["periods"].get(period, {}) if foreseen is not None and "periods" in foreseen else {}
    for kind in coming:
        due = datetime.fromisoformat(dates[kind]) if kind in dates else None
        if due is not None and due > snapshot.published_at:
            return f"{said} {words(f'release.next_{kind}', time=words.time(due))}"
    return said
