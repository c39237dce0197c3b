"""What quality reports take from releases: each headline figure as it first went out."""

from typing import Any

from services.indicator_publisher.qualities import first_released
from services.shared.statistics.exchange.observation import series_key
from services.shared.statistics.publication.revisions import revision_table

ARRIVALS, BALANCE = series_key("Q", "ARRIVALS"), series_key("Q", "BORDER_BALANCE")


def test_a_figure_s_first_release_is_the_first_that_shows_it_and_only_headline_figures_count() -> None:
    table = revision_table({"2025-Q1": [("2025-Q1.P1", 90.0), ("2025-Q1.F1", 95.0)], "2025-Q2": [("a", None), ("b", 7.0)]})
    hidden = revision_table({"2024-Q4": [("c", None)]})
    annex: dict[tuple[str, str], Any] = {
        ("release", f"revisions|{ARRIVALS}"): table,
        ("release", f"revisions|{series_key('Q', 'DEPARTURES')}"): hidden,
        ("release", f"revisions|{BALANCE}"): table,
        ("estimate", "x"): {"value": 1},
    }
    assert first_released(annex) == {(ARRIVALS, "2025-Q1"): 90.0, (ARRIVALS, "2025-Q2"): 7.0}
    assert first_released({}) == {}
