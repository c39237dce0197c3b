"""What the Dockerfile makes of the repository, without Docker: the same files, installed by the same command."""

import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
SECONDS_MAX = 120.0


def sources() -> list[str]:
    """What is copied from the repository to be installed."""
    _, _, copied = DOCKERFILE.partition("WORKDIR /tmp/tolqyn")
    lines = re.findall(r"^COPY (?!--from)(.*)$", copied, re.MULTILINE)
    return [name for line in lines for name in shlex.split(line)[:-1]]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of packages, Tolqyn of version 9.8.7 in it."""
    source, packages = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("packages")
    for name in sources():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / name, source / name)
    project = source / "pyproject.toml"
    project.write_text(re.sub('^version = "[^"]+"', 'version = "9.8.7"', project.read_text("utf-8"), flags=re.MULTILINE), "utf-8")
    found = re.search(r"^RUN /opt/tolqyn/bin/pip (install .*) \.$", DOCKERFILE, re.MULTILINE)
    assert found
    command = [sys.executable, "-P", "-m", "pip", *shlex.split(found[1]), "--quiet", "--target", str(packages), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS_MAX)
    return packages


def said(image: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": str(image)}, cwd=image, capture_output=True, text=True, check=False, timeout=SECONDS_MAX,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_build_may_see_all_that_it_copies() -> None:
    lines = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    assert [name for name in ["requirements.txt", *sources()] if not any(fnmatch(name, pattern) for pattern in let_in)] == []


def test_its_services_know_the_version_that_pyproject_says(image: Path) -> None:
    code = "from services.shared.runtime.process import version as v; print(v.__file__, v.VERSION)"
    assert said(image, code) == f"{image / 'services/shared/runtime/process/version.py'} 9.8.7"


def test_it_has_the_method_pages_and_every_file_that_lies_beside_the_code(image: Path) -> None:
    assert "nowcast" in said(image, "from services.dissemination import methods; print(sorted(methods.sources()))")
    tracked = [
        path
        for top in ("services", "schemas", "tools", "docs/methods")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert len(tracked) > 1
    assert [str(path) for path in tracked if not (image / path.relative_to(ROOT)).is_file()] == []
