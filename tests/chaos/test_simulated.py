"""The engine under simulated faults: other seeds each day. `make chaos-seeds` plays more of them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS = 1000


def play(*arguments: str) -> str:
    """In a process of its own: the engine is wired to a simulated world there."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.chaos.simulated", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.timeout(600)  # a minute on a core of its own
def test_nothing_untrue_is_handed_on_and_everything_comes_to_rest_whatever_strikes() -> None:
    print(play("--count", str(SEEDS)))


def test_a_seed_replays_exactly() -> None:
    assert play("7") == play("7")
