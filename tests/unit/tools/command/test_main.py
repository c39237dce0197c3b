"""The command line's own manners."""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from services.shared.runtime.process.errors import TolqynError, Unavailable, UsageError
from tools.command import __main__ as cli
from tools.command import down


def test_help_names_every_command_and_imports_none_of_them() -> None:
    heavy = "{'aiokafka', 'aiohttp', 'polars', 'pydantic', 'psycopg', 'numpy'}"
    code = f"import sys, tools.command.__main__ as c\ntry: c.main(['--help'])\nfinally: print(sorted({heavy} & sys.modules.keys()))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    assert said.rstrip().endswith("[]")
    assert all(f"    {name}" in said for name in cli.COMMANDS)


def test_the_version_is_that_of_pyproject(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text("utf-8"))["project"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"tolqyn {project['version']}\n"


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: tolqyn {command}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["nonsense"], ["status", "--nonsense"]])
def test_wrong_words_end_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2


@pytest.mark.parametrize(("error", "code"), [(UsageError("no such period"), 2), (Unavailable("no broker"), 1)])
def test_an_expected_error_is_one_line(
    error: TolqynError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(down, "run", fail)
    assert cli.main(["down"]) == code
    assert capsys.readouterr().err == f"tolqyn: {error}\n"


def test_an_interrupt_ends_as_shells_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(down, "run", interrupt)
    assert cli.main(["down"]) == 130
