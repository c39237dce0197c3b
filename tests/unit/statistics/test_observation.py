"""The key of an observation."""

from services.shared.statistics.exchange.observation import DIMENSIONS, Observation, series_key


def test_a_series_key_has_the_six_dimensions_in_sdmx_order() -> None:
    assert series_key("Q", "ARRIVALS", "UZ", "employment") == "Q.ARRIVALS.UZ.employment._T._Z"
    assert series_key("A", "INFORMAL_SHARE", method="SURVEY") == "A.INFORMAL_SHARE._T._T._T.SURVEY"
    assert DIMENSIONS == ("FREQ", "INDICATOR", "COUNTERPART_AREA", "PURPOSE", "CATEGORY", "METHOD")


def test_an_observation_is_free_unless_somebody_says_otherwise() -> None:
    observation = Observation("Q.ARRIVALS._T._T._T._Z", "2025-Q2", 1, None, None, "crossings", 0, "P")
    assert observation.confidentiality == "F"
    assert observation.key == ("Q.ARRIVALS._T._T._T._Z", "2025-Q2")
