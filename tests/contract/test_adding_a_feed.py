"""Somebody adds a feed, with the files that CONTRIBUTING.md lists and no other: it is accepted, folded, added up and recounted."""

import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.contract import toy_feed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Add a feed\n")[2].partition("\n## ")[0]
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0")
# What the repository itself says of a feed that is not whole.
CHECKS = (
    ["-m", "schemas.generate", "--check"],
    ["-m", "schemas.picture", "--check"],
    [*PYTEST, "-k", toy_feed.NAME, "tests/contract/test_feed_examples.py"],
    [*PYTEST, "tests/contract/test_values.py", "tests/unit/deploy/test_deploy.py", "tests/unit/dissemination/test_quality.py"],
    [*PYTEST, "-k", "limits_of_the_page", "tests/unit/statistics/test_quality.py"],
    [*PYTEST, "-k", f"{toy_feed.NAME} and any_record", "tests/property/test_accepted_is_counted.py"],
    ["-m", "tests.contract.toy_feed.count"],
)  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with the toy feed in it."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("schemas", "services", "tools", "tests", "deploy", "docs"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "chaos", "end_to_end"))
    for name in ("pyproject.toml", "docker-compose.yml", "ARCHITECTURE.md", "CONTRIBUTING.md", "Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, copy)
    for path, text in toy_feed.NEW.items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_text(text, "utf-8")
    for path, edits in toy_feed.EDITS.items():
        text = (copy / path).read_text("utf-8")
        for anchor, lines in edits:
            assert text.count(anchor) == 1, f"{path}: {anchor!r} stands there {text.count(anchor)} times"
            text = text.replace(anchor, anchor + lines)
        (copy / path).write_text(text, "utf-8")
    for command in ("schemas.generate", "schemas.picture"):
        _run(copy, ["-m", command])
    return copy


def _run(copy: Path, arguments: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.parametrize("arguments", CHECKS, ids=lambda arguments: arguments[-1])
def test_the_checks_of_the_repository_find_nothing_missing(copy: Path, arguments: list[str]) -> None:
    _run(copy, arguments)


def test_contributing_lists_just_these_files_and_how_many_they_are() -> None:
    listed = [line.split("`")[1] for line in PAGE.splitlines() if line.startswith("- `")]
    patterns = [path.replace("<feed>", "*").replace("<feed_>", "*") for path in listed]
    touched = toy_feed.files()
    assert [path for path in touched if not any(fnmatch(path, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatch(path, pattern) for path in touched)] == []
    assert f"{len(touched)} files" in PAGE


def test_no_file_of_another_feed_of_statistics_or_of_the_runtime_is_among_them() -> None:
    elsewhere = ("services/shared/statistics/", "services/shared/runtime/", "services/tally/", "services/quarterly_aggregates/")
    assert [path for path in toy_feed.files() if path.startswith(elsewhere)] == []
    rooms = [path for path in toy_feed.files() if path.startswith("services/shared/feeds/")]
    assert rooms == [f"services/shared/feeds/{toy_feed.PACKAGE}.py", "services/shared/feeds/catalogue.py"]
