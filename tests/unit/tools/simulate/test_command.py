"""The `tolqyn simulate` command by itself."""

import argparse
import json
from pathlib import Path

import pytest

from services.shared.runtime.process.errors import UsageError
from tools.command.simulate import add_parser


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="tolqyn")
    add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["simulate", *words])
    code: int = arguments.run(arguments)
    return code


def test_it_writes_a_file_a_feed_and_ends_with_their_counts_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--out", str(tmp_path / "new" / "folder"), "--scale", "0.001", "--seed", "1") == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out.splitlines()[-1])
    files = {file.name: file.read_bytes() for file in (tmp_path / "new" / "folder").iterdir()}
    assert {name.removesuffix(".ndjson") for name in files} == set(summary["feeds"])
    for feed, counts in summary["feeds"].items():
        content = files[f"{feed}.ndjson"]
        assert (counts["bytes"], counts["lines"]) == (len(content), content.count(b"\n"))
    assert (summary["scale"], summary["seed"], summary["irregular"]) == (0.001, 1, 0.05)
    assert len(printed.err.splitlines()) == 8


@pytest.mark.parametrize("scale", ["0", "-0.5", "1.5"])
def test_a_scale_out_of_bounds_is_a_usage_error(tmp_path: Path, scale: str) -> None:
    with pytest.raises(UsageError, match="--scale"):
        run("--out", str(tmp_path), "--scale", scale)


@pytest.mark.parametrize("words", [("--scale", "small"), ("--scale", "nan"), ("--scale", "1/0"), ("--seed", "x"), ()])
def test_what_is_no_number_or_missing_is_refused_by_the_command_line(words: tuple[str, ...], tmp_path: Path) -> None:
    out = ("--out", str(tmp_path)) if words else ()
    with pytest.raises(SystemExit) as refused:
        run(*out, *words)
    assert refused.value.code == 2
