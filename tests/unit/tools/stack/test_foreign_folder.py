"""Whoever has packages named as ours gets Tolqyn all the same: no start looks into the folder that one happens to be in."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import orjson
import pytest

from services.shared.runtime.process.service import EXIT_CONFIGURATION
from services.shared.runtime.process.settings import Settings
from tools.stack.processes import INGEST, SERVICES, Service, service_program

ROOT = Path(__file__).parents[4]
SECONDS_MAX = 60.0
# The ingest services are all of one shape; so are the tallies, which are one module.
KINDS = list({service.module: service for service in SERVICES if service not in INGEST[1:]}.values())


def run(command: list[str], folder: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONSAFEPATH"}}
    return subprocess.run(
        command, cwd=folder, env=inherited | env, capture_output=True, text=True, check=False, timeout=SECONDS_MAX
    )


def test_python_would_find_the_packages_of_the_folder(foreign_folder: Path) -> None:
    said = run([sys.executable, "-m", "tools.command", "--version"], foreign_folder).stderr
    assert "the folder that one happens to be in" in said


def test_the_command_answers(foreign_folder: Path, tmp_path: Path) -> None:
    command = str(Path(sys.executable).with_name("tolqyn"))
    said = run([command, "--version"], foreign_folder)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert (said.returncode, said.stdout) == (0, f"tolqyn {version}\n"), said.stderr
    status = run([command, "status", "--json"], foreign_folder, TOLQYN_HOME=str(tmp_path / "home"))
    assert status.returncode == 0, status.stderr
    assert orjson.loads(status.stdout)["services"] == []


@pytest.mark.parametrize("service", KINDS, ids=lambda service: service.module)
def test_every_kind_of_service_is_loaded(service: Service, foreign_folder: Path, tmp_path: Path) -> None:
    """A service reads its settings once all of it is loaded; with a wrong one it ends there, and says which."""
    program = service_program(service, Settings.from_env({"TOLQYN_HOME": str(tmp_path)}), 1)
    ended = run(program.command, foreign_folder, **program.env | {"TOLQYN_LISTEN_PORT": "none"})
    assert ended.returncode == EXIT_CONFIGURATION, ended.stderr
    assert orjson.loads(ended.stderr)["message"] == "TOLQYN_LISTEN_PORT must be a whole number"


def test_every_start_of_a_module_of_ours_leaves_the_folder_out() -> None:
    scripts = [ROOT / "Makefile", *(ROOT / "deploy" / "setup").iterdir()]
    modules = [path for top in ("services", "schemas", "tools", "tests", "bench") for path in (ROOT / top).rglob("*.py")]
    ours = re.compile(r"-m (?:services|schemas|tools|tests|bench)\b")
    starts = [(path, line) for path in scripts for line in path.read_text("utf-8").splitlines() if ours.search(line)]
    lists = [(path, line) for path in modules for line in path.read_text("utf-8").splitlines() if re.search(r'\[.*, "-m", ', line)]
    assert len(starts) > 1
    assert len(lists) > 1
    assert [(path, line) for path, line in starts if " -P -m " not in line] == []
    there = Path(__file__)  # one start is wrong, to be seen failing
    assert [(path, line) for path, line in lists if '"-P", "-m"' not in line and path != there] == []
