"""The schedule of real faults, drawn from a seed, and what it does to files."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.real import damage
from tests.chaos.real.campaign import STAGES, lanes
from tests.chaos.real.schedule import plan

SERVICES = ["border-crossings", "tally-border-crossings", "quarterly-aggregates", "indicator-publisher"]
WORKERS = ["tally-border-crossings", "tally-border-crossings-2", "tally-border-crossings-3"]


def test_a_seed_gives_the_same_strikes_again_and_another_seed_others() -> None:
    assert plan("full", 7, SERVICES, WORKERS) == plan("full", 7, SERVICES, WORKERS)
    assert plan("full", 7, SERVICES, WORKERS).phases != plan("full", 8, SERVICES, WORKERS).phases


def test_every_service_and_both_servers_are_killed_three_times_in_a_full_run() -> None:
    kills = Counter(s.target for phase in plan("full", 1, SERVICES, WORKERS).phases for s in phase.strikes if s.fault == "kill")
    assert kills == dict.fromkeys([*SERVICES, "kafka", "postgresql"], 3)


def test_strikes_on_the_workers_of_one_group_never_run_side_by_side() -> None:
    strikes = [s for phase in plan("full", 1, SERVICES, WORKERS).phases for s in phase.strikes if s.target in WORKERS]
    assert len(strikes) > len(WORKERS)
    assert set.intersection(*(lanes(strike) for strike in strikes)) == {"group"}


def test_while_one_of_the_stages_after_tally_is_away_none_of_the_others_is_struck() -> None:
    strikes = [s for phase in plan("full", 1, SERVICES, WORKERS).phases for s in phase.strikes if s.target in STAGES]
    assert len(strikes) > len(STAGES)
    assert set.intersection(*(lanes(strike) for strike in strikes)) == {"stages"}


@pytest.mark.parametrize("how", [damage.truncate, damage.flip])
def test_damage_changes_every_file_that_counts(tmp_path: Path, how: object) -> None:
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "manifest.json").write_text('{"runs":["000000001.run"]}')
        for run in ("000000000.run", "000000001.run"):
            (folder / run).write_bytes(bytes(100))
    assert how(damage.runs(tmp_path), random.Random(1)) == 2  # type: ignore[operator]
    for number in range(2):
        assert (tmp_path / str(number) / "000000001.run").read_bytes() != bytes(100)
        assert (tmp_path / str(number) / "000000000.run").read_bytes() == bytes(100), "no manifest names it: nobody reads it"


def test_a_deleted_state_leaves_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "manifest.json").write_text("{}")
    assert damage.delete(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
