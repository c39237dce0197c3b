"""The traffic under real faults: every feed, everything that agencies get wrong, and the truth can read all of it."""

from fractions import Fraction
from io import StringIO
from pathlib import Path

import pytest

from schemas.feeds import FEEDS
from tests.chaos.real.traffic import RUBBISH, Agency, sent
from tests.chaos.real.truth import CONTENT
from tools.simulate.generate import simulate
from tools.simulate.targets_file import BUNDLED, load_targets

SCALE = Fraction(1, 1000)
LINES = 2000


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    simulate(folder, load_targets(BUNDLED), SCALE, 7, Fraction(5, 100), StringIO())
    return folder


def test_the_truth_knows_every_feed() -> None:
    assert CONTENT.keys() == set(FEEDS)


@pytest.mark.parametrize("feed", list(FEEDS))
def test_traffic_has_repeats_corrections_withdrawals_contradictions_and_rubbish(feed: str, events: Path) -> None:
    lines = Agency(feed, events / f"{feed}.ndjson", "seed", "n").lines(LINES)
    said = sent(feed, lines)
    rubbish = sum(line in RUBBISH for line in lines)
    assert 0 < rubbish < LINES / 20
    assert said.total() == LINES - rubbish, "the truth reads everything else"
    assert max(said.values()) > 1, "repeats"
    assert any(not read.content for _, _, read in said), "withdrawals"
    unnumbered = [(key, read.content) for _, key, read in said if read.version == 0]
    assert len({key for key, _ in unnumbered}) < len(unnumbered), "corrections without a version"
    versions = [(key, read.version) for _, key, read in said if read.version]
    assert len(set(versions)) < len(versions), "contradictions"
    assert len({key for key, _ in versions}) < len(set(versions)), "corrections"


def test_the_same_seed_sends_the_same(events: Path) -> None:
    file = events / "work-permits.ndjson"
    assert Agency("work-permits", file, "a", "n").lines(LINES) == Agency("work-permits", file, "a", "n").lines(LINES)
    assert Agency("work-permits", file, "a", "n").lines(LINES) != Agency("work-permits", file, "b", "n").lines(LINES)
