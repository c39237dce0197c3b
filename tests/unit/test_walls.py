"""The walls between the rooms hold for what nobody has written yet: each module below is new, and breaks one of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("services", "schemas", "tools", "bench")
BREACHES = {
    "services/asylum_claims/intruder.py": "import aiokafka",
    "services/asylum_claims/neighbour.py": "import services.tally.decode",
    "services/asylum_claims/upward.py": "import tools.stack.local",
    "services/asylum_claims/app.py": "import faust",
    "services/quarterly_aggregates/direct.py": "import aiokafka",
    "services/informality_estimates/aside.py": "import faust",
    "services/shared/runtime/kafka/hosted.py": "import faust",
    "services/shared/statistics/estimation/chance.py": "import random",
    "services/shared/statistics/estimation/files.py": "import pathlib",
    "services/shared/statistics/terms/fetched.py": "import urllib.request",
    "services/shared/statistics/publication/clock.py": "import time",
    "services/shared/feeds/asylum_claims.py": "import services.shared.runtime.kafka.clients",
    "services/shared/statistics/folding/forward.py": "import services.shared.statistics.estimation.estimate",
    "schemas/reader.py": "import services.shared.statistics.terms.areas",
    "tools/verify/borrowed.py": "import services.shared.statistics.terms.calendar",
    "tools/verify/fed.py": "import services.shared.feeds.catalogue",
    "tools/command/direct.py": "import aiokafka",
    "tools/simulate/peeking.py": "import services.shared.feeds.catalogue",
}
CLOCK_AND_DICE = """
from datetime import UTC, datetime

import numpy as np

NOW = datetime.now(UTC)
DICE = np.random.default_rng()
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy of this repository with all breaches in it."""
    copy = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "examples", "results"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for path, line in BREACHES.items():
        (copy / path).parent.mkdir(exist_ok=True)
        (copy / path).parent.joinpath("__init__.py").touch()
        (copy / path).write_text(line + "\n")
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=copy, env={"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", BREACHES)
def test_a_new_module_that_reaches_through_a_wall_breaks_the_check(complaints: str, path: str) -> None:
    module, imported = path.removesuffix(".py").replace("/", "."), BREACHES[path].removeprefix("import ")
    broken = complaints[complaints.index("Broken contracts") :]
    assert any(module in line and imported.split(".")[0] in line for line in broken.replace("->\n", "-> ").splitlines()), broken


def test_a_statistic_that_asks_the_clock_through_datetime_breaks_the_check(tmp_path: Path) -> None:
    path = "services/shared/statistics/terms/today.py"
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(CLOCK_AND_DICE)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = subprocess.run(
        [Path(sys.executable).with_name("ruff"), "check", "--no-cache", "--output-format", "concise", path],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.count("TID251") == 2, done.stdout
